"""Undoing transactions, from outside."""

from collections.abc import Sequence

import transaction as transactions

from perdure.errors import Unsupported
from perdure.ids import tid_repr
from perdure.objects.database import Database
from perdure.storages.undolog import transaction_id

__all__ = ["undo"]


def undo(database: Database, tids: Sequence[bytes], *, user: str = "", note: str = "") -> bytes:
    """Undo the transactions `tids`, all in one new transaction; return its tid.

    `user` and `note` are what that one says of itself; by default its note names
    what it undid.

    Raises `UndoError` where a later change stands in the way, or where a
    transaction is not there or was packed; then nothing is undone. Raises
    `Unsupported` if the storage cannot undo.
    """
    if not database.supportsUndo():
        raise Unsupported(f"{database.getName()} cannot undo transactions")
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
