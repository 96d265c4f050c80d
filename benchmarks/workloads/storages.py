"""What a storage does beside loading and storing: history, undo, pack."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import transaction

from benchmarks.engines import Engine
from benchmarks.filling import copy_filled, fill_file, records_on_the_way
from benchmarks.objects import Record, connected, fill_chain, walk
from benchmarks.syncs import watched
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []


@workload("history", "call", Sizes(small=100, large=1_000, quick=100, tiny=20))
def history(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Ask for the last 20 revisions of an object that has SIZE, 100 times."""
    db = engine.open(directory)
    with connected(db) as (manager, connection):
        connection.root.record = record = Record(0)
        manager.commit()
        for number in range(1, size):
            record.number = number
            manager.get().note(f"revision {number}")
            manager.commit()
        oid = record._p_oid

    def once() -> dict[str, Sample]:
        with Stopwatch() as watch:
            for _ in range(100):
                found = db.history(oid, 20)
        expected = [f"revision {size - 1 - number}" for number in range(min(20, size - 1))]
        check("revisions", [entry["description"] for entry in found][: len(expected)], expected)
        return {"": watch.sample(100)}

    yield once
    db.close()


@workload("undo", "object", Sizes(small=1_000, large=20_000, quick=1_000, tiny=20))
def undo(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Undo a transaction that changed SIZE objects; timed with the commit of the undo.

    `less-syncs` is without the time of its sync.
    """
    db = engine.open(directory, cache_size=2 * size)
    fill_chain(db, size)

    def once() -> dict[str, Sample]:
        with connected(db) as (manager, connection):
            record = connection.root.first
            while record is not None:
                record.number += 1
                record = record.following
            manager.commit()
        undoing = transaction.TransactionManager()
        with watched() as syncs, Stopwatch() as watch:
            db.undo(db.undoLog(0, 1)[0]["id"], undoing.get())
            undoing.commit()
        with connected(db) as (_, connection):
            check("records", walk(connection.root.first), (size, size * (size - 1) // 2))
        less_syncs = Sample(watch.seconds - syncs.seconds, size)
        return {"": watch.sample(size), "less-syncs": less_syncs}

    yield once
    db.close()


@workload("pack", "object", Sizes(20_000, 1_000_000, 5_000, 500), most_rounds=3)
def pack(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Pack a file of SIZE objects with garbage collection; one half is garbage."""
    filled, place = directory / "filled", directory / "round"
    filled.mkdir()
    fill_file(engine, filled, size).close()
    state = {"walked": False}

    def once() -> dict[str, Sample]:
        copy_filled(filled, place)
        db = engine.open(place)
        with Stopwatch() as watch:
            db.pack(time.time())
        # The root comes on top.
        check("objects", len(db.storage), 1 + records_on_the_way(size))
        if not state["walked"]:  # what is left is the same in every round
            with connected(db) as (_, connection):
                check("reachable", walk(connection.root.first)[0], records_on_the_way(size))
            state["walked"] = True
        db.close()
        shutil.rmtree(place)
        return {"": watch.sample(size)}

    yield once
