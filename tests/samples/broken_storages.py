"""Storages that each break one promise, for the suites to catch."""

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from perdure.clock import tid_at
from perdure.errors import UndoError
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import Revision, TransactionMetaData
from perdure.storages.gate import Gate
from perdure.storages.memory import MappingStorage

Callback = Callable[[bytes], object] | None


class VisibleAtTheVote(MappingStorage):
    def tpc_vote(self, transaction: Any) -> list[bytes]:
        resolved = super().tpc_vote(transaction)
        self._early = super().tpc_finish(transaction)
        return resolved

    def tpc_finish(self, transaction: Any, func: Callback = None) -> bytes:
        if func is not None:
            func(self._early)
        return self._early


class OverlooksConflicts(MappingStorage):
    def store(self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: Any) -> None:
        try:
            serial = self.getTid(oid)
        except KeyError:
            serial = ZERO
        super().store(oid, serial, data, version, transaction)


class LooksOnlyOnce(MappingStorage):
    def store(self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: Any) -> None:
        super().store(oid, serial, data, version, transaction)
        self._gate.changes(transaction).changes._requests.clear()  # what the vote looks at


class _ClockGate(Gate[Any]):
    def next_tid(self, wanted: bytes = b"") -> bytes:
        return wanted or tid_at(time.time())


class FollowsTheClock(MappingStorage):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._gate = _ClockGate()


class CommitsOnAbort(MappingStorage):
    def tpc_abort(self, transaction: Any) -> None:
        if self.tpc_transaction() is transaction:
            if not self._voted:
                self.tpc_vote(transaction)
            self.tpc_finish(transaction)
        super().tpc_abort(transaction)

    _voted = False

    def tpc_vote(self, transaction: Any) -> list[bytes]:
        resolved = super().tpc_vote(transaction)
        self._voted = True
        return resolved

    def tpc_finish(self, transaction: Any, func: Callback = None) -> bytes:
        self._voted = False
        return super().tpc_finish(transaction, func)


class CallsBackLate(MappingStorage):
    def tpc_finish(self, transaction: Any, func: Callback = None) -> bytes:
        tid = super().tpc_finish(transaction)
        if func is not None:
            func(tid)
        return tid


class AcceptsAnyTransaction(MappingStorage):
    def store(self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: Any) -> None:
        super().store(oid, serial, data, version, self.tpc_transaction() or transaction)


class LooksAtArgumentsFirst(MappingStorage):
    def store(self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: Any) -> None:
        if len(oid) != 8:
            raise ValueError(oid)
        super().store(oid, serial, data, version, transaction)


class FinishesWithoutVote(MappingStorage):
    def tpc_finish(self, transaction: Any, func: Callback = None) -> bytes:
        if not self._gate._voted:
            self.tpc_vote(transaction)
        return super().tpc_finish(transaction, func)


class ReadsOnlyNow(MappingStorage):
    def loadBefore(self, oid: bytes, tid: bytes) -> Revision | None:
        return super().loadBefore(oid, MAX_TID)


class ForgetsTheEnd(MappingStorage):
    def loadBefore(self, oid: bytes, tid: bytes) -> Revision | None:
        revision = super().loadBefore(oid, tid)
        return None if revision is None else revision._replace(next_tid=None)


class OffByOne(MappingStorage):
    def loadBefore(self, oid: bytes, tid: bytes) -> Revision | None:
        return super().loadBefore(oid, tid if tid == MAX_TID else after(tid))


class PublishesTooSoon(MappingStorage):
    def tpc_finish(self, transaction: Any, func: Callback = None) -> bytes:
        def publish(tid: bytes) -> None:
            self._last_tid = tid
            time.sleep(0.0005)  # long enough for a reader to come by
            if func is not None:
                func(tid)

        return super().tpc_finish(transaction, publish)


class HistoryUpsideDown(MappingStorage):
    def history(self, oid: bytes, size: int = 1, filter: Any = None) -> list[dict[str, Any]]:  # noqa: A002
        return super().history(oid, 1000)[::-1][:size]


class RepeatsOids(MappingStorage):
    def new_oid(self) -> bytes:
        return p64(1 + int.from_bytes(super().new_oid(), "big") // 2)


class SpeaksAscii(MappingStorage):
    def tpc_begin(self, transaction: Any, tid: bytes | None = None, status: str = " ") -> None:
        transaction.description = (
            transaction.description.decode().encode("ascii", "replace")
            if transaction.description.isascii() or b"\xff" not in transaction.description
            else transaction.description
        )
        super().tpc_begin(transaction, tid, status)


class RewritesExtensions(MappingStorage):
    def tpc_begin(self, transaction: Any, tid: bytes | None = None, status: str = " ") -> None:
        transaction.extension_bytes = pickle.dumps(transaction.extension, 4)
        super().tpc_begin(transaction, tid, status)


class ExcludesTheStop(MappingStorage):
    def iterator(self, start: bytes | None = None, stop: bytes | None = None) -> Iterator[Any]:
        return (t for t in super().iterator(start, stop) if t.tid != stop)


class UndoesNothing(MappingStorage):
    def undo(self, transaction_id: bytes, transaction: Any) -> tuple[bytes | None, list[bytes]]:
        return None, []


class UndoesHalf(MappingStorage):
    def undo(self, transaction_id: bytes, transaction: Any) -> tuple[bytes | None, list[bytes]]:
        try:
            return super().undo(transaction_id, transaction)
        except UndoError:
            return None, []


class PacksTooMuch(MappingStorage):
    def pack(self, pack_time: float, referencesf: Any, gc: bool = True) -> None:
        super().pack(pack_time + 1000, referencesf, gc)


class PacksNothing(MappingStorage):
    def pack(self, pack_time: float, referencesf: Any, gc: bool = True) -> None:
        pass


class KeepsGarbage(MappingStorage):
    def pack(self, pack_time: float, referencesf: Any, gc: bool = True) -> None:
        super().pack(pack_time, referencesf, gc=False)


class StaysOpen(MappingStorage):
    def close(self) -> None:
        pass


class RenumbersRestored(MappingStorage):
    def tpc_begin(self, transaction: Any, tid: bytes | None = None, status: str = " ") -> None:
        super().tpc_begin(transaction, None, status)


class RestoresWithChecks(MappingStorage):
    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: Any,
    ) -> None:
        self.store(oid, serial, data or b"?", version, transaction)


class ChecksNothing(MappingStorage):
    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: TransactionMetaData
    ) -> None:
        self._gate.changes(transaction)


class ChecksTooEarly(MappingStorage):
    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: TransactionMetaData
    ) -> None:
        changes = self._gate.changes(transaction).changes
        changes.check(oid, serial)
        changes._requests.pop()  # so that the vote does not look again


class DeletesNothing(MappingStorage):
    def deleteObject(self, oid: bytes, serial: bytes, transaction: Any) -> None:
        self._gate.changes(transaction)


class SkipsRecords(MappingStorage):
    def record_iternext(self, next: bytes | None = None) -> tuple[bytes, bytes, bytes, Any]:  # noqa: A002
        oid, tid, data, following = super().record_iternext(next)
        if following is not None:
            following = super().record_iternext(following)[3]
        return oid, tid, data, following


class LosesTheSource(MappingStorage):
    def iterator(self, start: bytes | None = None, stop: bytes | None = None) -> Iterator[Any]:
        for transaction in super().iterator(start, stop):
            records = [replace(record, data_txn=None) for record in transaction]
            transaction._records = lambda records=records: iter(records)
            yield transaction
