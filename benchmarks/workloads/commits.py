"""Small commits: one thread, several, with readers, in conflict, on a slow disk."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from BTrees.Length import Length

from benchmarks.engines import Engine
from benchmarks.objects import Record, connected, fill_chain
from benchmarks.syncs import slowed, watched
from benchmarks.threads import run_together
from benchmarks.workload import Round, Sample, Sizes, check, workload

__all__: list[str] = []

COMMITS = Sizes(small=200, large=2_000, quick=100, tiny=4)
OBJECTS = 10  # changed by each commit
SLOW_SYNC_S = 0.002


def fill_groups(db: Any, count: int) -> None:
    """Store `count` disjoint groups of objects, ``root.group0`` and so on."""
    with connected(db) as (manager, connection):
        for number in range(count):
            setattr(connection.root, f"group{number}", [Record(0) for _ in range(OBJECTS)])
        manager.commit()


def commit_often(db: Any, group: int, times: int, ready: threading.Barrier) -> None:
    """Change all objects of a group and commit, `times` times."""
    with connected(db) as (manager, connection):
        records = getattr(connection.root, f"group{group}")
        for record in records:
            record._p_activate()
        ready.wait()
        for _ in range(times):
            manager.begin()
            for record in records:
                record.number += 1
            manager.commit()


def check_groups(db: Any, count: int, times: int) -> None:
    with connected(db) as (_, connection):
        for number in range(count):
            records = getattr(connection.root, f"group{number}")
            check(f"group {number}", {record.number for record in records}, {times})


def commits_of_threads(threads: int) -> Callable[[Engine, Path, int], Iterator[Round]]:
    def commits(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        db = engine.open(directory)
        fill_groups(db, threads)
        each = max(1, size // threads)
        state = {"rounds": 0}

        def once() -> dict[str, Sample]:
            with watched() as syncs:
                seconds = run_together(
                    [partial(commit_often, db, group, each) for group in range(threads)]
                )
            state["rounds"] += 1
            check_groups(db, threads, each * state["rounds"])
            samples = {"": Sample(seconds, each * threads)}
            if threads == 1:
                samples["less-syncs"] = Sample(seconds - syncs.seconds, each)
            return samples

        yield once
        db.close()

    where = f"{threads} threads, each with objects of its own" if threads > 1 else "one thread"
    commits.__doc__ = f"Make SIZE commits of 10 changed objects each, synced, in {where}." + (
        " `less-syncs` is without the time of the syncs." if threads == 1 else ""
    )
    return commits


def commits_on_slow_disk(threads: int) -> Callable[[Engine, Path, int], Iterator[Round]]:
    plain = commits_of_threads(threads)

    def commits(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        for once in plain(engine, directory, size):

            def slow(once: Round = once) -> dict[str, Sample]:
                with slowed(SLOW_SYNC_S) as syncs:
                    samples = once()
                check("syncs were made", syncs.count > 0, True)
                return samples

            yield slow

    commits.__doc__ = f"{plain.__doc__} A sync takes 2 ms longer."
    return commits


for _threads in (1, 2, 4, 8):
    workload(f"commit-{_threads}", "commit", COMMITS)(commits_of_threads(_threads))
for _threads in (1, 8):
    workload(f"commit-{_threads}-slow", "commit", COMMITS)(commits_on_slow_disk(_threads))


@workload("commit-beside-readers", "commit", replace(COMMITS, tiny=60))  # readers have to come in
def commit_beside_readers(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Make SIZE commits in one thread while two others load 1,000 objects over and over.

    `readers` is the time per object loaded, by both together; `readers-p99` the
    99th percentile of the time that 10 objects take.
    """
    db = engine.open(directory, cache_size=5_000)
    count = min(1_000, 50 * size)
    fill_chain(db, count)
    fill_groups(db, 1)
    state = {"rounds": 0}

    def once() -> dict[str, Sample]:
        done = threading.Event()
        tens: list[list[float]] = [[], []]

        def write(ready: threading.Barrier) -> None:
            try:
                commit_often(db, 0, size, ready)
            finally:
                done.set()

        seconds = run_together(
            [
                write,
                partial(read_until, db, done, tens[0]),
                partial(read_until, db, done, tens[1]),
            ]
        )
        state["rounds"] += 1
        check_groups(db, 1, size * state["rounds"])
        together = sorted(tens[0] + tens[1])
        check("readers read", len(together) > 0, True)
        return {
            "": Sample(seconds, size),
            "readers": Sample(seconds, 10 * len(together), "load"),
            "readers-p99": Sample(together[len(together) * 99 // 100], 10, "load"),
        }

    yield once
    db.close()


def read_until(db: Any, done: threading.Event, tens: list[float], ready: threading.Barrier) -> None:
    """Walk through all records, again and again from storage, noting the time of every ten."""
    with connected(db) as (manager, connection):
        ready.wait()
        while not done.is_set():
            manager.begin()
            connection.cacheMinimize()
            record = connection.root.first
            start, count = time.perf_counter(), 0
            while record is not None and not done.is_set():
                record = record.following
                count += 1
                if count % 10 == 0:
                    now = time.perf_counter()
                    tens.append(now - start)
                    start = now


@workload("conflicts", "commit", Sizes(small=400, large=2_000, quick=200, tiny=8))
def conflicts(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Make SIZE commits in 4 threads that all change one `BTrees.Length`, which resolves them."""
    db = engine.open(directory)
    conflict_error = engine.get("ConflictError")
    with connected(db) as (manager, connection):
        connection.root.length = Length()
        manager.commit()
    state = {"rounds": 0}
    each = size // 4

    def change(ready: threading.Barrier) -> None:
        with connected(db) as (manager, connection):
            length = connection.root.length
            length()
            ready.wait()
            for _ in range(each):
                while True:
                    manager.begin()
                    length.change(1)
                    try:
                        manager.commit()
                        break
                    except conflict_error:
                        manager.abort()

    def once() -> dict[str, Sample]:
        seconds = run_together([change] * 4)
        state["rounds"] += 1
        with connected(db) as (_, connection):
            check("length", connection.root.length(), 4 * each * state["rounds"])
        return {"": Sample(seconds, 4 * each)}

    yield once
    db.close()
