"""Packing a blob directory: the blobs of revisions that are gone go too.

What is needed is asked of the records, blob by blob. So whatever an earlier
pack, or a crash, left behind is found as well.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from perdure.blobs.directory import BlobDirectory
from perdure.blobs.files import NO_LINKS, remove_tree
from perdure.blobs.opening import open_blob_directory
from perdure.fileops import FileOperations

__all__ = ["old_path", "pack_blobs"]

log = logging.getLogger("perdure.blobs")


def old_path(directory: BlobDirectory) -> Path:
    """Return where the blobs are kept as they were before a pack."""
    return directory.path.with_name(directory.path.name + ".old")


def pack_blobs(
    directory: BlobDirectory,
    stop: bytes,
    needed: Callable[[bytes, bytes], bool],
    keep_old: FileOperations | None = None,
) -> int:
    """Remove the blobs, not later than the tid `stop`, of revisions that are gone.

    `needed(oid, tid)` says whether a revision is still there. With `keep_old`,
    the removed and the remaining blobs are then, as links, in the directory
    `NAME.old`, beside the data file that was kept. Returns how many were
    removed. Raises `OSError`, and what `needed` raises; calling again goes on.
    """
    old: BlobDirectory | None = None
    if keep_old is not None:
        remove_tree(keep_old, old_path(directory))
        old = open_blob_directory(old_path(directory), keep_old, new_layout=directory.layout)
    links = old
    removed = 0
    for oid in directory.objects():
        for tid in directory.revisions(oid):
            if tid > stop or needed(oid, tid):
                if links is not None and not _linked(directory, links, oid, tid):
                    links = None
            else:
                if old is not None:
                    directory.move_to(old, oid, tid)
                else:
                    directory.remove(oid, tid)
                removed += 1
    return removed


def _linked(directory: BlobDirectory, old: BlobDirectory, oid: bytes, tid: bytes) -> bool:
    """Link a blob to the old directory; return whether that makes sense here."""
    try:
        directory.link_to(old, oid, tid)
    except FileNotFoundError:
        pass  # its transaction was aborted meanwhile
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        log.warning("%s: has only what was removed, for links are impossible: %s", old.path, error)
        return False
    return True
