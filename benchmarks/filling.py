"""Big files: records straight into a storage, without objects and connections.

As a program, ``python -m benchmarks.filling ENGINE DIRECTORY COUNT`` fills a
storage and then kills itself, as `kill -9` would.
"""

import io
import os
import pickle
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.engines import ENGINES, Engine
from benchmarks.objects import TEXT, Record, connected

__all__ = ["copy_filled", "fill_file", "records_on_the_way"]

BATCH = 1_000  # records in a transaction
ZERO = b"\0" * 8


class _Oid:
    """Stands for the object with that oid while a record is pickled."""

    def __init__(self, oid: bytes) -> None:
        self.oid = oid


class _RecordPickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return (obj.oid, Record) if isinstance(obj, _Oid) else None


def record_data(number: int, following: bytes | None) -> bytes:
    """Return the record of a `Record`: two pickles, class and state."""
    state = {
        "number": number,
        "title": f"record number {number}",
        "text": TEXT,
        "values": [number, number + 1, number + 2],
        "following": None if following is None else _Oid(following),
    }
    buffer = io.BytesIO()
    pickler = _RecordPickler(buffer, 3)
    pickler.dump((Record, None))
    pickler.dump(state)
    return buffer.getvalue()


def records_on_the_way(count: int) -> int:
    """Return how many records of a file filled with `count` lead on from ``root.first``."""
    return 1 + (count + 1) // 2


def fill_file(engine: Engine, directory: Path, count: int) -> Any:
    """Store `count` records and return the open storage.

    Each refers to the one after the next. ``root.first`` refers to the first of
    them; so one half is reachable, in every other place, and the other half is
    garbage.
    """
    db = engine.open(directory)
    with connected(db) as (manager, connection):
        connection.root.first = first = Record(-1)
        manager.commit()
        head, serial = first._p_oid, first._p_serial
    db.close()
    storage = engine.storage(directory)
    make_metadata = engine.get("TransactionMetaData")
    oids = [storage.new_oid() for _ in range(count)]
    for start in range(0, count, BATCH):
        metadata = make_metadata()
        storage.tpc_begin(metadata)
        if start == 0:
            storage.store(head, serial, record_data(-1, oids[0]), "", metadata)
        for number in range(start, min(start + BATCH, count)):
            following = oids[number + 2] if number + 2 < count else None
            storage.store(oids[number], ZERO, record_data(number, following), "", metadata)
        storage.tpc_vote(metadata)
        storage.tpc_finish(metadata)
    return storage


def copy_filled(filled: Path, place: Path) -> None:
    """Copy a directory to a new one, and have the copy on the disk.

    What is not there yet would be written while something is timed, and whoever syncs
    the file would wait for all of it.
    """
    shutil.copytree(filled, place)
    for path in place.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main(name: str, directory: str, count: str) -> None:
    fill_file(ENGINES[name], Path(directory), int(count))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
