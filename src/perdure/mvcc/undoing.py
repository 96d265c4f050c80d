"""Undo as a snapshot's counterpart: it changes records, so every snapshot must hear of it."""

from collections.abc import Callable, Iterable
from typing import Any

from perdure.interfaces import HasMetaData

__all__ = ["UndoSnapshot"]


class UndoSnapshot:
    """Undoes transactions of a storage; `publish(tid, oids)` is told what that changed.

    `release` gives back the storage where it was made for this purpose alone.
    """

    def __init__(
        self,
        storage: Any,
        publish: Callable[[bytes, Iterable[bytes]], object],
        release: Callable[[], object] | None = None,
    ) -> None:
        self._release = release
        self._storage = storage
        self._publish = publish
        self._undone: set[bytes] = set()

    def sortKey(self) -> str:
        return str(self._storage.sortKey())

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self._storage.tpc_begin(transaction)
        self._undone = set()

    def undo(self, transaction_id: bytes, transaction: HasMetaData) -> None:
        """Undo one transaction within `transaction`; see `UndoableStorage.undo`."""
        changed = self._storage.undo(transaction_id, transaction)
        if changed:  # some storages say so only when voting
            self._undone.update(changed[1])

    def tpc_vote(self, transaction: HasMetaData) -> None:
        self._undone.update(self._storage.tpc_vote(transaction) or ())

    def tpc_finish(self, transaction: HasMetaData) -> bytes:
        undone, self._undone = self._undone, set()
        tid: bytes = self._storage.tpc_finish(transaction, lambda tid: self._publish(tid, undone))
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        self._undone = set()
        self._storage.tpc_abort(transaction)

    def release(self) -> None:
        """Give back what was held for undoing."""
        release, self._release = self._release, None
        if release is not None:
            release()
