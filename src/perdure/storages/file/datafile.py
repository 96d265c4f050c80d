"""An open data file: its descriptor, and positional reads.

Any number of threads read at once, without a lock. The descriptor is closed
when the last user lets go of the object, so that a reader who is still busy
after the storage was closed, or packed, reads from the file that it began with.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from perdure import native
from perdure.errors import CorruptDataError, FileAccessError
from perdure.storages.file.format import (
    RECORD_HEADER,
    TRANSACTION_HEADER,
    RecordHeader,
    TransactionHeader,
    unpack_record_header,
    unpack_transaction_header,
)
from perdure.storages.file.naming import names_file

__all__ = ["DataFile"]

# Who works long, a pack or a check, has its turn after each read, beside threads that load.
_read = native.courtesy.read if native.courtesy else os.pread


class DataFile:
    """The file at `path`, open as `descriptor`, which it owns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.is_at_its_path = _asking(path, descriptor)
        """Returns whether the path still names this file: it was not packed or replaced.

        Raises `OSError` where that cannot be told.
        """

    def __del__(self) -> None:
        os.close(self.descriptor)

    def size(self) -> int:
        """Return the size of the file in bytes, as it is now."""
        # Not by fstat, which asks for times, too: see `naming`.
        return os.lseek(self.descriptor, 0, os.SEEK_END)

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer where the file ends.

        Raises `FileAccessError` where the operating system refuses.
        """
        try:
            data = _read(self.descriptor, size, position)
        except OSError as error:
            raise self.unreadable(position, error) from error
        if len(data) == size or not data:
            return data
        return data + self.read(position + len(data), size - len(data))

    def read_exactly(self, position: int, size: int, oid: bytes | None = None) -> bytes:
        """Return `size` bytes; `CorruptDataError`, naming `oid`, if the file ends before."""
        # Asked of the file first: a damaged size must not make us allocate it.
        if size > 1 << 20 and position + size > self.size():
            data = b""
            left = self.size() - position
        else:
            data = self.read(position, size)
            left = len(data)
        if len(data) < size:
            found = f"{left} bytes before the end of the file"
            raise CorruptDataError(self.path, position, found, f"{size} bytes", oid)
        return data

    def unreadable(self, position: int, error: OSError) -> FileAccessError:
        """Return what to raise where the operating system does not let us read."""
        return FileAccessError(self.path, f"read it at byte {position}", error, "nothing changed")

    def record_header(self, position: int, oid: bytes | None = None) -> RecordHeader:
        """Return the header of the record at `position`.

        Raises `CorruptDataError` if it is not one, or not one of `oid`.
        """
        data = self.read(position, RECORD_HEADER.size)
        return unpack_record_header(data, self.path, position, oid)

    def transaction_header(self, position: int) -> TransactionHeader:
        """Return the header of the transaction at `position`; `CorruptDataError` if cut short."""
        data = self.read(position, TRANSACTION_HEADER.size)
        return unpack_transaction_header(data, self.path, position)


def _asking(path: Path, descriptor: int) -> Callable[[], bool]:
    """Return what tells whether `path` names the open file `descriptor`."""
    held, name = os.fstat(descriptor), os.fsencode(path)
    if native.courtesy:
        is_local = native.courtesy.is_local(descriptor)
        return partial(native.courtesy.names_file, name, held.st_dev, held.st_ino, is_local)
    return partial(names_file, name, held.st_dev, held.st_ino)
