"""The disk alone: as many bytes written and synced as the commit writes, and nothing else.

What is large is put at the end of a file that grows. What is small goes to a place that the
file has already, which is cheaper to sync.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.engines import Engine
from benchmarks.filling import record_data
from benchmarks.workload import Prepare, Round, Sample, Stopwatch, check

__all__ = ["OBJECTS", "PREPARES", "File", "record_bytes", "small_commit_bytes"]

OBJECTS = 10  # changed by a small commit
SHARING = 4  # commits that one sync can serve where four threads commit
TRANSACTION_BYTES = 31  # around the records of a transaction
HEADER_BYTES = 42  # in front of a record
POINTER_BYTES = 8  # in place of a record that an undo brings back
LENGTH_BYTES = 40  # the record of a `BTrees.Length`


def record_bytes() -> int:
    """Return how many bytes one of the benchmark's objects takes in a file."""
    return HEADER_BYTES + len(record_data(0, b"\0" * 8))


def small_commit_bytes() -> int:
    """Return how many bytes a commit of 10 objects takes."""
    return TRANSACTION_BYTES + OBJECTS * record_bytes()


class File:
    """A file that is written at a place, and synced."""

    def __init__(self, directory: Path, there_bytes: int = 0) -> None:
        self._descriptor = os.open(directory / "floor", os.O_CREAT | os.O_RDWR)
        self._end = 0
        self.append(b"\0" * there_bytes)
        self._end = 0

    def append(self, data: bytes) -> None:
        """Write behind what was written, and sync."""
        self._end += os.pwrite(self._descriptor, data, self._end)
        os.fdatasync(self._descriptor)

    def begin_again(self) -> None:
        """Write over what is there from now on."""
        self._end = 0

    def size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


def _appended(each_bytes: int, metric: str) -> Prepare:
    """Return one commit of SIZE times so many bytes, at the end of a file that grows."""

    @contextmanager
    def prepare(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        file, data = File(directory), b"\1" * (TRANSACTION_BYTES + each_bytes * size)

        def once() -> dict[str, Sample]:
            before = file.size_bytes()
            with Stopwatch() as watch:
                file.append(data)
            check("bytes", file.size_bytes(), before + len(data))
            return {metric: watch.sample(size)}

        yield once
        file.close()

    return prepare


def _small(data: bytes, commits_in_a_sync: int) -> Prepare:
    """Return SIZE small commits, so many of which are written and synced together."""

    @contextmanager
    def prepare(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        syncs = size // commits_in_a_sync
        together = data * commits_in_a_sync
        file = File(directory, syncs * len(together))

        def once() -> dict[str, Sample]:
            file.begin_again()
            with Stopwatch() as watch:
                for _ in range(syncs):
                    file.append(together)
            check("bytes", file.size_bytes(), syncs * len(together))
            return {"": watch.sample(syncs * commits_in_a_sync)}

        yield once
        file.close()

    return prepare


_COMMITS = _small(b"\1" * small_commit_bytes(), 1)

PREPARES: Final[dict[str, Prepare]] = {
    "add": _appended(record_bytes(), "commit"),
    "update": _appended(record_bytes(), "commit"),
    "big-object": _appended(1 << 20, "write"),
    "commit-1": _COMMITS,
    "commit-beside-readers": _COMMITS,
    "conflicts": _small(b"\1" * (TRANSACTION_BYTES + HEADER_BYTES + LENGTH_BYTES), SHARING),
    "undo": _appended(HEADER_BYTES + POINTER_BYTES, ""),
}
