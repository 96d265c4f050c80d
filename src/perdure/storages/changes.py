"""What one transaction is about to write, and whether it still may.

A transaction asks for records to be stored, restored, deleted, undone or found
unchanged. Each request is planned at once, against what is committed by then:
a conflict shows early, or is resolved. Others may commit before the vote; then
everything that was asked for is planned again, with the commit lock held.

What a plan is made of is in `plan`, how an undo is planned in `undoplan`. Nothing
here does I/O of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic

from perdure import native
from perdure.errors import ConflictError, POSKeyError, ReadConflictError, StorageError
from perdure.storages.plan import (
    HasBlob,
    Kept,
    Place,
    Plan,
    Planned,
    Resolve,
    Revisions,
    StoredRecords,
    no_blobs,
    record_of,
)
from perdure.storages.undoplan import UndoPlan

__all__ = ["Changes", "Keep"]

Keep = Callable[[bytes], bytes | Kept]
"""Takes a record for which there is no room; returns what stands for it till it is written."""

_OF_PLANNED_OBJECTS: Final = frozenset(("_plan_store", "_plan_stores", "_plan_delete"))
"""Requests that depend on the objects alone that they write."""


class Changes(Generic[Place]):
    """The requests of one transaction and the plan that follows from them.

    `planned` maps oids to what will be written, `resolved` lists the oids whose
    conflicts were resolved. `basis` counts the commits that the plan knows of.
    Records beyond `room` bytes are given to `keep`; by default they stay as they are.
    Where `has_blob`, the record does not tell what the object holds.
    """

    def __init__(
        self,
        revisions: Revisions[Place],
        resolve: Resolve,
        basis: int,
        room: int = 0,
        keep: Keep = bytes,
        has_blob: HasBlob[Place] = no_blobs,
    ) -> None:
        self._revisions = revisions
        self._resolve = resolve
        self._room = room
        self._keep = keep
        self._has_blob = has_blob
        self._reverted: dict[bytes, Place] = {}  # by oid, where nothing followed the undo
        # Names of methods, for bound ones would make a cycle, which keeps every record
        # of a transaction until the garbage collector comes by.
        self._requests: list[tuple[Any, ...]] = []
        self.planned: Plan[Place] = revisions.new_plan()
        self.resolved: list[bytes] = []
        self.basis = basis

    def store(self, oid: bytes, serial: bytes, data: bytes) -> None:
        """Write `data`, made from revision `serial`; `ConflictError` if that is not current."""
        if not data:
            raise StorageError("a record cannot be empty; deleteObject deletes an object")
        self._room -= len(data)
        kept = data if self._room >= 0 else self._keep(data)
        current, committed = self._revisions.newest(oid)
        if committed == serial or current is None:
            # As `_plan_store` would, for one call less: this is paid for each object.
            self.planned[oid] = (kept, None, current)
            if self._reverted:
                self._reverted.pop(oid, None)
        else:
            self._plan_store(oid, serial, kept)
        self._requests.append(("_plan_store", oid, serial, kept))

    def store_all(self, records: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        """Store records, each (oid, serial, data), in order, as `store` does one."""
        kept: StoredRecords
        if native.planning and isinstance(records, native.planning.Records):
            kept, size, smallest = records, records.size_bytes, 1
        else:
            sizes = [len(data) for _, _, data in records]
            kept, size, smallest = tuple(records), sum(sizes), min(sizes, default=1)
        if size > self._room or smallest == 0:
            for oid, serial, data in kept:
                self.store(oid, serial, data)
            return
        self._room -= size
        self._plan_stores(kept)
        self._requests.append(("_plan_stores", kept))

    def restore(self, oid: bytes, data: bytes | None, source_tid: bytes | None) -> None:
        """Write `data`, whatever is current; `source_tid` may have written the same bytes."""
        if data is not None and not data:
            raise StorageError("a record cannot be empty; None stands for an object that is gone")
        self._room -= len(data or b"")
        kept = data if data is None or self._room >= 0 else self._keep(data)
        self._plan_restore(oid, kept, source_tid)
        self._requests.append(("_plan_restore", oid, kept, source_tid))

    def delete(self, oid: bytes, serial: bytes) -> None:
        """Write that the object is gone; `ConflictError` if `serial` is not current."""
        self._plan_delete(oid, serial)
        self._requests.append(("_plan_delete", oid, serial))

    def check(self, oid: bytes, serial: bytes) -> None:
        """Depend on `serial` being current: `ReadConflictError` if it is not."""
        self._plan_check(oid, serial)
        self._requests.append(("_plan_check", oid, serial))

    def undo(self, tid: bytes) -> list[bytes]:
        """Take back what the transaction `tid` did; return the oids that changes."""
        oids = self._plan_undo(tid)
        self._requests.append(("_plan_undo", tid))
        return oids

    def reverted(self) -> dict[bytes, Place]:
        """Return, by oid, the record that an undo made current again, if nothing followed it.

        Only where there are blobs.
        """
        return self._reverted.copy()

    def plan_again(
        self,
        basis: int,
        revisions: Revisions[Place],
        committed: Iterable[Mapping[bytes, Any]] | None = None,
    ) -> None:
        """Plan every request again if there were commits since; raises what they raise.

        `committed` is what those wrote, by oid, where it is known: if it is none of the
        objects here, the plan stands.
        """
        if basis == self.basis:
            return
        if committed is not None and self._is_untouched_by(committed):
            self.basis = basis
            return
        self._revisions = revisions
        self.planned.clear()
        self.resolved.clear()
        self._reverted.clear()
        for plan, *arguments in self._requests:
            getattr(self, plan)(*arguments)
        self.basis = basis

    def _is_untouched_by(self, committed: Iterable[Mapping[bytes, Any]]) -> bool:
        oids = list(self.planned)
        for name, *arguments in self._requests:
            if name == "_plan_check":
                oids.append(arguments[0])
            elif name not in _OF_PLANNED_OBJECTS:
                return False
        return all(each.keys().isdisjoint(oids) for each in committed)

    def _plan_store(self, oid: bytes, serial: bytes, data: bytes | Kept) -> None:
        current, committed = self._revisions.newest(oid)
        if committed != serial and current is not None:
            # Handed over: a layer above can load only what is visible, and this may not be yet.
            there = self._revisions.content(oid, current) or b""
            data = self._resolve(oid, committed, serial, record_of(data), there)
            self.resolved.append(oid)
        self._plan(oid, (data, None, current))

    def _plan(self, oid: bytes, planned: Planned[Place]) -> None:
        self.planned[oid] = planned
        if self._reverted:
            self._reverted.pop(oid, None)

    def _plan_stores(self, records: StoredRecords) -> None:
        if self._reverted:
            for oid, _, _ in records:
                self._reverted.pop(oid, None)
        plan, number, count = self._revisions.plan_unchanged, 0, len(records)
        while number < count:
            number = plan(records, number, self.planned)
            if number < count:
                self._plan_store(*records[number])
                number += 1

    def _plan_restore(
        self, oid: bytes, data: bytes | Kept | None, source_tid: bytes | None
    ) -> None:
        revisions = self._revisions
        current, _ = revisions.newest(oid)
        if data is not None and source_tid is not None:
            # The source is a hint: it may be packed away here, or hold something else.
            source = revisions.written_by(oid, source_tid)
            origin = None if source is None else revisions.origin(oid, source)
            if origin is not None and revisions.data_at(oid, origin) == record_of(data):
                self._plan(oid, (None, origin, current))
                return
        self._plan(oid, (data, None, current))

    def _plan_delete(self, oid: bytes, serial: bytes) -> None:
        current, committed = self._revisions.newest(oid)
        if current is None:
            raise POSKeyError(oid)
        if committed != serial:
            raise ConflictError(oid=oid, serials=(committed, serial))
        self._plan(oid, (None, None, current))

    def _plan_check(self, oid: bytes, serial: bytes) -> None:
        current, committed = self._revisions.newest(oid)
        if current is None:
            raise POSKeyError(oid)
        if committed != serial:
            raise ReadConflictError(oid=oid, serials=(committed, serial))

    def _plan_undo(self, tid: bytes) -> list[bytes]:
        undoing = UndoPlan(
            self._revisions, self._resolve, self._has_blob, self.planned, self._reverted
        )
        return undoing.undo(tid)
