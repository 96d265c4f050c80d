"""Discarding staged changes: their files go, and nothing else ever does."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from perdure.capabilities import capabilities_of
from perdure.errors import FileAccessError, POSKeyError, Unsupported
from perdure.records.exporting import is_blob
from perdure.storages import FileStorage
from perdure.tools.stage.changed import changed_oids
from perdure.tools.stage.mark import read_mark

__all__ = ["discard", "remove"]

_OWN_FILES = (".layout",)
_OWN_DIRECTORIES = ("tmp",)
"""What a blob directory has besides blobs."""


def discard(changes: FileStorage) -> int:
    """Close `changes` and remove their files, blobs included; return how many objects they had.

    The storage has to be open for writing, so nobody else has it. Raises `StagingError`
    where it holds no staged changes, and `Unsupported` if they are not in a file of their own.
    """
    if not isinstance(changes, FileStorage) or changes.isReadOnly():
        raise Unsupported("only changes in a file that is open for writing can be discarded")
    read_mark(changes)  # or they are no staged changes, but perhaps somebody's database
    count = len(changed_oids(changes))
    remove(changes)
    return count


def remove(changes: FileStorage) -> None:
    """Close a storage and remove its files and its blobs; a directory if nothing else is in it."""
    blobs = list(_blobs(changes))
    changes.close()
    try:
        for blob in blobs:
            blob.unlink(missing_ok=True)
        changes.cleanup()
        if changes.blob_dir is not None:
            _remove_directory(Path(changes.blob_dir))
    except OSError as error:
        consequence = "some of it is gone"
        raise FileAccessError(changes.getName(), "remove it", error, consequence) from error


def _blobs(changes: FileStorage) -> Iterator[Path]:
    if not capabilities_of(changes).blobs:
        return
    for transaction in changes.iterator():
        for record in transaction:
            if record.data is not None and is_blob(record.data):
                with suppress(POSKeyError):
                    yield Path(changes.loadBlob(record.oid, record.tid))


def _remove_directory(directory: Path) -> None:
    """Remove a blob directory, unless there are blobs of somebody else in it."""
    for place, _names, _files in os.walk(directory, topdown=False):
        if Path(place) != directory:
            with suppress(OSError):  # it is not empty
                os.rmdir(place)
    left = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    if left <= {*_OWN_FILES, *_OWN_DIRECTORIES}:
        for name in _OWN_FILES:
            (directory / name).unlink(missing_ok=True)
        with suppress(OSError):
            directory.rmdir()
