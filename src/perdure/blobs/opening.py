"""Opening a blob directory: which layout it has, may we use it, and the making of a new one."""

import errno
import logging
import os
import stat
from pathlib import Path

from perdure.blobs.directory import BlobDirectory
from perdure.blobs.layout import BUSHY, LAWN, LAYOUTS, MARKER, TEMPORARY, Layout
from perdure.errors import FileAccessError, FileMissingError, FileStorageFormatError
from perdure.fileops import FileOperations, write_all

__all__ = ["open_blob_directory"]

log = logging.getLogger("perdure.blobs")

_PRIVATE = 0o700
_UNCHANGED = "the database was not opened"


def open_blob_directory(
    path: Path,
    operations: FileOperations,
    read_only: bool = False,
    new_layout: Layout = BUSHY,
) -> BlobDirectory:
    """Return the blob directory at `path`, which is made, for its owner only, if there is none.

    The layout is what the directory says, `new_layout` for a new one, and `lawn`
    for one in use that says nothing. With `read_only`, nothing is made.

    Raises `FileMissingError` where it should be read and is not there,
    `FileStorageFormatError` where it is none or of an unknown layout, and
    `FileAccessError` where the operating system refuses.
    """
    try:
        if not path.exists():
            if read_only:
                raise FileMissingError(path)
            _make(path, operations)
            log.info("%s: made a new blob directory", path)
        if not stat.S_ISDIR(path.stat().st_mode):
            raise FileStorageFormatError(path, "a file", "a blob directory")
        layout = _layout_of(path, new_layout)
        if not read_only:
            _complete(path, layout, operations)
        return BlobDirectory(path, layout, operations)
    except OSError as error:
        if isinstance(error, FileMissingError | FileAccessError):
            raise
        raise FileAccessError(path, "use it for blobs", error, _UNCHANGED) from error


def _make(path: Path, operations: FileOperations) -> None:
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        operations.make_directory(each, _PRIVATE)
        operations.sync_directory(each.parent)


def _layout_of(path: Path, new: Layout) -> Layout:
    try:
        # As bytes: whatever is in there has to be named in the error.
        found = (path / MARKER).read_bytes().strip()
    except FileNotFoundError:
        names = [name for name in os.listdir(path) if name[0] != "." and name != TEMPORARY]
        return LAWN if names else new
    layout = LAYOUTS.get(found.decode("ascii", "replace"))
    if layout is None:
        expected = f"one of {', '.join(LAYOUTS)}"
        raise FileStorageFormatError(path / MARKER, f"the layout {found!r}", expected)
    return layout


def _complete(path: Path, layout: Layout, operations: FileOperations) -> None:
    """Make what is missing in the directory, and make sure that one can write there."""
    temporary = path / TEMPORARY
    if not temporary.exists():
        operations.make_directory(temporary, stat.S_IMODE(path.stat().st_mode))
    for each in (path, temporary):
        if not os.access(each, os.W_OK | os.X_OK):
            error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(each))
            raise FileAccessError(each, "put blobs there", error, _UNCHANGED)
    marker = path / MARKER
    if not marker.exists():
        # Complete or not there: a directory without the marker would pass for a lawn.
        draft = temporary / MARKER
        descriptor = operations.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(operations, descriptor, [layout.name.encode()], 0)
            operations.sync(descriptor)
        finally:
            operations.close(descriptor)
        operations.rename(draft, marker)
        operations.sync_directory(path)
