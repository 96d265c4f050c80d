"""A storage whose transactions are written to backup storages as well.

Everything is asked of the primary. Each backup follows it in a thread of its own
(`replica`): asynchronously commits do not wait for it, and never fail because of
it; synchronously a commit returns when every backup has it, and is refused, at the
vote, while one of them is away.

Packing goes no further than what every backup has, so a backup gets each
transaction as it was. The backups are not packed.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.clock import tid_at, time_of
from perdure.errors import Unsupported
from perdure.ids import ZERO, tid_repr
from perdure.interfaces import (
    Bind,
    HasMetaData,
    IterableStorage,
    Loaded,
    PlainRevision,
    References,
    Storage,
    StorageWrapper,
    StoredTransaction,
    declares,
)
from perdure.storages.below import (
    current,
    declare_as,
    have_conflicts_resolved,
    pack_below,
    sync_of,
)
from perdure.storages.replica import Lag, Replica

__all__ = ["Lag", "ReplicatingStorage"]

log = logging.getLogger("perdure.storages.replicating")

_ROUNDING_S = 1e-6
"""How far seconds since 1970, as a float, can be from the tid that they stand for."""


@declares(Storage, IterableStorage)
class ReplicatingStorage:
    """Shows `storage`, and writes to each of `backups` what is committed there.

    A backup is a storage that is empty or was a backup of this one before, or a
    function that opens such a storage: it is called again when the backup failed, so
    one that is away may come back. Given as a storage, it is tried as it is.

    With `synchronous`, commits wait for the backups, `timeout_s` at most. Closing lets
    the backups catch up for `timeout_s`, and closes all storages.

    Raises `ReplicaDivergedError` for a backup that is no copy of `storage`, and
    `Unsupported` where a storage cannot be used for this.
    """

    def __init__(
        self, storage: Any, *backups: Any, synchronous: bool = False, timeout_s: float = 10.0
    ) -> None:
        below = capabilities_of(storage)
        if not below.iteration:
            raise Unsupported(f"{storage.getName()} cannot list its transactions")
        if not backups:
            raise ValueError("found no backup, expected at least one")
        self.base = storage
        self._synchronous = synchronous
        self._timeout_s = timeout_s
        self._closed = False
        # Snapshots of a storage that has its own would pass the backups by.
        declare_as(self, replace(below, mvcc=False, prefetch=False))
        self._undo = below.undo
        self._sync_below = sync_of(storage)
        self._resolve_below: Callable[..., bytes] = storage.tryToResolveConflict
        # A layer above replaces what is asked here, and has to be asked by the storage below.
        have_conflicts_resolved(storage, self._resolve_for_base)
        self._replicas: list[Replica] = []
        try:
            for number, backup in enumerate(backups, 1):
                self._replicas.append(Replica(storage, backup, number))
        except BaseException:
            self._end(0.0)
            raise

    # The backups

    def lag(self) -> tuple[Lag, ...]:
        """Return how far behind each backup is."""
        return tuple(replica.lag() for replica in self._replicas)

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until the backups have what is committed by now; return whether they do."""
        tid = self.base.lastTransaction()
        for replica in self._replicas:
            replica.wake()
        waited = [replica.wait_for(tid, timeout_s) for replica in self._replicas]
        return all(waited)

    # What it is

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._end(self._timeout_s)
        self.base.close()

    def _end(self, timeout_s: float) -> None:
        for replica in self._replicas:
            replica.end(timeout_s)
        for replica in self._replicas:
            replica.close()

    def getName(self) -> str:
        return f"replicated({self.base.getName()})"

    def sortKey(self) -> str:
        key: str = self.base.sortKey()
        return key

    def getSize(self) -> int:
        size: int = self.base.getSize()
        return size

    def __len__(self) -> int:
        return len(self.base)

    def isReadOnly(self) -> bool:
        read_only: bool = self.base.isReadOnly()
        return read_only

    def supportsUndo(self) -> bool:
        return self._undo

    def counters(self) -> Mapping[str, float]:
        counters: Mapping[str, float] = self.base.counters()
        return counters

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self.base.registerDB(wrapper)

    def bind_records(self, bind: Bind) -> None:
        self.base.bind_records(bind)

    # Reading

    def sync(self, force: bool = True) -> None:
        """Catch up with a server, where the storage below has one."""
        if force and self._sync_below is not None:
            self._sync_below()

    def lastTransaction(self) -> bytes:
        tid: bytes = self.base.lastTransaction()
        return tid

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        return current(self, oid)

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self.load(oid).tid

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        revision: PlainRevision | None = self.base.loadBefore(oid, tid)
        return revision

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        data: bytes = self.base.loadSerial(oid, serial)
        return data

    def history(self, oid: bytes, size: int = 1) -> Sequence[Mapping[str, Any]]:
        entries: Sequence[Mapping[str, Any]] = self.base.history(oid, size)
        return entries

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[StoredTransaction]:
        transactions: Iterator[StoredTransaction] = self.base.iterator(start, stop)
        return transactions

    def record_iternext(
        self,
        next: bytes | None = None,  # noqa: A002  the contract's name
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        record: tuple[bytes, bytes, bytes, bytes | None] = self.base.record_iternext(next)
        return record

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: Callable[[Mapping[str, Any]], bool] | None = None,  # noqa: A002  likewise
    ) -> Sequence[Mapping[str, Any]]:
        entries: Sequence[Mapping[str, Any]] = self.base.undoLog(first, last, filter)
        return entries

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        entries: Sequence[Mapping[str, Any]] = self.base.undoInfo(first, last, specification)
        return entries

    # Two-phase commit

    def new_oid(self) -> bytes:
        oid: bytes = self.base.new_oid()
        return oid

    def new_oids(self, count: int) -> list[bytes]:
        oids: list[bytes] = self.base.new_oids(count)
        return oids

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return self.base.tpc_transaction()

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        if tid is None:
            self.base.tpc_begin(transaction)
        else:
            self.base.tpc_begin(transaction, tid, status)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self.base.store(oid, serial, data, version, transaction)

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        self.base.store_all(records, transaction)

    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self.base.restore(oid, serial, data, version, prev_txn, transaction)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self.base.deleteObject(oid, serial, transaction)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self.base.checkCurrentSerialInTransaction(oid, serial, transaction)

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, Iterable[bytes]]:
        result: tuple[bytes | None, Iterable[bytes]] = self.base.undo(transaction_id, transaction)
        return result

    def tpc_vote(self, transaction: HasMetaData) -> Iterable[bytes] | None:
        """Vote in the primary; raises `ReplicaAwayError` if a backup that must have it is away."""
        if self._synchronous:
            tid = self.base.lastTransaction()
            for replica in self._replicas:
                replica.check(tid, self._timeout_s)
        resolved: Iterable[bytes] | None = self.base.tpc_vote(transaction)
        return resolved

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        tid: bytes = self.base.tpc_finish(transaction, func)
        for replica in self._replicas:
            replica.wake()
        if self._synchronous:
            for replica in self._replicas:
                if not replica.wait_for(tid, self._timeout_s):
                    # Committed is committed. The next vote refuses, until it has caught up.
                    log.error("%s did not get transaction %s", replica.name, tid_repr(tid))
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        self.base.tpc_abort(transaction)

    def tryToResolveConflict(
        self,
        oid: bytes,
        committedSerial: bytes,
        oldSerial: bytes,
        newpickle: bytes,
        committedData: bytes = b"",
    ) -> bytes:
        """Return a record that merges two changes; `ConflictError` where there is none."""
        return self._resolve_below(oid, committedSerial, oldSerial, newpickle, committedData)

    def _resolve_for_base(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        # Looked up each time: layers above, and servers, replace it on the instance.
        return self.tryToResolveConflict(oid, committed, read, data, committed_data)

    # Blobs

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: HasMetaData,
    ) -> None:
        self.base.storeBlob(oid, oldserial, data, blobfilename, version, transaction)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self.base.restoreBlob(oid, serial, data, blobfilename, prev_txn, transaction)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        path: str = self.base.loadBlob(oid, serial)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self.base.openCommittedBlobFile(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        path: str = self.base.temporaryDirectory()
        return path

    # Packing

    def pack(
        self,
        pack_time: float,
        referencesf: References,
        gc: bool | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Pack the primary, no further than what every backup has; see the module.

        `progress` is for a data file, see `FileStorage.pack`; other primaries take none.
        """
        behind = self._behind(min(self.base.lastTransaction(), tid_at(pack_time)))
        if behind is not None:
            log.warning("packing no further than what every backup has: %s", tid_repr(behind))
            if behind == ZERO:
                return
            pack_time = min(pack_time, time_of(behind) - _ROUNDING_S)
        pack_below(self.base, pack_time, referencesf, gc, progress)

    def _behind(self, tid: bytes) -> bytes | None:
        """Return how far the backup is that is farthest behind `tid`; None if all have that."""
        late = [r.tid for r in self._replicas if not r.wait_for(tid, self._timeout_s)]
        return min(late) if late else None
