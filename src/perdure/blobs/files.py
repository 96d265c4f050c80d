"""Files on their way into a blob: moved by their name, copied only where that is impossible.

However large a file is, it is never read as a whole. Errors are `OSError`.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from perdure.fileops import FileOperations, write_all

__all__ = [
    "NO_LINKS",
    "copy_into",
    "copy_stream",
    "link_or_copy",
    "move",
    "remove_tree",
    "unused_path",
]

_PIECE_BYTES: Final = 1 << 20

NO_LINKS: Final = frozenset((errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS))
"""What the system says where a file cannot have a second name."""


def unused_path(directory: str | os.PathLike[str], prefix: str, suffix: str) -> Path:
    """Return a path at which nothing is, nor will be by chance."""
    return Path(directory, f"{prefix}{os.urandom(8).hex()}{suffix}")


def move(operations: FileOperations, source: Path, target: Path) -> None:
    """Give the file `source` the name `target`; what it was called before is gone then.

    From another device it is copied, and removed there when the copy is
    complete. A symbolic link is not moved: the file that it stands for is copied.
    """
    if not source.is_symlink():
        try:
            operations.rename(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
    copy_into(operations, source, target)
    operations.unlink(source)


def link_or_copy(operations: FileOperations, source: Path, target: Path) -> None:
    """Give the file a second name, or make a copy where the file system has one name each."""
    try:
        operations.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copy_into(operations, source, target)


def copy_into(operations: FileOperations, source: Path, target: Path) -> None:
    """Copy a file in pieces to `target`, which must not exist; nothing is left if that fails."""
    with open(source, "rb", buffering=0) as incoming:
        if not stat.S_ISREG(os.fstat(incoming.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(source))
        copy_stream(operations, incoming, target)


def copy_stream(operations: FileOperations, source: IO[bytes], target: Path) -> None:
    """Copy the rest of an open file to `target`, as `copy_into` does."""
    outgoing = operations.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        position = 0
        while piece := source.read(_PIECE_BYTES):
            position = write_all(operations, outgoing, [piece], position)
    except BaseException:
        with suppress(OSError):
            operations.unlink(target)
        raise
    finally:
        operations.close(outgoing)


def remove_tree(operations: FileOperations, path: Path) -> None:
    """Remove a directory and all that is in it, if it is there."""
    for where, _, names in os.walk(path, topdown=False):
        for name in names:
            operations.unlink(Path(where, name))
        operations.remove_directory(Path(where))
