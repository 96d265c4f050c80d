"""Undoing transactions, from outside."""

from collections.abc import Iterator, Sequence
from typing import Any

import transaction as transactions

from perdure.capabilities import capabilities_of
from perdure.errors import Unsupported
from perdure.ids import oid_repr, tid_repr
from perdure.objects.database import Database
from perdure.records import is_blob
from perdure.storages.undolog import transaction_id

__all__ = ["undo"]


def undo(database: Database, tids: Sequence[bytes], *, user: str = "", note: str = "") -> bytes:
    """Undo the transactions `tids`, all in one new transaction; return its tid.

    `user` and `note` are what that one says of itself; by default its note names
    what it undid.

    Raises `UndoError` where a later change stands in the way, or where a
    transaction is not there or was packed; then nothing is undone. Raises
    `Unsupported` if the storage cannot undo, or was opened without the blobs that
    a transaction wrote: what they were before would be missing.
    """
    if not database.supportsUndo():
        raise Unsupported(f"{database.getName()} cannot undo transactions")
    for oid in _blobs_elsewhere(database.storage, tids):
        raise Unsupported(
            f"{database.getName()} was opened without its blobs, and oid {oid_repr(oid)} is one; "
            "open it with its blob_dir"
        )
    manager = transactions.TransactionManager()
    current = manager.begin()
    current.user = user
    current.note(note or f"undo {', '.join(map(tid_repr, tids))}")
    try:
        database.undoMultiple([transaction_id(tid) for tid in tids], current)
        manager.commit()
    except BaseException:
        manager.abort()
        raise
    return database.lastTransaction()


def _blobs_elsewhere(storage: Any, tids: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the oids of blobs that `tids` wrote, if `storage` keeps no blobs."""
    capabilities = capabilities_of(storage)
    if capabilities.blobs or not capabilities.iteration:
        return
    for tid in tids:
        for found in storage.iterator(tid, tid):
            for record in found:
                if record.data is not None and is_blob(record.data):
                    yield record.oid
