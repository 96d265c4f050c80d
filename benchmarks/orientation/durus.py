"""Durus: persistent objects and one file, of one thread at a time, without undo or history.

Its file storage does not sync a commit to the disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from durus.connection import Connection
from durus.file_storage import FileStorage
from durus.persistent import Persistent

from benchmarks.engines import Engine
from benchmarks.objects import TEXT, leaping, walk
from benchmarks.workload import Prepare, Round, Sample, Stopwatch, check

__all__ = ["PREPARES", "Record"]


class Record(Persistent):
    """As `benchmarks.objects.Record`, of Durus."""

    def __init__(self, number: int, following: "Record | None" = None) -> None:
        self.number = number
        self.title = f"record number {number}"
        self.text = TEXT
        self.values = [number, number + 1, number + 2]
        self.following = following


def _opened(directory: Path, size: int) -> Any:
    return Connection(FileStorage(str(directory / "data.durus")), cache_size=2 * size)


@contextmanager
def add(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Commit SIZE new objects in one transaction; timed from making them."""
    connection = _opened(directory, size)

    def once() -> dict[str, Sample]:
        root = connection.get_root()
        with Stopwatch() as watch:
            record = None
            for number in reversed(range(size)):
                record = Record(number, record)
            root["first"] = record
            connection.commit()
        check("records", walk(root["first"]), (size, size * (size - 1) // 2))
        return {"": watch.sample(size)}

    yield once
    connection.storage.close()


@contextmanager
def read_cold(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open the database and load SIZE objects, from reference to reference."""
    connection = _opened(directory, size)
    records = [Record(number) for number in range(size)]
    first, following = leaping(size)
    for here, there in following.items():
        records[here].following = records[there]
    connection.get_root()["first"] = records[first]
    connection.commit()
    connection.storage.close()

    def once() -> dict[str, Sample]:
        connection = _opened(directory, size)
        start = connection.get_root()["first"]
        with Stopwatch() as watch:
            found = walk(start)
        check("records", found, (size, size * (size - 1) // 2))
        connection.storage.close()
        return {"": watch.sample(size)}

    yield once


PREPARES: Final[dict[str, Prepare]] = {"add": add, "read-cold": read_cold}
