"""What a writer notices of a pack: single commits, while nothing else happens and during it."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine
from benchmarks.filling import copy_filled, fill_file, records_on_the_way
from benchmarks.objects import Record, connected
from benchmarks.threads import pack_beside
from benchmarks.workload import NotAvailableError, Round, Sample, Sizes, check, percentile, workload

__all__: list[str] = []

CHANGED = 10  # objects that a commit changes
BEFORE = 200  # commits before the pack
PATIENCE_S = 20.0
SIZES = Sizes(20_000, 300_000, 5_000, 500)


def commit_until(
    manager: Any, records: list[Record], at_least: int, done: threading.Event, times: list[float]
) -> bool:
    """Commit changes to `records` and note the time of each commit; False if it took too long."""
    deadline = time.perf_counter() + PATIENCE_S
    while len(times) < at_least or not done.is_set():
        if time.perf_counter() > deadline:
            return False
        for record in records:
            record.number += 1
        start = time.perf_counter()
        manager.commit()
        times.append(time.perf_counter() - start)
    return True


@workload("commit-beside-pack", "pack", SIZES, most_rounds=3)
def commit_beside_pack(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Pack a file of SIZE objects, half of them garbage, while a thread commits small changes.

    `quiet-p99` is the 99th percentile of a commit before the pack, `median` and `p99` are
    of those during it, and `longest` the longest of these: it includes the swap of the files.
    A pack that copies what is committed meanwhile no faster than it is committed never ends:
    then there is no figure.
    """
    filled, place = directory / "filled", directory / "round"
    filled.mkdir()
    fill_file(engine, filled, size).close()

    def once() -> dict[str, Sample]:
        copy_filled(filled, place)
        db = engine.open(place)
        quiet: list[float] = []
        during: list[float] = []
        done = threading.Event()
        done.set()
        with connected(db) as (manager, connection):
            connection.root.changing = records = [Record(0) for _ in range(CHANGED)]
            manager.commit()
            commit_until(manager, records, BEFORE, done, quiet)

            def commit() -> None:
                ended.append(commit_until(manager, records, 1, done, during))

            ended: list[bool] = []
            seconds = pack_beside(db, done, commit)
        with connected(db) as (_, connection):
            numbers = [record.number for record in connection.root.changing]
        check("numbers", numbers, [len(quiet) + len(during)] * CHANGED)
        check("objects", len(db.storage), 1 + records_on_the_way(size) + CHANGED)
        db.close()
        shutil.rmtree(place)
        if not all(ended):
            raise NotAvailableError(f"{PATIENCE_S:.0f} s of commits beside it were not enough")
        return {
            "": Sample(seconds, 1),
            "quiet-p99": percentile(quiet, 990, "commit"),
            "median": percentile(during, 500, "commit"),
            "p99": percentile(during, 990, "commit"),
            "longest": percentile(during, 1000, "commit"),
        }

    yield once
