"""Copying a database into another storage, of whatever kind, with its tids."""

from typing import Any

from perdure.capabilities import capabilities_of
from perdure.errors import Unsupported
from perdure.storages import CopyProgress, copy_transactions
from perdure.tools.progress import Progress

__all__ = ["copy"]


def copy(
    source: Any,
    target: Any,
    progress: Progress | None = None,
    *,
    without_blobs: bool = False,
) -> CopyProgress:
    """Copy every transaction of `source` that `target` does not have; return what was copied.

    A target that has the beginning of the source gets the rest, so a copy that
    was interrupted goes on, and a copy that is made again brings the target up
    to date. `progress` counts bytes of records. `without_blobs` copies the records of blobs
    from a source that was opened without its directory of them, and nothing else of them:
    a later copy does not bring them.

    Raises `StorageError` if the target has something else, and `Unsupported` if
    the source cannot be iterated, the target cannot take tids, or one of them has no place for a
    blob that the source has a record of.
    """
    if not capabilities_of(source).iteration:
        raise Unsupported(f"{source.getName()} cannot list its transactions")
    if not capabilities_of(target).restore:
        raise Unsupported(f"{target.getName()} cannot take transactions with their tids")
    if progress is None:
        return copy_transactions(source, target, without_blobs=without_blobs)
    total = source.getSize()

    def told(done: CopyProgress) -> None:
        # A size holds more than records: the end is known when it is there.
        progress(done.size_bytes, max(total, done.size_bytes))

    done = copy_transactions(source, target, told, without_blobs=without_blobs)
    progress(done.size_bytes, done.size_bytes)
    return done
