"""SQLite as a place for pickles by oid: what a table and `pickle` alone cost.

There are no objects that load themselves, no identity (an object that is read twice
is there twice) and no snapshot of the references; whoever wants the next one
asks for it by its oid. A commit is synced.
"""

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.engines import Engine
from benchmarks.objects import TEXT, leaping
from benchmarks.workload import Prepare, Round, Sample, Stopwatch, check

__all__ = ["PREPARES"]

_READ = "SELECT data FROM objects WHERE oid = ?"
_WRITE = "INSERT OR REPLACE INTO objects VALUES (?, ?)"


def _opened(directory: Path) -> sqlite3.Connection:
    db = sqlite3.connect(directory / "data.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")  # the faster one
    db.execute("PRAGMA synchronous=FULL")  # a commit is on the disk, as with the others
    db.execute("CREATE TABLE IF NOT EXISTS objects (oid INTEGER PRIMARY KEY, data BLOB)")
    return db


def _state(number: int, following: int | None) -> dict[str, Any]:
    return {
        "number": number,
        "title": f"record number {number}",
        "text": TEXT,
        "values": [number, number + 1, number + 2],
        "following": following,
    }


def _store(db: sqlite3.Connection, states: list[dict[str, Any]]) -> None:
    db.execute("BEGIN")
    db.executemany(_WRITE, [(state["number"], pickle.dumps(state, 3)) for state in states])
    db.execute("COMMIT")


def _walk(db: sqlite3.Connection, first: int) -> tuple[int, int]:
    count = total = 0
    oid: int | None = first
    while oid is not None:
        (data,) = db.execute(_READ, (oid,)).fetchone()
        state = pickle.loads(data)
        total += state["number"]
        count += 1
        oid = state["following"]
    return count, total


@contextmanager
def add(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Commit SIZE new records in one transaction; timed from making them."""
    db = _opened(directory)

    def once() -> dict[str, Sample]:
        db.execute("DELETE FROM objects")
        with Stopwatch() as watch:
            _store(db, [_state(n, n + 1 if n + 1 < size else None) for n in range(size)])
        check("records", _walk(db, 0), (size, size * (size - 1) // 2))
        return {"": watch.sample(size)}

    yield once
    db.close()


@contextmanager
def read_cold(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open the database and load SIZE records, from reference to reference."""
    first, following = leaping(size)
    db = _opened(directory)
    _store(db, [_state(number, following.get(number)) for number in range(size)])
    db.close()

    def once() -> dict[str, Sample]:
        db = _opened(directory)
        with Stopwatch() as watch:
            found = _walk(db, first)
        check("records", found, (size, size * (size - 1) // 2))
        db.close()
        return {"": watch.sample(size)}

    yield once


PREPARES: Final[dict[str, Prepare]] = {"add": add, "read-cold": read_cold}
