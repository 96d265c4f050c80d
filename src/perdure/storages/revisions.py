"""The records of a storage in memory, and how packing thins them out."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from BTrees.OOBTree import OOBTree

from perdure.errors import POSKeyError, StorageError, UndoError
from perdure.ids import ROOT_OID, ZERO, after, tid_repr
from perdure.interfaces import References
from perdure.storages.plan import Plan, StoredRecords, Undone

__all__ = ["MemoryRecord", "MemoryRevisions", "MemoryTransaction"]

_by_tid = attrgetter("tid")


@dataclass(frozen=True, slots=True, eq=False)
class MemoryRecord:
    """One revision: its bytes, or the earlier record that has them; neither where it is gone."""

    oid: bytes
    tid: bytes
    data: bytes | None
    source: "MemoryRecord | None" = None

    @property
    def origin(self) -> "MemoryRecord | None":
        """The record that has the bytes, None where the object is gone."""
        return self if self.data is not None else self.source

    @property
    def content(self) -> bytes | None:
        """The bytes, wherever they are; None where the object is gone."""
        return self.data if self.source is None else self.source.data


@dataclass(frozen=True, slots=True)
class MemoryTransaction:
    """One committed transaction; `status` is "p" once packing took records from it."""

    tid: bytes
    status: str
    user: bytes
    description: bytes
    extension: bytes
    records: list[MemoryRecord]

    @property
    def size_bytes(self) -> int:
        return sum(len(record.data or b"") for record in self.records)


class MemoryRevisions:
    """Records by oid and by transaction, both oldest first. A place is a record."""

    def __init__(self) -> None:
        self.by_oid: Any = OOBTree()  # sorted, so that records can be walked by oid
        self.transactions: list[MemoryTransaction] = []

    def add(self, transaction: MemoryTransaction) -> None:
        """Make a transaction part of the history."""
        for record in transaction.records:
            records = self.by_oid.get(record.oid)
            if records is None:
                self.by_oid[record.oid] = [record]
            else:
                records.append(record)
        self.transactions.append(transaction)

    def before(self, oid: bytes, tid: bytes) -> tuple[MemoryRecord | None, MemoryRecord | None]:
        """Return what was current just before `tid`, and what followed; `KeyError` if unknown."""
        records: list[MemoryRecord] = self.by_oid[oid]
        newest = records[-1]  # read once: another one may join meanwhile
        if newest.tid < tid:
            return newest, None
        number = bisect_left(records, tid, key=_by_tid)
        return (records[number - 1] if number else None), records[number]

    def current(self, oid: bytes) -> MemoryRecord | None:
        records: list[MemoryRecord] | None = self.by_oid.get(oid)
        return records[-1] if records else None

    def next_existing(self, oid: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return oid, tid and bytes of the next object from `oid` on that still exists."""
        while True:
            try:
                oid = self.by_oid.minKey(oid)
            except ValueError:  # there is none
                return None
            record: MemoryRecord = self.by_oid[oid][-1]
            if record.content is not None:
                return oid, record.tid, record.content
            oid = after(oid)

    def new_plan(self) -> Plan[MemoryRecord]:
        return {}

    def newest(self, oid: bytes) -> tuple[MemoryRecord | None, bytes]:
        records: list[MemoryRecord] | None = self.by_oid.get(oid)
        if not records:
            return None, ZERO
        return records[-1], records[-1].tid

    def plan_unchanged(self, records: StoredRecords, number: int, planned: object) -> int:
        return number  # all are asked for one by one

    def place(self, oid: bytes) -> MemoryRecord | None:
        records: list[MemoryRecord] | None = self.by_oid.get(oid)
        return records[-1] if records else None

    def origin(self, oid: bytes, place: MemoryRecord) -> MemoryRecord | None:
        return place.origin

    def data_at(self, oid: bytes, place: MemoryRecord) -> bytes:
        if place.data is None:
            raise POSKeyError(oid)
        return place.data

    def content(self, oid: bytes, place: MemoryRecord) -> bytes | None:
        return place.content

    def written_by(self, oid: bytes, tid: bytes) -> MemoryRecord | None:
        records: list[MemoryRecord] = self.by_oid.get(oid, [])
        number = bisect_left(records, tid, key=_by_tid)
        return records[number] if number < len(records) and records[number].tid == tid else None

    def plan_undone(self, tid: bytes) -> None:
        return None  # all are looked at one by one

    def records_of(self, tid: bytes) -> Iterable[Undone[MemoryRecord]]:
        number = bisect_left(self.transactions, tid, key=_by_tid)
        found = self.transactions[number : number + 1]
        if not found or found[0].tid != tid:
            raise UndoError(f"there is no transaction {tid_repr(tid)}")
        if found[0].status != " ":
            raise UndoError(f"transaction {tid_repr(tid)} was packed")
        for record in found[0].records:
            yield Undone(record.oid, record, self.before(record.oid, tid)[0])

    def history_of(self, oid: bytes) -> Iterator[tuple[MemoryTransaction, MemoryRecord]]:
        """Yield an object's records with their transactions, newest first."""
        for record in reversed(self.by_oid[oid]):
            number = bisect_left(self.transactions, record.tid, key=_by_tid)
            yield self.transactions[number], record

    def between(self, start: bytes | None, stop: bytes | None) -> Iterator[MemoryTransaction]:
        """Yield the transactions from `start` to `stop`, those known when it begins."""
        transactions = self.transactions
        number = 0 if start is None else bisect_left(transactions, start, key=_by_tid)
        for transaction in transactions[number:]:
            if stop is not None and transaction.tid > stop:
                return
            yield transaction

    def packed(self, stop: bytes, references: References | None) -> "MemoryRevisions":
        """Return what is needed to see any moment from `stop` on.

        With `references`, objects that cannot be reached from the root then, or
        from what was written later, are left out too. Raises `StorageError` if
        there is no root to start from.
        """
        kept = self._needed_since(stop)
        if references is not None:
            live = self._reachable(kept, stop, references)
            kept = {oid: [r for r in rs if r.tid > stop or oid in live] for oid, rs in kept.items()}
        alive = {id(record) for records in kept.values() for record in records}
        packed = MemoryRevisions()
        for transaction in self.transactions:
            records = [record for record in transaction.records if id(record) in alive]
            if records or transaction.tid > stop:
                packed.add(_thinned(transaction, records, stop, alive))
        return packed

    def _needed_since(self, stop: bytes) -> dict[bytes, list[MemoryRecord]]:
        needed = {}
        for oid, records in self.by_oid.items():
            number = next((n for n, r in enumerate(records) if r.tid > stop), len(records))
            first = max(number - 1, 0)
            if number and records[first].content is None:
                first = number  # gone at `stop`: nothing of it is needed
            needed[oid] = records[first:]
        return needed

    @staticmethod
    def _reachable(
        kept: dict[bytes, list[MemoryRecord]], stop: bytes, references: References
    ) -> set[bytes]:
        if kept and ROOT_OID not in kept:
            raise StorageError("there is no root object, so all would be garbage; pack without gc")
        todo = [ROOT_OID]
        for records in kept.values():
            for record in records:
                if record.tid > stop and record.content is not None:
                    todo.extend(references(record.content))
        live: set[bytes] = set()
        while todo:
            oid = todo.pop()
            if oid not in live:
                live.add(oid)
                for record in kept.get(oid, [])[:1]:
                    if record.content is not None:
                        todo.extend(references(record.content))
        return live


def _thinned(
    transaction: MemoryTransaction, records: list[MemoryRecord], stop: bytes, alive: set[int]
) -> MemoryTransaction:
    """Return a transaction with only `records`, those whose source is gone made whole."""
    whole = [
        replace(record, data=record.source.data, source=None)
        if record.source is not None and id(record.source) not in alive
        else record
        for record in records
    ]
    status = transaction.status if transaction.tid > stop else "p"
    return replace(transaction, status=status, records=whole)
