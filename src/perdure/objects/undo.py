"""Undo as part of a transaction: a data manager that undoes transactions when it commits.

And what is said about transactions that can be undone, as text.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perdure.interfaces import TransactionMetaData

if TYPE_CHECKING:
    from perdure.objects.database import Database

__all__ = ["TransactionalUndo", "as_text", "newest_first"]

_TEXTS = ("user_name", "description")


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
        self._database.undone()

    def tpc_abort(self, transaction: Any) -> None:
        if self._begun:
            self._storage.tpc_abort(self._metadata)
        self._storage.release()


def as_text(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return entries that describe transactions, with the bytes of the storage as text."""
    texts: list[Mapping[str, Any]] = []
    for entry in entries:
        text = dict(entry)
        for name in _TEXTS:
            value = text.get(name)
            if isinstance(value, bytes):
                text[name] = value.decode("utf-8", "replace")
        texts.append(text)
    return texts


def newest_first(ids: Sequence[bytes | str]) -> Sequence[bytes]:
    """Return undo ids, newest first, or as they are if they are not known to be tids."""
    given = [each.encode() if isinstance(each, str) else each for each in ids]
    try:
        # A file storage's ids are tids in base 64, which does not sort like them.
        tids = {each: each if len(each) == 8 else b64decode(each, validate=True) for each in given}
    except ValueError:
        return given
    return sorted(given, key=tids.__getitem__, reverse=True)
