"""A data file that is backed up while it is in use: its bytes up to the end of a transaction.

Nobody is kept from writing. A writer only adds behind the end that is found
here, and a pack puts another file in its place; the one that was opened stays
as it was.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure.errors import BackupError, FileAccessError, FileMissingError
from perdure.ids import ZERO
from perdure.storages import FileStorage
from perdure.tools.backup.pieces import file_chunks

__all__ = ["Source", "open_source"]

_EDGE_BYTES: Final = 1 << 16
_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class Source:
    """An open data file: `end` is where the transaction `last_tid` ends, None if there is none."""

    path: Path
    descriptor: int
    end: int
    last_tid: bytes | None

    def edge_sha256(self, end: int) -> str:
        """Return the SHA-256 of the first and the last bytes up to `end`.

        Packing shifts what comes last, and its records say where they are: so a
        file that was packed, or is another one, does not have the same.
        """
        digest = hashlib.sha256()
        for start, stop in ((0, min(_EDGE_BYTES, end)), (max(end - _EDGE_BYTES, 0), end)):
            for chunk in file_chunks(self.descriptor, start, stop):
                digest.update(chunk)
        return digest.hexdigest()

    def sha256(self, start: int, end: int) -> str:
        """Return the SHA-256 of the bytes from `start` to `end`."""
        digest = hashlib.sha256()
        for chunk in file_chunks(self.descriptor, start, end):
            digest.update(chunk)
        return digest.hexdigest()

    def was_replaced(self) -> bool:
        """Return whether the path stands for another file by now: it was packed, or restored."""
        return not _is_at(self.descriptor, self.path)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a data file; raises what opening a `FileStorage` for reading raises."""
    for _ in range(_ATTEMPTS):
        with _descriptor(path) as descriptor:
            storage = FileStorage(path, read_only=True)
            try:
                end, last_tid = storage.getSize(), storage.lastTransaction()
            finally:
                storage.close()
            # The storage opened the path once more: a pack may have come between.
            if _is_at(descriptor, path):
                size = os.fstat(descriptor).st_size
                last = None if last_tid == ZERO else last_tid
                yield Source(path, descriptor, min(end, size), last)
                return
    raise BackupError(path, "a file that is replaced again and again", "one that stays")


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    try:
        # Never waiting, should it be a FIFO; what it is, the storage says.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileMissingError(path) from None
    except OSError as error:
        raise FileAccessError(path, "open it", error, "nothing was backed up") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether `path` stands for the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
