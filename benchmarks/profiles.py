"""Where the time of a workload goes: ``python -m benchmarks.profiles NAME``.

Two tables: by package of the Python code that was running, C functions counted for who called
them; and, where there is ``perf``, by library. Both are of the processor time of one operation,
without what waits. In front of them stands how long one takes, and how much of that are syncs;
behind them, how many functions are called.
"""

import argparse
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import transaction
from BTrees.Length import Length

from benchmarks import allocator
from benchmarks.engines import ENGINES, NATIVE, PEER, PURE, Engine
from benchmarks.objects import connected
from benchmarks.report import time_text
from benchmarks.sampling import CallCounter, Sampler
from benchmarks.syncs import watched
from benchmarks.workload import WORKLOADS, Prepare, Round, Sample, Stopwatch, check
from benchmarks.workloads.commits import fill_groups

__all__ = ["NAMES", "main"]

COMMITS = 200  # in a round
SHOWN = 0.015  # parts with less of the samples are others


@contextmanager
def _commit(engine: Engine, directory: Path, _size: int) -> Iterator[Round]:
    """Change 10 objects and commit, as `commit-1` does, but in the program's first thread."""
    db = engine.open(directory)
    fill_groups(db, 1)
    with connected(db) as (manager, connection):
        records = connection.root.group0

        def once() -> dict[str, Sample]:
            with Stopwatch() as watch:
                for _ in range(COMMITS):
                    manager.begin()
                    for record in records:
                        record.number += 1
                    manager.commit()
            return {"": watch.sample(COMMITS)}

        yield once
    db.close()


@contextmanager
def _conflict(engine: Engine, directory: Path, _size: int) -> Iterator[Round]:
    """Commit twice, in turns: the second one changed the same `BTrees.Length`, and is merged."""
    db = engine.open(directory)
    with connected(db) as (manager, connection):
        connection.root.length = Length()
        manager.commit()
    managers = [transaction.TransactionManager() for _ in range(2)]
    connections = [db.open(manager) for manager in managers]
    state = {"made": 0}

    def once() -> dict[str, Sample]:
        lengths = [connection.root.length for connection in connections]
        with Stopwatch() as watch:
            for _ in range(COMMITS):
                for manager in managers:
                    manager.begin()
                for length in lengths:
                    length.change(1)
                for manager in managers:
                    manager.commit()
        state["made"] += 2 * COMMITS
        managers[0].begin()
        check("length", lengths[0](), state["made"])
        return {"": watch.sample(COMMITS)}

    yield once
    for manager, connection in zip(managers, connections, strict=True):
        manager.abort()
        connection.close()
    db.close()


OWN: dict[str, Prepare] = {"commit": _commit, "conflict": _conflict}
LARGE = ("tree-insert", "tree-lookup", "tree-scan")  # whose target is of the large size
NAMES = (*OWN, "add", "update", "read-again", "history", "undo", "pack", *LARGE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Look, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; or all")
    parser.add_argument(
        "--engine", choices=[PEER, NATIVE, PURE], default=NATIVE, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of processor time (default: %(default)s)"
    )
    parser.add_argument("--place", type=Path, help="directory on the disk to use")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"no profile {name!r}; there are {', '.join(NAMES)}")
    engine = ENGINES[options.engine]
    os.environ.update(engine.environment)
    allocator.settle()
    import_module("benchmarks.workloads")  # registers them
    logging.disable()
    try:
        for name in options.names or NAMES:
            with tempfile.TemporaryDirectory(prefix="perdure-", dir=options.place) as place:
                _profile(name, engine, Path(place), options.seconds)
    finally:
        logging.disable(logging.NOTSET)


def _profile(name: str, engine: Engine, place: Path, seconds: float) -> None:
    (place / "data").mkdir()
    prepare, size = OWN.get(name), 0
    if prepare is None:
        workload = WORKLOADS[name]
        prepare = workload.prepare
        size = workload.sizes.large if name in LARGE else workload.sizes.small
    operations = 0.0
    with prepare(engine, place / "data", size) as once, watched() as syncs:
        once()  # warms up
        Stopwatch.watcher = calls = CallCounter()
        counted = once()[""].operations
        Stopwatch.watcher = sampler = Sampler(place, syncs)
        try:
            while sampler.processor_s < seconds:
                operations += once()[""].operations
        finally:
            Stopwatch.watcher = None
            sampler.close()
    _print(name, engine, sampler, operations)
    print(f"  calls: {calls.python / counted:,.1f} of Python functions, ", end="")
    print(f"{calls.c / counted:,.1f} of C functions\n", flush=True)


def _print(name: str, engine: Engine, sampler: Sampler, operations: float) -> None:
    each_s, processor_s = sampler.seconds / operations, sampler.processor_s / operations
    print(
        f"{name}, {engine.name}: {time_text(each_s)}, of which syncs "
        f"{time_text(sampler.syncs_s / operations)}; processor {time_text(processor_s)}"
    )
    print(_table("Python code", sampler.by_package, processor_s))
    print(sampler.problem or _table("library", sampler.by_library, processor_s), flush=True)


def _table(heading: str, samples: Counter[str], processor_s: float) -> str:
    total = samples.total() or 1
    lines = [f"  {heading:36} {'time':>8} {'share':>6}  of {total:,} samples"]
    others = 0
    for part, count in samples.most_common():
        if count < SHOWN * total:
            others += count
        else:
            lines.append(_line(part, count / total, processor_s))
    if others:
        lines.append(_line("others", others / total, processor_s))
    return "\n".join([*lines, ""])


def _line(part: str, share: float, processor_s: float) -> str:
    return f"  {part:36} {time_text(share * processor_s):>8} {share:>6.0%}"


if __name__ == "__main__":
    main()
