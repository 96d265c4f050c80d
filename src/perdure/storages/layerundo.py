"""Undo in a layer over a base: by the changes themselves, unless it takes what is in the base.

The changes cannot undo a first change to an object of the base where a later one has to
be kept: what there was before, which the later change is merged with, is in the base.
So the plan is made here, from both sides of the seam, and what comes of it is stored as
one more change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, UndoError
from perdure.ids import MAX_TID, tid_repr
from perdure.interfaces import HasMetaData
from perdure.records.transforms import NO_FACTS, Facts
from perdure.storages.layerblobs import LayerBlobs
from perdure.storages.plan import Resolve
from perdure.storages.reundo import Undoing
from perdure.storages.seam import Seam
from perdure.storages.seamcommits import SeamDraft
from perdure.storages.sides import Sides
from perdure.storages.undolog import undone_tid

__all__ = ["LayerUndo"]


@dataclass(frozen=True, slots=True)
class _AsItIs:
    """The transform of records that are kept as they are."""

    name: str = "plain"
    binds: bool = False
    carries: bool = False

    def transform(self, oid: bytes | None, data: bytes, facts: Facts = NO_FACTS) -> bytes:
        return data

    def untransform(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> bytes:
        return stored

    def bind(self, oid: bytes, tid: bytes, stored: bytes) -> bytes:
        return stored

    def facts(self, stored: bytes) -> Facts:
        return NO_FACTS


_AS_IT_IS: Final = _AsItIs()


class LayerUndo:
    """Undo of the changes of `layer`, which `seam` and `sides` read as one with its base."""

    def __init__(self, layer: Any, seam: Seam, sides: Sides, resolve: Resolve) -> None:
        self._layer = layer
        self._changes = layer.changes
        self._seam = seam
        self._sides = sides
        self._resolve = resolve
        can = capabilities_of(self._changes)
        self._merges = can.iteration and can.restore

    def undo(
        self, transaction_id: bytes, draft: SeamDraft, transaction: HasMetaData
    ) -> list[bytes]:
        """Undo a transaction of the changes; return the oids that changes. Raises `UndoError`.

        `draft` is that of `transaction`, whose first undo decides for all: neither way
        knows what the other plans.
        """
        tid = undone_tid(transaction_id)
        if draft.undoes is None:
            draft.undoes = self._way(tid, transaction)
        if tid <= self._seam.base_tid:
            raise UndoError(f"transaction {tid_repr(tid)} is of the base, which stays as it is")
        return draft.undoes(transaction_id)

    def _way(self, tid: bytes, transaction: HasMetaData) -> Callable[[bytes], list[bytes]]:
        """Return what undoes `tid`, and others, in `transaction`."""
        if not self._merges or not self._needs_base(tid):
            return partial(self._in_changes, transaction)
        blobs = LayerBlobs(self._layer, _AS_IT_IS, None)
        undoing = Undoing(self._layer, _AS_IT_IS, blobs, self._resolve, transaction)
        return lambda transaction_id: undoing.undo(undone_tid(transaction_id))

    def _in_changes(self, transaction: HasMetaData, transaction_id: bytes) -> list[bytes]:
        oids = list(self._changes.undo(transaction_id, transaction)[1])
        self._sides.bring_back(oids, undone_tid(transaction_id), transaction)
        return oids

    def _needs_base(self, tid: bytes) -> bool:
        """Return whether undoing `tid` takes a state of the base, to merge a later change with."""
        return any(
            self._seam.newest_in_changes(record.oid) != tid
            and self._seam.first_in_changes(record.oid) == tid
            and self._is_in_base(record.oid)
            for transaction in self._changes.iterator(tid, tid)
            for record in transaction
        )

    def _is_in_base(self, oid: bytes) -> bool:
        try:
            return self._seam.load_from_base(oid, MAX_TID) is not None
        except POSKeyError:
            return False
