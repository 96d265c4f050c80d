"""What a reader notices of a pack: single loads, while nothing else happens and during it."""

import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine
from benchmarks.filling import fill_file, records_on_the_way
from benchmarks.objects import connected
from benchmarks.threads import pack_beside
from benchmarks.workload import Round, Sample, Sizes, check, percentile, workload

__all__: list[str] = []

LOADS = 1_000  # objects that are loaded in turn
SIZES = Sizes(20_000, 300_000, 5_000, 500)


def load_until(storage: Any, done: threading.Event, oids: list[bytes], times: list[float]) -> None:
    """Load objects in turn and note the time of each, at least all of them once."""
    latest = b"\xff" * 8
    while True:
        for oid in oids:
            start = time.perf_counter()
            found = storage.loadBefore(oid, latest)
            times.append(time.perf_counter() - start)
            check("a record", bool(found[0]), True)
        if done.is_set():
            return


@workload("pack-beside-reader", "pack", SIZES, most_rounds=3)
def pack_beside_reader(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Pack a file of SIZE objects, half of them garbage, while a thread loads single objects.

    `quiet-p99` is the 99th percentile of a load before the pack, `p99` during it, and
    `longest` the longest of all.
    """

    def once() -> dict[str, Sample]:
        place = directory / "round"
        place.mkdir()
        fill_file(engine, place, size).close()
        db = engine.open(place)
        with connected(db) as (_, connection):
            records = [connection.root.first]
            while len(records) < LOADS and records[-1].following is not None:
                records.append(records[-1].following)
            oids = [record._p_oid for record in records]
        random.Random(size).shuffle(oids)
        quiet: list[float] = []
        during: list[float] = []
        done = threading.Event()
        done.set()
        load_until(db.storage, done, oids, quiet)
        seconds = pack_beside(db, done, lambda: load_until(db.storage, done, oids, during))
        check("objects", len(db.storage), 1 + records_on_the_way(size))
        db.close()
        shutil.rmtree(place)
        return {
            "": Sample(seconds, 1),
            "quiet-p99": percentile(quiet, 990, "load"),
            "p99": percentile(during, 990, "load"),
            "longest": percentile(during, 1000, "load"),
        }

    yield once
