"""What state a data file is in: its transactions, their checksums, the index beside it.

Headers are read, not records: a look at each transaction, no verification.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure.errors import CorruptDataError, FileAccessError
from perdure.storages.file.format import (
    MAGIC,
    NUMBER,
    TRANSACTION_HEADER,
    TransactionHeader,
    split_extension,
)
from perdure.storages.file.indexfile import unpack_index
from perdure.storages.file.loading import index_path
from perdure.tools.progress import Progress

__all__ = ["FileState", "file_state"]

_AHEAD_BYTES: Final = 1 << 16
_TELL_EVERY: Final = 1000


@dataclass(frozen=True, slots=True)
class FileState:
    """Counts of transactions, and what the index is good for.

    `checked_count` are the transactions that have a checksum. `indexed_bytes` is how
    much of the file the saved index knows, None if there is no index that can be
    read; `index_problem` says why, or is "".
    """

    transaction_count: int
    packed_count: int
    checked_count: int
    indexed_bytes: int | None
    index_problem: str


def file_state(path: Path, size: int, progress: Progress | None = None) -> FileState:
    """Return the state of the first `size` bytes of a data file, which end with a transaction.

    `progress` counts bytes. Raises `CorruptDataError` where the transactions do
    not follow one another, and `FileAccessError` if the file cannot be read.
    """
    count = packed = checked = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileAccessError(path, "read it", error, "nothing changed") from error
    try:
        headers = _Headers(descriptor, path, size)
        position = len(MAGIC)
        while position < size:
            header, extension = headers.read(position)
            count += 1
            packed += header.status == b"p"
            trailer = split_extension(extension)[1]
            bound = trailer is not None and trailer[:2] == (position, header.length)
            checked += bound
            position += header.length + NUMBER.size
            if progress is not None and count % _TELL_EVERY == 0:
                progress(position, size)
    finally:
        os.close(descriptor)
    if progress is not None:
        progress(size, size)
    return FileState(count, packed, checked, *_index_state(path, size))


class _Headers:
    """Reads the headers of transactions, in order, out of larger pieces."""

    def __init__(self, descriptor: int, path: Path, size: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = size
        self._ahead = b""
        self._ahead_at = 0

    def read(self, position: int) -> tuple[TransactionHeader, bytes]:
        """Return the header of the transaction at `position`, and its extension field."""
        head = self._bytes(position, TRANSACTION_HEADER.size)
        if len(head) < TRANSACTION_HEADER.size:
            found = f"{len(head)} bytes"
            raise CorruptDataError(self._path, position, found, "a transaction header")
        header = TransactionHeader._make(TRANSACTION_HEADER.unpack(head))
        end = position + header.length + NUMBER.size
        if header.length < header.size or end > self._size:
            found = f"a transaction up to {end}"
            expected = f"one that ends before {self._size}"
            raise CorruptDataError(self._path, position, found, expected)
        start = position + header.size - header.extension_size
        return header, self._bytes(start, header.extension_size)

    def _bytes(self, position: int, size: int) -> bytes:
        offset = position - self._ahead_at
        if offset < 0 or offset + size > len(self._ahead):
            self._ahead = os.pread(self._descriptor, max(_AHEAD_BYTES, size), position)
            self._ahead_at, offset = position, 0
        return self._ahead[offset : offset + size]


def _index_state(path: Path, size: int) -> tuple[int | None, str]:
    try:
        saved = unpack_index(index_path(path).read_bytes())
    except FileNotFoundError:
        return None, "there is none"
    except (OSError, ValueError) as error:
        return None, str(error)
    if saved.position > size:
        return None, f"it is of a file of at least {saved.position} bytes"
    return saved.position, ""
