"""What it takes to undo a transaction: earlier records again, or merges with what came later."""

from typing import Generic

from perdure.errors import ConflictError, MultipleUndoErrors, UndoError
from perdure.storages.plan import (
    NOT_LOOKED_FOR,
    HasBlob,
    Place,
    Plan,
    Planned,
    Resolve,
    Revisions,
    Undone,
    no_blobs,
    record_of,
)

__all__ = ["UndoPlan"]


class UndoPlan(Generic[Place]):
    """Undos, as they are added to what a transaction has `planned`.

    `reverted` is given, by oid, the record that an undo makes current again; only where
    there are blobs: where `has_blob`, the record does not tell what the object holds.
    """

    def __init__(
        self,
        revisions: Revisions[Place],
        resolve: Resolve,
        has_blob: HasBlob[Place],
        planned: Plan[Place],
        reverted: dict[bytes, Place],
    ) -> None:
        self._revisions = revisions
        self._resolve = resolve
        self._has_blob = has_blob
        self._planned = planned
        self._reverted = reverted

    def undo(self, tid: bytes) -> list[bytes]:
        """Plan what undoes `tid`; return the oids that changes. Raises `UndoError`."""
        if not self._planned and self._has_blob is no_blobs:
            planned_at_once = self._revisions.plan_undone(tid)
            if planned_at_once is not None:
                self._planned.update(planned_at_once)
                return list(planned_at_once)
        oids = []
        failures: list[UndoError] = []
        place, earlier = self._revisions.place, set(self._planned)
        for record in self._revisions.records_of(tid):
            oid, current, _, origin = record
            oids.append(oid)
            planned: Planned[Place]
            try:
                if origin is not NOT_LOOKED_FOR and place(oid) == current and oid not in earlier:
                    planned = (None, origin, current)  # as `_undo_record` would, for most
                else:
                    planned = self._undo_record(record, tid)
                self._planned[oid] = planned
                if record.previous is not None and self._has_blob is not no_blobs:
                    self._reverted[oid] = record.previous
                elif self._reverted:
                    self._reverted.pop(oid, None)
            except UndoError as error:
                failures.append(error)
        if failures:
            # For one, too, as ZODB does: servers know how to send this error to their clients.
            raise MultipleUndoErrors([(error.oid or b"", error.reason) for error in failures])
        return oids

    def _undo_record(self, undone: Undone[Place], tid: bytes) -> Planned[Place]:
        oid, previous = undone.oid, undone.previous
        revisions = self._revisions
        current = revisions.place(oid)
        origin = undone.origin
        if origin is NOT_LOOKED_FOR:
            origin = None if previous is None else revisions.origin(oid, previous)
        if (oid not in self._planned and current == undone.place) or self._says_the_same(undone):
            return (None, origin, current)
        if previous is None:
            raise UndoError("it was created by this transaction and changed by a later one", oid)
        if origin is None or current is None:
            raise UndoError("it was changed by a later transaction, and was gone before", oid)
        committed_data = self._data_now(oid)
        if committed_data is None:
            raise UndoError("it was deleted by a later transaction", oid)
        try:
            merged = self._resolve(
                oid,
                revisions.newest(oid)[1],
                tid,
                revisions.data_at(oid, origin),
                committed_data,
            )
        except ConflictError:
            raise UndoError("it was changed by a later transaction", oid) from None
        return (merged, None, current)

    def _says_the_same(self, undone: Undone[Place]) -> bool:
        """Return whether later changes left the object as the undone transaction wrote it."""
        origin = self._revisions.origin(undone.oid, undone.place)
        if origin is None:
            return self._data_now(undone.oid) is None
        if self._has_blob(undone.oid, undone.place):
            # Its records are all alike; only a record that points to it stands for the same.
            return self._origin_now(undone.oid) == origin
        return self._data_now(undone.oid) == self._revisions.data_at(undone.oid, origin)

    def _data_now(self, oid: bytes) -> bytes | None:
        """Return the object's record as this transaction would leave it, None if gone."""
        planned = self._planned.get(oid)
        if planned is not None and planned[0] is not None:
            return record_of(planned[0])
        origin = self._origin_now(oid)
        return None if origin is None else self._revisions.data_at(oid, origin)

    def _origin_now(self, oid: bytes) -> Place | None:
        """Return where the bytes are of what this transaction would leave; None if nowhere yet."""
        planned = self._planned.get(oid)
        if planned is not None:
            return planned[1]
        current, _ = self._revisions.newest(oid)
        return None if current is None else self._revisions.origin(oid, current)
