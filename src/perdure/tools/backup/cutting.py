"""How much of a restored data file is wanted: up to the last transaction of a moment."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from perdure.errors import BackupError
from perdure.ids import tid_repr
from perdure.storages.file.format import MAGIC, NUMBER, TRANSACTION_HEADER

__all__ = ["Part", "find_part"]

_AHEAD_BYTES: Final = 1 << 16


class Part(NamedTuple):
    """The beginning of a data file: where it ends, and its newest tid, None if it has none."""

    end: int
    last_tid: bytes | None


def find_part(descriptor: int, directory: Path, size: int, at: bytes | None) -> Part:
    """Return the part of an open data file of `size` bytes that was there at the tid `at`.

    Without `at` it is all of it. Raises `BackupError` about `directory` if the
    file has nothing so old, if it was packed to a later moment, and if its
    transactions do not follow one another.
    """
    position = len(MAGIC)
    part = Part(position, None)
    later = False
    ahead, ahead_at = b"", position
    while position < size:
        if position + TRANSACTION_HEADER.size > ahead_at + len(ahead):
            ahead, ahead_at = os.pread(descriptor, _AHEAD_BYTES, position), position
        if position + TRANSACTION_HEADER.size > size:
            raise _not_a_data_file(directory, position, "too little for a transaction")
        tid, length, status = TRANSACTION_HEADER.unpack_from(ahead, position - ahead_at)[:3]
        position += length + NUMBER.size
        if length < TRANSACTION_HEADER.size or position > size:
            raise _not_a_data_file(directory, position, f"the end of one of {length} bytes")
        later = later or (at is not None and tid > at)
        if not later:
            part = Part(position, tid)
        elif status == b"p":
            found = f"that the file was packed to {tid_repr(tid)}, or later"
            raise BackupError(directory, found, "one that was not", "restore a later moment")
    if later and part.last_tid is None:
        raise BackupError(directory, "no transaction so old", "one at the moment asked for")
    return part


def _not_a_data_file(directory: Path, position: int, found: str) -> BackupError:
    expected = "transactions, one behind the other; it was damaged before it was backed up"
    return BackupError(directory, f"at byte {position} of the data file {found}", expected)
