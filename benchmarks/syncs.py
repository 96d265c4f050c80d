"""Syncs to the disk: what one costs here, and how to make it cost more.

A fast disk hides what a database does to need fewer syncs. `slowed` makes every
sync take longer, for all engines in the same way.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

__all__ = ["SyncCounter", "slowed", "sync_cost_s", "watched"]

SYNCS = (("os", "fsync"), ("os", "fdatasync"), ("perdure.native._courtesy", "sync"))
"""What syncs, by module: who has a C function of its own for that is not to get away."""


def sync_cost_s(directory: Path, times: int = 50) -> float:
    """Return what appending 4 KiB to a file in `directory` and syncing it takes, as median."""
    path = directory / "sync-cost"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    costs = []
    try:
        for _ in range(times):
            start = time.perf_counter()
            os.write(descriptor, b"\0" * 4096)
            os.fsync(descriptor)
            costs.append(time.perf_counter() - start)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(costs)


@dataclass
class SyncCounter:
    """How many syncs went through, and how long they took, of all threads together."""

    count: int = 0
    seconds: float = 0.0


def watched() -> AbstractContextManager[SyncCounter]:
    """Count the syncs and their time, without making them longer."""
    return slowed(0.0)


@contextmanager
def slowed(by_s: float) -> Iterator[SyncCounter]:
    """Make all `SYNCS` take `by_s` seconds longer; yield their count.

    The functions are replaced wherever a loaded module keeps them by name: one
    that took `fsync` out of `os` when it was imported has to be slowed too.
    """
    counter = SyncCounter()
    replaced: list[tuple[ModuleType, str, Any]] = []
    for module_name, sync_name in SYNCS:
        if module_name not in sys.modules:
            continue
        original = getattr(sys.modules[module_name], sync_name)
        slow = _slow(original, by_s, counter)
        for module in list(sys.modules.values()):
            names = [name for name, held in vars(module).items() if held is original]
            for name in names:
                replaced.append((module, name, original))
                setattr(module, name, slow)
    try:
        yield counter
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


def _slow(
    original: Callable[[int], None], by_s: float, counter: SyncCounter
) -> Callable[[int], None]:
    def sync(descriptor: int) -> None:
        start = time.perf_counter()
        if by_s:
            time.sleep(by_s)
        original(descriptor)
        counter.count += 1
        counter.seconds += time.perf_counter() - start

    return sync
