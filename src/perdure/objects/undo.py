"""Undo as part of a transaction: a data manager that undoes transactions when it commits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.interfaces import TransactionMetaData

if TYPE_CHECKING:
    from perdure.objects.database import Database

__all__ = ["TransactionalUndo"]


class TransactionalUndo:
    """Undoes the transactions `tids` of `database`, in that order, in one new transaction."""

    def __init__(self, database: "Database", tids: Sequence[bytes]) -> None:
        self._database = database
        self._tids = tids
        self._storage = database.undo_instance()
        self._metadata = TransactionMetaData()
        self._begun = False

    def sortKey(self) -> str:
        return f"{self._storage.sortKey()}:{id(self)}"

    def abort(self, transaction: Any) -> None:
        """Nothing was done yet."""

    def tpc_begin(self, transaction: Any) -> None:
        self._metadata = TransactionMetaData(
            transaction.user, transaction.description, transaction.extension
        )
        self._storage.tpc_begin(self._metadata)
        self._begun = True

    def commit(self, transaction: Any) -> None:
        for tid in self._tids:
            self._storage.undo(tid, self._metadata)

    def tpc_vote(self, transaction: Any) -> None:
        self._storage.tpc_vote(self._metadata)

    def tpc_finish(self, transaction: Any) -> None:
        self._storage.tpc_finish(self._metadata)
        self._storage.release()
        self._database.changed()

    def tpc_abort(self, transaction: Any) -> None:
        if self._begun:
            self._storage.tpc_abort(self._metadata)
        self._storage.release()
