"""What one transaction is about to write, and whether it still may.

A transaction asks for records to be stored, restored, deleted, undone or found
unchanged. Each request is planned at once, against what is committed by then:
a conflict shows early, or is resolved. Others may commit before the vote; then
everything that was asked for is planned again, with the commit lock held.

Committed records are named by *places*: a file storage's are positions, a
memory storage's the records themselves. This module knows places only through
`Revisions`, and does no I/O of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from perdure import native
from perdure.errors import (
    ConflictError,
    MultipleUndoErrors,
    POSKeyError,
    ReadConflictError,
    StorageError,
    UndoError,
)

__all__ = [
    "NOT_LOOKED_FOR",
    "Changes",
    "Keep",
    "Kept",
    "Plan",
    "Planned",
    "Resolve",
    "Revisions",
    "StoredRecords",
    "Undone",
    "no_blobs",
    "record_of",
]

Place = TypeVar("Place")

StoredRecords = Sequence[tuple[bytes, bytes, bytes]]
"""Records that are stored together, each as its oid, the tid that was read, and its bytes.

They are not changed any more.
"""

Resolve = Callable[[bytes, bytes, bytes, bytes, bytes], bytes]
"""Called with oid, committed tid, tid read, new record, committed record (b"": load it).

Returns a record that merges both changes, or raises `ConflictError`.
"""


NOT_LOOKED_FOR: Final[Any] = object()

_OF_PLANNED_OBJECTS: Final = frozenset(("_plan_store", "_plan_stores", "_plan_delete"))
"""Requests that depend on the objects alone that they write."""


class Undone(NamedTuple, Generic[Place]):
    """One record of a transaction that is to be undone, and the one before it.

    `origin` is where the bytes are that the one before stands for, None if the object was
    gone or did not exist; `NOT_LOOKED_FOR` leaves that to `Revisions.origin`.
    """

    oid: bytes
    place: Place
    previous: Place | None
    origin: Any = NOT_LOOKED_FOR


class Kept(Protocol):
    """A record that is kept elsewhere until it is written."""

    def __len__(self) -> int:
        """Return its size in bytes."""

    def read(self) -> bytes:
        """Return it."""


Keep = Callable[[bytes], bytes | Kept]
"""Takes a record for which there is no room; returns what stands for it till it is written."""

Planned = tuple[bytes | Kept | None, Place | None, Place | None]
"""One record to be written: data, back, previous.

`data` is the record, or None where it says the same as the one at `back`; both
are None where the object ceases to exist. `previous` is the current revision,
which this one follows. (A plain tuple: one is made for each object stored.)
"""


class Plan(Protocol[Place]):
    """What is planned, by oid, in the order in which it came: what is used of a dictionary."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __contains__(self, oid: object, /) -> bool: ...
    def __getitem__(self, oid: bytes, /) -> Planned[Place]: ...
    def __setitem__(self, oid: bytes, planned: Planned[Place], /) -> None: ...
    def get(self, oid: bytes, /) -> Planned[Place] | None: ...
    def items(self) -> Iterable[tuple[bytes, Planned[Place]]]: ...
    def update(self, planned: Mapping[bytes, Planned[Place]], /) -> None: ...
    def clear(self) -> None: ...


class Revisions(Protocol[Place]):
    """The committed records of a storage, those included that are not visible yet."""

    def new_plan(self) -> "Plan[Place]":
        """Return an empty mapping for what is planned."""

    def newest(self, oid: bytes) -> tuple[Place | None, bytes]:
        """Return place and tid of the newest record of `oid`, (None, `ZERO`) if there is none."""

    def plan_unchanged(self, records: StoredRecords, number: int, planned: "Plan[Place]") -> int:
        """Plan the records from `number` on, up to one whose object was changed by others.

        Returns the number of that one; it may also stop earlier.
        """

    def place(self, oid: bytes) -> Place | None:
        """Return the place of the newest record of `oid`, None if there is none."""

    def origin(self, oid: bytes, place: Place) -> Place | None:
        """Return where the bytes are that the record at `place` stands for; None if gone."""

    def data_at(self, oid: bytes, place: Place) -> bytes:
        """Return the bytes of a record at its origin."""

    def content(self, oid: bytes, place: Place) -> bytes | None:
        """Return the bytes that the record at `place` stands for; None if gone."""

    def written_by(self, oid: bytes, tid: bytes) -> Place | None:
        """Return the place of the record that `tid` wrote for `oid`, None if there is none."""

    def plan_undone(self, tid: bytes) -> Mapping[bytes, Planned[Place]] | None:
        """Return the plan that undoes a transaction whose objects nobody changed since.

        None for another transaction, and where that is not known so quickly. Raises
        `UndoError` if it cannot be undone.
        """

    def records_of(self, tid: bytes) -> Iterable[Undone[Place]]:
        """Return the records of a transaction, of each object one, that which counts.

        Raises `UndoError` if it cannot be undone.
        """


def record_of(data: bytes | Kept) -> bytes:
    """Return a planned record, wherever it is kept."""
    return data if isinstance(data, bytes) else data.read()


HasBlob = Callable[[bytes, Place], bool]
"""Called with an oid and the place of one of its records: whether that has a blob."""


def no_blobs(oid: bytes, place: object) -> bool:
    """The answer of a storage that keeps no blobs."""
    return False


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
        if not self.planned and self._has_blob is no_blobs:
            planned_at_once = self._revisions.plan_undone(tid)
            if planned_at_once is not None:
                self.planned.update(planned_at_once)
                return list(planned_at_once)
        oids = []
        failures: list[UndoError] = []
        place, earlier = self._revisions.place, set(self.planned)
        for record in self._revisions.records_of(tid):
            oid, current, _, origin = record
            oids.append(oid)
            planned: Planned[Place]
            try:
                if origin is not NOT_LOOKED_FOR and place(oid) == current and oid not in earlier:
                    planned = (None, origin, current)  # as `_undo_record` would, for most
                else:
                    planned = self._undo_record(record, tid)
                self._plan(oid, planned)
                if record.previous is not None and self._has_blob is not no_blobs:
                    self._reverted[oid] = record.previous
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
        if (oid not in self.planned and current == undone.place) or self._says_the_same(undone):
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
        planned = self.planned.get(oid)
        if planned is not None and planned[0] is not None:
            return record_of(planned[0])
        origin = self._origin_now(oid)
        return None if origin is None else self._revisions.data_at(oid, origin)

    def _origin_now(self, oid: bytes) -> Place | None:
        """Return where the bytes are of what this transaction would leave; None if nowhere yet."""
        planned = self.planned.get(oid)
        if planned is not None:
            return planned[1]
        current, _ = self._revisions.newest(oid)
        return None if current is None else self._revisions.origin(oid, current)
