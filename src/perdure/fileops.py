"""The one seam to the operating system: every call that changes files.

Whatever a storage does to the disk goes through an object like this one, so
that tests can record the calls, make them fail, and work out what a crash would
leave behind. Reading does not change anything and goes around it.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from perdure import native

__all__ = ["FileOperations", "write_all"]

# The content and the size, but not the times: where those alone changed, the file system
# has nothing to write.
_pure_sync = os.fsync if sys.platform == "darwin" else os.fdatasync

# Who calls these has its turn soon afterwards, beside threads that load; see the C file.
_sync = native.courtesy.sync if native.courtesy else _pure_sync
_write = native.courtesy.write if native.courtesy else os.pwritev


class FileOperations:
    """The real calls. Files are named by descriptors once they are open; errors are `OSError`."""

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """Open or create a file and return its descriptor."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        """Write `pieces` from `position` on; return how many bytes were taken, perhaps not all."""
        return _write(descriptor, pieces, position)

    def sync(self, descriptor: int) -> None:
        """Return when all that was written to the file is on the disk."""
        _sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of what had that name."""
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def set_mode(self, path: Path, mode: int) -> None:
        """Set the permission bits of a file."""
        os.chmod(path, mode)

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        os.mkdir(path, mode)

    def remove_directory(self, path: Path) -> None:
        """Remove a directory, which must be empty."""
        os.rmdir(path)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory `path` are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(
    operations: FileOperations,
    descriptor: int,
    pieces: Sequence[bytes],
    position: int,
    size: int | None = None,
) -> int:
    """Write `pieces` from `position` on, whatever it takes; return the position behind them.

    `size` is that of all of them together, where it is known.
    """
    left = sum(map(len, pieces)) if size is None else size
    while left:
        written = operations.write(descriptor, pieces, position)
        if not written:
            raise OSError(errno.EIO, "nothing could be written, for no reason given")
        position += written
        left -= written
        if left:
            pieces = _rest(pieces, written)
    return position


def _rest(pieces: Sequence[bytes], written: int) -> Sequence[bytes]:
    """Return what remains of `pieces` after the first `written` bytes."""
    for number, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[number + 1 :]]
        written -= len(piece)
    return ()
