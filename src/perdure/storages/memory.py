"""A storage in memory: full history and undo, gone when the process ends.

Readers take no lock: a record joins the history before its tid is published,
and a pack replaces the history as a whole. Blobs are files all the same, in a
temporary directory that is made for the first of them and goes with the storage.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from perdure.blobs import BlobDirectory, StagedBlobs, TemporaryBlobs, pack_blobs
from perdure.clock import tid_at
from perdure.errors import POSKeyError, StorageClosedError
from perdure.ids import ZERO, after, oid_repr
from perdure.interfaces import (
    Bind,
    BindingStorage,
    BlobRestoreableStorage,
    ExternalGCStorage,
    HasMetaData,
    IterableStorage,
    Loaded,
    PlainRevision,
    ReadVerifyingStorage,
    RecordIterableStorage,
    References,
    StorageWrapper,
    UndoableStorage,
    declares,
)
from perdure.storages import memorypast, undolog
from perdure.storages.binding import bound
from perdure.storages.changes import Changes
from perdure.storages.gate import Gate
from perdure.storages.iterated import IteratedTransaction
from perdure.storages.oids import OidSource
from perdure.storages.plan import record_of
from perdure.storages.resolving import Resolver
from perdure.storages.revisions import MemoryRecord, MemoryRevisions, MemoryTransaction

__all__ = ["MappingStorage"]


_numbers = count(1)


@dataclass(slots=True)
class _Draft:
    """What a transaction brings: its metadata as of `tpc_begin`, and its changes."""

    user: bytes
    description: bytes
    extension: bytes
    tid: bytes  # b"" until the vote, unless it was asked for
    status: str
    changes: Changes[MemoryRecord]
    blobs: StagedBlobs | None = None
    records: list[MemoryRecord] = field(default_factory=list)  # from the vote on


@declares(
    UndoableStorage,
    IterableStorage,
    BlobRestoreableStorage,
    RecordIterableStorage,
    ReadVerifyingStorage,
    ExternalGCStorage,
    BindingStorage,
)
class MappingStorage:
    """Keeps every revision in memory; `name` is what people call it."""

    def __init__(self, name: str = "MappingStorage") -> None:
        self.__name__ = name
        # Equal keys would let two transactions lock two storages in opposite orders.
        self._sort_key = f"{name}:{next(_numbers):016}"
        self._revisions = MemoryRevisions()
        self._gate: Gate[_Draft] = Gate()
        self._oids = OidSource()
        self._last_tid = ZERO
        self._commits = 0  # and packs: whatever makes plans of others stale
        self._resolver = Resolver(self.loadSerial)
        self._bind: Bind | None = None
        self._blobs = TemporaryBlobs()
        self._closed = False

    # What it is

    def close(self) -> None:
        self._closed = True
        self._gate.shut(self._closed_error)
        self._gate.expel()
        self._blobs.close()

    def cleanup(self) -> None:
        """Nothing is left behind (ZODB's name for removing files)."""

    def getName(self) -> str:
        return self.__name__

    def sortKey(self) -> str:
        return self._sort_key

    def getSize(self) -> int:
        return sum(transaction.size_bytes for transaction in self._history.transactions)

    def __len__(self) -> int:
        return len(self._history.by_oid)

    def isReadOnly(self) -> bool:
        return False

    def supportsUndo(self) -> bool:
        return True

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self._resolver.wrapper = wrapper

    def bind_records(self, bind: Bind) -> None:
        self._bind = bind

    # Reading

    @property
    def _history(self) -> MemoryRevisions:
        if self._closed:
            raise self._closed_error()
        return self._revisions

    def _closed_error(self) -> StorageClosedError:
        return StorageClosedError(f"storage {self.__name__} is closed")

    def lastTransaction(self) -> bytes:
        return self._last_tid

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        record = self._history.current(oid)
        if record is None or record.content is None:
            raise POSKeyError(oid)
        return Loaded(record.content, record.tid)

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        try:
            record, following = self._history.before(oid, tid)
        except KeyError:
            raise POSKeyError(oid) from None
        if record is None:
            return None
        if record.content is None:
            raise POSKeyError(oid)
        return record.content, record.tid, None if following is None else following.tid

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        record = self._history.written_by(oid, serial)
        if record is None or record.content is None:
            raise POSKeyError(oid)
        return record.content

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self.load(oid).tid

    def lastTid(self, oid: bytes) -> bytes | None:
        """Return the tid of the current record, None if there is none."""
        try:
            return self.getTid(oid)
        except POSKeyError:
            return None

    def new_oid(self) -> bytes:
        if self._closed:
            raise self._closed_error()
        return self._oids.next()

    def record_iternext(
        self,
        next: bytes | None = None,  # noqa: A002  the contract's name
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        found = self._history.next_existing(ZERO if next is None else next)
        if found is None:
            raise ValueError(f"no object has oid {oid_repr(next)} or a higher one")
        following = self._history.next_existing(after(found[0]))
        return *found, None if following is None else following[0]

    # Looking back

    def history(
        self,
        oid: bytes,
        size: int = 1,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[dict[str, Any]]:
        """Return up to `size` revisions, newest first, of those that `filter` takes."""
        return undolog.choose(memorypast.revisions_of(self._history, oid), 0, size, filter)

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[dict[str, Any]]:
        return undolog.choose(memorypast.undoable(self._history), first, last, filter)

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return self.undoLog(first, last, undolog.having(specification))

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[IteratedTransaction]:
        return memorypast.forward(self._history, start, stop)

    def lastInvalidations(self, count: int) -> list[tuple[bytes, list[bytes]]]:
        """Return (tid, oids) of the last `count` transactions, oldest first."""
        return memorypast.recent(self._history, count)

    # Two-phase commit

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return self._gate.transaction

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        if tid is not None:
            self._gate.check_tid(tid)
        draft = _Draft(
            transaction.user,
            transaction.description,
            transaction.extension_bytes,
            tid or b"",
            status,
            Changes(self._revisions, self._resolve, self._commits, has_blob=self._has_blob),
        )
        self._gate.begin(transaction, draft)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._gate.changes(transaction).changes.store(oid, serial, data)
        self._oids.seen(oid)

    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self._gate.changes(transaction).changes.restore(oid, data, prev_txn)
        self._oids.seen(oid)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self._gate.changes(transaction).changes.delete(oid, serial)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._gate.changes(transaction).changes.check(oid, serial)

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, list[bytes]]:
        changes = self._gate.changes(transaction).changes
        return None, changes.undo(undolog.undone_tid(transaction_id))

    def tpc_vote(self, transaction: HasMetaData) -> list[bytes]:
        with self._gate.voting(transaction) as draft:
            # A pack since then replaced the history that the draft planned on.
            draft.changes.plan_again(self._commits, self._revisions)
            draft.tid = self._gate.next_tid(draft.tid)
            draft.records = self._records_of(draft)
            self._place_blobs(draft)
        return draft.changes.resolved

    def _records_of(self, draft: _Draft) -> list[MemoryRecord]:
        planned, bind = draft.changes.planned, self._bind
        if bind is not None:
            planned = bound(planned, draft.tid, bind)
        return [
            MemoryRecord(oid, draft.tid, None if data is None else record_of(data), back)
            for oid, (data, back, _) in planned.items()
        ]

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        with self._gate.finishing(transaction) as draft:
            tid = draft.tid
            if func is not None:
                func(tid)
            self._revisions.add(
                MemoryTransaction(
                    tid, draft.status, draft.user, draft.description, draft.extension, draft.records
                )
            )
            self._gate.passed(tid)
            self._last_tid = tid
            self._commits += 1
            if draft.blobs is not None:
                draft.blobs.keep()
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        with self._gate.aborting(transaction) as known:
            if known is not None and known[0].blobs is not None:
                known[0].blobs.discard()

    def tryToResolveConflict(
        self,
        oid: bytes,
        committedSerial: bytes,
        oldSerial: bytes,
        newpickle: bytes,
        committedData: bytes = b"",
    ) -> bytes:
        """Return a record that merges two changes; `ConflictError` where there is none."""
        return self._resolver.resolve(oid, committedSerial, oldSerial, newpickle, committedData)

    def _resolve(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes
    ) -> bytes:
        # Looked up each time: servers replace it on the instance.
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
        self.store(oid, oldserial, data, version, transaction)
        self._staged(self._gate.changes(transaction)).add(oid, blobfilename)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self.restore(oid, serial, data, "", prev_txn, transaction)
        self._staged(self._gate.changes(transaction)).add(oid, blobfilename)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        return str(self._directory.find(oid, serial))

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self._directory.open(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        return str(self._directory.temporary)

    @property
    def _directory(self) -> BlobDirectory:
        if self._closed:
            raise self._closed_error()
        return self._blobs.directory

    def _staged(self, draft: _Draft) -> StagedBlobs:
        if draft.blobs is None:
            draft.blobs = StagedBlobs(self._directory)
        return draft.blobs

    def _place_blobs(self, draft: _Draft) -> None:
        reverted = {oid: record.tid for oid, record in draft.changes.reverted().items()}
        if draft.blobs is not None or (reverted and self._blobs.made is not None):
            self._staged(draft).place(draft.tid, draft.changes.planned, reverted)

    def _has_blob(self, oid: bytes, record: MemoryRecord) -> bool:
        made = self._blobs.made
        return made is not None and made.has(oid, record.tid)

    def _has_revision(self, oid: bytes, tid: bytes) -> bool:
        record = self._revisions.written_by(oid, tid)
        return record is not None and record.content is not None

    # Packing

    def pack(
        self,
        pack_time: float,
        referencesf: References,
        gc: bool = True,
    ) -> None:
        """Drop what nobody needs to see `pack_time` or later; with `gc`, garbage of then too."""
        stop = tid_at(pack_time)
        with self._gate.exclusive():
            self._revisions = self._history.packed(stop, referencesf if gc else None)
            self._commits += 1
            if self._blobs.made is not None:
                pack_blobs(self._blobs.made, stop, self._has_revision)
