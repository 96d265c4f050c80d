"""Opening a data file: is it one, may we, and is it the beginning of one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.errors import (
    FileAccessError,
    FileMissingError,
    FileStorageError,
    FileStorageFormatError,
)
from perdure.fileops import FileOperations, write_all
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import MAGIC

__all__ = ["access", "open_data_file"]


@contextmanager
def access(path: Path, action: str, consequence: str) -> Iterator[None]:
    """Turn an `OSError` of the body into a `FileAccessError` that says what was tried."""
    try:
        yield
    except FileStorageError:  # which says what it is about
        raise
    except OSError as error:
        raise FileAccessError(path, action, error, consequence) from error


def open_data_file(
    operations: FileOperations, path: Path, read_only: bool, create: bool
) -> DataFile:
    """Open the file, or begin a new one where there is none or `create` asks for it.

    Raises `FileMissingError` if it should be read and is not there,
    `FileStorageFormatError` if it is not a data file that this version reads,
    and `FileAccessError` where the operating system refuses.
    """
    with access(path, "open it", "nothing was changed"):
        _refuse_other_kinds(path, read_only)
        if create and path.exists():
            operations.unlink(path)
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        file = DataFile(path, operations.open(path, flags))
        magic = file.read(0, len(MAGIC))
        if magic == MAGIC:
            return file
        if not MAGIC.startswith(magic.rstrip(b"\0")) or file.size() > len(MAGIC):
            raise _not_ours(path, magic)
        # Empty, or its creation was cut short: a database without transactions.
        if not read_only:
            write_all(operations, file.descriptor, [MAGIC], 0)
            operations.sync(file.descriptor)
            operations.sync_directory(path.parent)
        return file


def _refuse_other_kinds(path: Path, read_only: bool) -> None:
    """Raise if there is something else than a file, before opening it: a FIFO would wait."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if read_only:
            raise FileMissingError(path) from None
        return
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        found = kinds.get(stat.S_IFMT(mode), "a device")
        raise FileStorageFormatError(path, found, "a data file")


def _not_ours(path: Path, magic: bytes) -> FileStorageFormatError:
    expected = f"{MAGIC!r} at its start"
    if magic == b"FS21":
        advice = "it is a database of Python 2; convert it with zodbupdate (--convert-py3) first"
    elif magic[:2] == b"FS" and magic[2:].isdigit():
        advice = "it is of a newer format; open it with a newer version"
    else:
        advice = "it is not a database"
    return FileStorageFormatError(path, repr(magic), expected, advice)
