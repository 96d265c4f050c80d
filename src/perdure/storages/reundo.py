"""Undo above a transforming layer, where every revision has to be written anew.

A storage undoes by having a new revision point to the bytes of an earlier one.
Where records are bound to their transaction those would not be good there; and
whoever could make such a pointer could bring back any old state of an object. So
the plan is made here, from what the records mean, and each is stored again.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, UndoError
from perdure.ids import MAX_TID, ZERO, tid_repr
from perdure.interfaces import HasMetaData
from perdure.records import is_blob
from perdure.records.transforms import NO_FACTS, Facts, RecordTransform
from perdure.storages.changes import Changes
from perdure.storages.layerblobs import LayerBlobs
from perdure.storages.plan import Plan, Resolve, StoredRecords, Undone, record_of

__all__ = ["Restated", "Undoing"]


@dataclass(frozen=True, slots=True)
class Restated:
    """One revision, as its record means it; `data` is None where the object is gone.

    `tid` is that of the revision which it repeats, if it repeats one: two with the
    same tid are the same. `blob` names the file of its blob, and `file_tid` the
    revision that has a link to it.
    """

    tid: bytes
    data: bytes | None = field(compare=False)
    blob: bytes = field(compare=False)
    file_tid: bytes = field(compare=False)


class _Revisions:
    """The committed records of the storage below, turned back."""

    def __init__(self, base: Any, transform: RecordTransform) -> None:
        self._base = base
        self._transform = transform

    def new_plan(self) -> Plan[Restated]:
        return {}

    def newest(self, oid: bytes) -> tuple[Restated | None, bytes]:
        with suppress(POSKeyError):
            data, tid, _ = self._base.loadBefore(oid, MAX_TID)
            return self._restated(oid, tid, data), tid
        try:
            tid = self._base.history(oid)[0]["tid"]
        except POSKeyError:
            return None, ZERO
        return Restated(tid, None, b"", tid), tid

    def plan_unchanged(self, records: StoredRecords, number: int, planned: object) -> int:
        return number  # all are asked for one by one

    def place(self, oid: bytes) -> Restated | None:
        return self.newest(oid)[0]

    def origin(self, oid: bytes, place: Restated) -> Restated | None:
        return None if place.data is None else place

    def data_at(self, oid: bytes, place: Restated) -> bytes:
        if place.data is None:
            raise POSKeyError(oid)
        return place.data

    def content(self, oid: bytes, place: Restated) -> bytes | None:
        return place.data

    def written_by(self, oid: bytes, tid: bytes) -> Restated | None:
        try:
            return self._restated(oid, tid, self._base.loadSerial(oid, tid))
        except POSKeyError:
            return None

    def plan_undone(self, tid: bytes) -> None:
        return None  # all are looked at one by one

    def records_of(self, tid: bytes) -> Iterator[Undone[Restated]]:
        transaction = next(self._base.iterator(tid, tid), None)
        if transaction is None:
            raise UndoError(f"there is no transaction {tid_repr(tid)}")
        if transaction.status != " ":
            raise UndoError(f"transaction {tid_repr(tid)} was packed")
        found = {record.oid: record.data for record in transaction}
        for oid, data in found.items():
            yield Undone(oid, self._restated(oid, tid, data), self._before(oid, tid))

    def _before(self, oid: bytes, tid: bytes) -> Restated | None:
        try:
            revision = self._base.loadBefore(oid, tid)
        except POSKeyError:
            return None
        return None if revision is None else self._restated(oid, revision[1], revision[0])

    def _restated(self, oid: bytes, tid: bytes, stored: bytes | None) -> Restated:
        if stored is None:
            return Restated(tid, None, b"", tid)
        data = self._transform.untransform(oid, tid, stored)
        facts = self._transform.facts(stored)
        source = tid if facts.source == ZERO else facts.source
        return Restated(source, data, facts.blob, tid)


class Undoing:
    """The undos of one transaction, which `base` knows as `transaction`.

    `resolve` merges plain records, `blobs` are those of the layer.
    """

    def __init__(
        self,
        base: Any,
        transform: RecordTransform,
        blobs: LayerBlobs,
        resolve: Resolve,
        transaction: HasMetaData,
    ) -> None:
        self._base = base
        self._transform = transform
        self._blobs = blobs
        self._transaction = transaction
        self._below = capabilities_of(base)
        self._revisions = _Revisions(base, transform)
        self._changes = Changes(self._revisions, resolve, 0, has_blob=_has_blob)

    def undo(self, tid: bytes) -> list[bytes]:
        """Undo a transaction; return the oids that changes. Raises `UndoError`."""
        oids = self._changes.undo(tid)
        for oid in oids:
            data, back, _ = self._changes.planned[oid]
            serial = self._revisions.newest(oid)[1]
            if data is not None:
                self._store(oid, serial, record_of(data), NO_FACTS)
            elif back is not None:
                self._restate(oid, serial, back)
            else:
                self._delete(oid, serial)
        return oids

    def _store(self, oid: bytes, serial: bytes, data: bytes, facts: Facts) -> None:
        stored = self._transform.transform(oid, data, facts)
        self._base.store(oid, serial, stored, "", self._transaction)

    def _restate(self, oid: bytes, serial: bytes, earlier: Restated) -> None:
        """Store what an earlier revision says again, and its blob if it has one."""
        data, facts = earlier.data or b"", Facts(earlier.tid, earlier.blob)
        if not (self._below.blobs and _has_blob(oid, earlier)):
            self._store(oid, serial, data, facts)
            return
        self._blobs.store_again(
            oid,
            earlier.file_tid,
            data,
            facts,
            lambda stored, path: self._base.storeBlob(
                oid, serial, stored, path, "", self._transaction
            ),
        )

    def _delete(self, oid: bytes, serial: bytes) -> None:
        if self._below.external_gc:
            self._base.deleteObject(oid, serial, self._transaction)
        else:
            self._base.restore(oid, serial, None, "", None, self._transaction)


def _has_blob(oid: bytes, place: Restated) -> bool:
    return bool(place.blob) or (place.data is not None and is_blob(place.data))
