"""What a workload is: data prepared once, then rounds that are timed and checked.

A workload is a context manager over an engine, an empty directory and a size. It
prepares the data, the same for every engine, and yields a function that carries
out one round. A round returns samples by metric, "" where there is only one; it
raises `WorkNotDoneError` where the result is not what the work must lead to.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from benchmarks.engines import Engine

__all__ = [
    "WORKLOADS",
    "NotAvailableError",
    "Prepare",
    "Round",
    "Sample",
    "Sizes",
    "Stopwatch",
    "Watcher",
    "WorkNotDoneError",
    "Workload",
    "check",
    "percentile",
    "workload",
]


class WorkNotDoneError(Exception):
    """A workload's result is wrong, so its time means nothing."""


class NotAvailableError(Exception):
    """An engine lacks what the workload is about; the message says what."""


@dataclass(frozen=True)
class Sample:
    """How long `operations` took together, in seconds; `unit` where it is not the workload's."""

    seconds: float
    operations: float
    unit: str = ""

    @property
    def each_s(self) -> float:
        return self.seconds / self.operations


def percentile(times_s: Sequence[float], permille: int, unit: str) -> Sample:
    """Return the time that so many of a thousand do not exceed; 1000 for the longest."""
    return Sample(sorted(times_s)[(len(times_s) - 1) * permille // 1000], 1, unit)


Round = Callable[[], dict[str, Sample]]
Prepare = Callable[[Engine, Path, int], AbstractContextManager[Round]]


@dataclass(frozen=True)
class Sizes:
    """How much work a round is: for the normal run, for ``--quick``, and for the tests."""

    small: int
    large: int
    quick: int
    tiny: int

    def chosen(self, names: tuple[str, ...]) -> list[int]:
        """Return the sizes of these names, each size once."""
        return list(dict.fromkeys(getattr(self, name) for name in names))


@dataclass(frozen=True)
class Workload:
    """A named piece of work; `unit` is what the time is given per."""

    name: str
    unit: str
    sizes: Sizes
    prepare: Prepare
    most_rounds: int

    @property
    def description(self) -> str:
        """What is done, and what of it is timed: the first line of the docstring."""
        return (self.prepare.__doc__ or "").strip().splitlines()[0]


WORKLOADS: dict[str, Workload] = {}
"""Every workload by name, in the order of the report."""


def workload(
    name: str, unit: str, sizes: Sizes, *, most_rounds: int = 1000
) -> Callable[[Callable[[Engine, Path, int], Iterator[Round]]], Prepare]:
    """Register a generator function as a workload.

    `most_rounds` bounds the rounds of one that takes long.
    """

    def register(function: Callable[[Engine, Path, int], Iterator[Round]]) -> Prepare:
        prepare = contextmanager(function)
        WORKLOADS[name] = Workload(name, unit, sizes, prepare, most_rounds)
        return prepare

    return register


class Watcher(Protocol):
    """Is told when what is timed begins, and when it has ended."""

    def begin(self) -> None: ...

    def finish(self) -> None: ...


class Stopwatch:
    """Times the block it is entered for, with the garbage of before collected.

    The collector stays on meanwhile unless the run turned it off: applications
    run with it.
    """

    collecting = True  # of the whole run, set by the command line
    watcher: ClassVar["Watcher | None"] = None  # set by who makes a profile

    def __enter__(self) -> "Stopwatch":
        gc.collect()
        if not self.collecting:
            gc.disable()
        if self.watcher is not None:
            self.watcher.begin()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        if self.watcher is not None:
            self.watcher.finish()
        gc.enable()

    def sample(self, operations: float) -> Sample:
        return Sample(self.seconds, operations)


def check(name: str, found: object, expected: object) -> None:
    """Raise `WorkNotDoneError` unless what was found is what was expected."""
    if found != expected:
        raise WorkNotDoneError(f"{name}: found {found!r}, expected {expected!r}")
