"""Discarding staged changes: their files go, and nothing else ever does."""

import shutil

from perdure.errors import FileAccessError, Unsupported
from perdure.storages import FileStorage
from perdure.tools.stage.changed import changed_oids
from perdure.tools.stage.mark import read_mark

__all__ = ["discard"]


def discard(changes: FileStorage) -> int:
    """Close `changes` and remove their files, blobs included; return how many objects they had.

    The storage has to be open for writing, so nobody else has it. Raises `StagingError`
    where it holds no staged changes, and `Unsupported` if they are not in a file of their own.
    """
    if not isinstance(changes, FileStorage) or changes.isReadOnly():
        raise Unsupported("only changes in a file that is open for writing can be discarded")
    read_mark(changes)  # or they are no staged changes, but perhaps somebody's database
    count = len(changed_oids(changes))
    changes.close()
    try:
        changes.cleanup()
        if changes.blob_dir is not None:
            shutil.rmtree(changes.blob_dir)
    except OSError as error:
        raise FileAccessError(
            changes.getName(), "remove it", error, "some of it is gone"
        ) from error
    return count
