"""A storage that keeps records in another form in the storage below: compressed, encrypted.

Records are transformed on their way down and turned back on their way up. What
looks inside them below is given them turned back: packing asks this layer for
references (`chained`), and conflicts are resolved here, where the records are
plain; the storage below is told by the name that it asks itself by.

Where the transform binds records to their transaction, it has the last word on
them in the vote (`binding`), and undo stores what it brings back anew (`reundo`).
Blobs (`layerblobs`) and the metadata of transactions (`layerpast`) go through, unless
there is something that seals them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, StorageTransactionError
from perdure.interfaces import (
    Bind,
    HasMetaData,
    IterableStorage,
    Loaded,
    PlainRevision,
    References,
    RestoreableStorage,
    Storage,
    StorageWrapper,
    StoredTransaction,
    declares,
)
from perdure.records.transforms import NO_FACTS, Facts, RecordTransform
from perdure.storages import undolog
from perdure.storages.below import (
    current,
    declare_as,
    have_conflicts_resolved,
    pack_below,
    sync_of,
)
from perdure.storages.chained import Link, references_turned_back
from perdure.storages.copying import copy_transactions
from perdure.storages.layerblobs import LayerBlobs
from perdure.storages.layerpast import LayerPast
from perdure.storages.resolving import Resolver
from perdure.storages.reundo import Undoing
from perdure.storages.sealedblobs import SealedBlobs
from perdure.storages.sealedmetadata import SealedMetadata

__all__ = ["TransformingStorage"]


@dataclass(slots=True)
class _Draft:
    """What a transaction is called below, and the undos in it."""

    transaction: HasMetaData  # held, so that its id stays its own
    below: HasMetaData
    undoing: Undoing | None = None


@declares(Storage)
class TransformingStorage:
    """Shows the records of `storage` as they were before `transform`.

    It declares what `storage` declares. `blobs` and `metadata` seal the blobs and the
    metadata of transactions, which are left as they are without. Closing it closes
    `storage` too, unless `close_base` is false.

    Reading raises a `TransformError` for a record that cannot be turned back.
    """

    def __init__(
        self,
        storage: Any,
        transform: RecordTransform,
        *,
        blobs: SealedBlobs | None = None,
        metadata: SealedMetadata | None = None,
        close_base: bool = True,
    ) -> None:
        self.base = storage
        self.transform = transform
        self._sealed_blobs = blobs
        self._metadata = metadata
        self._close_base = close_base
        self._blobs = LayerBlobs(storage, transform, blobs)
        self._past = LayerPast(storage, transform, metadata)
        self._drafts: dict[int, _Draft] = {}
        self._below = capabilities_of(storage)
        self._sync_below = sync_of(storage)
        redoes = self._below.iteration and (self._below.restore or self._below.external_gc)
        self._undo = self._below.undo and (redoes or not transform.binds)
        declare_as(
            self,
            replace(
                self._below,
                undo=self._undo,
                sealed_blobs=self._below.sealed_blobs or (self._below.blobs and blobs is not None),
                # What is bound here already needs no second bond, and has no room for it.
                binding=self._below.binding and not transform.binds,
            ),
        )
        self._resolver = Resolver(self.loadSerial)
        self._link = Link(transform)
        storage.registerDB(self._link)
        # Only here the records are plain, and it is known whose they are.
        have_conflicts_resolved(storage, self._resolve_for_base)
        if transform.binds:
            storage.bind_records(self._link.bind)

    # What it is

    def close(self) -> None:
        self._blobs.close()
        if self._close_base:
            self.base.close()

    def getName(self) -> str:
        return f"{self.transform.name}({self.base.getName()})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.getName()}>"

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
        self._resolver.wrapper = self._link.above = wrapper

    def bind_records(self, bind: Bind) -> None:
        self._link.bind_above = bind
        self.base.bind_records(self._link.bind)

    # Snapshots, where the storage below has its own

    def new_instance(self) -> Self:
        return type(self)(
            self.base.new_instance(),
            self.transform,
            blobs=self._sealed_blobs,
            metadata=self._metadata,
        )

    def release(self) -> None:
        self._blobs.close()
        self.base.release()

    def sync(self, force: bool = True) -> None:
        """Catch up with a server, where the storage below has one."""
        if self._below.mvcc:
            self.base.sync(force)
        elif force and self._sync_below is not None:
            self._sync_below()  # as ZODB calls it: clients take no argument

    def poll_invalidations(self) -> Iterable[bytes] | None:
        changed: Iterable[bytes] | None = self.base.poll_invalidations()
        return changed

    def prefetch(self, oids: Iterable[bytes], tid: bytes) -> None:
        self.base.prefetch(oids, tid)

    # Reading

    def lastTransaction(self) -> bytes:
        tid: bytes = self.base.lastTransaction()
        return tid

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        if self._below.mvcc:
            data, tid = self.base.load(oid)
            return Loaded(self.transform.untransform(oid, tid, data), tid)
        return current(self, oid)

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self.load(oid).tid

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        revision = self.base.loadBefore(oid, tid)
        if revision is None:
            return None
        data, start, end = revision
        return self.transform.untransform(oid, start, data), start, end

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        return self.transform.untransform(oid, serial, self.base.loadSerial(oid, serial))

    def record_iternext(
        self,
        next: bytes | None = None,  # noqa: A002  the contract's name
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        oid, tid, data, following = self.base.record_iternext(next)
        return oid, tid, self.transform.untransform(oid, tid, data), following

    def history(self, oid: bytes, size: int = 1) -> Sequence[Mapping[str, Any]]:
        return self._past.history(oid, size)

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[StoredTransaction]:
        return self._past.transactions(start, stop)

    # Two-phase commit

    def new_oid(self) -> bytes:
        oid: bytes = self.base.new_oid()
        return oid

    def new_oids(self, count: int) -> list[bytes]:
        oids: list[bytes] = self.base.new_oids(count)
        return oids

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return next((draft.transaction for draft in list(self._drafts.values())), None)

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        known = self._drafts.get(id(transaction))
        if known is not None:
            self.base.tpc_begin(known.below)  # which refuses it
        below = transaction if self._metadata is None else self._metadata.sealed(transaction)
        if tid is None:
            self.base.tpc_begin(below)
        else:
            self.base.tpc_begin(below, tid, status)
        self._drafts[id(transaction)] = _Draft(transaction, below)

    def _draft(self, transaction: HasMetaData) -> _Draft:
        draft = self._drafts.get(id(transaction))
        if draft is None:
            # The storage below says what is wrong: it is closed, or only reads.
            self.base.tpc_vote(transaction)
            raise StorageTransactionError(f"{self.getName()} is in no transaction {transaction!r}")
        return draft

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        below = self._draft(transaction).below
        self.base.store(oid, serial, self.transform.transform(oid, data), version, below)

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        below, transform = self._draft(transaction).below, self.transform.transform
        stored = [(oid, serial, transform(oid, data)) for oid, serial, data in records]
        self.base.store_all(stored, below)

    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        below = self._draft(transaction).below
        if data is not None:
            data = self.transform.transform(oid, data, self._facts(oid, data, prev_txn))
        self.base.restore(oid, serial, data, version, prev_txn, below)

    def _facts(self, oid: bytes, data: bytes, source: bytes | None) -> Facts:
        """Return what to note on a record that is said to repeat that of `source`."""
        if source is None or not self.transform.carries:
            return NO_FACTS
        try:
            same = self.loadSerial(oid, source) == data
        except POSKeyError:  # a hint, no more
            return NO_FACTS
        return Facts(source) if same else NO_FACTS

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self.base.deleteObject(oid, serial, self._draft(transaction).below)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        below = self._draft(transaction).below
        self.base.checkCurrentSerialInTransaction(oid, serial, below)

    def tpc_vote(self, transaction: HasMetaData) -> Iterable[bytes] | None:
        resolved: Iterable[bytes] | None = self.base.tpc_vote(self._draft(transaction).below)
        return resolved

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        tid: bytes = self.base.tpc_finish(self._draft(transaction).below, func)
        del self._drafts[id(transaction)]
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        draft = self._drafts.pop(id(transaction), None)
        self.base.tpc_abort(transaction if draft is None else draft.below)

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

    def _resolve_for_base(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        untransform = self.transform.untransform
        new = untransform(oid, None, data)
        there = untransform(oid, committed, committed_data) if committed_data else b""
        # Looked up each time: layers above, and servers, replace it on the instance.
        merged = self.tryToResolveConflict(oid, committed, read, new, there)
        return self.transform.transform(oid, merged, Facts(blob=self.transform.facts(data).blob))

    # Undo

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> Sequence[Mapping[str, Any]]:
        return self._past.undo_log(first, last, filter)

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        return self.undoLog(first, last, undolog.having(specification))

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, Iterable[bytes]]:
        draft = self._draft(transaction)
        if not self.transform.binds:
            result: tuple[bytes | None, Iterable[bytes]] = self.base.undo(
                transaction_id, draft.below
            )
            return result
        if draft.undoing is None:
            draft.undoing = Undoing(
                self.base, self.transform, self._blobs, self._resolve, draft.below
            )
        return None, draft.undoing.undo(undolog.undone_tid(transaction_id))

    def _resolve(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes
    ) -> bytes:
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
        put, below = self.base.storeBlob, self._draft(transaction).below
        self._blobs.store(
            oid,
            data,
            blobfilename,
            lambda stored, path: put(oid, oldserial, stored, path, version, below),
        )

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        put, below = self.base.restoreBlob, self._draft(transaction).below
        self._blobs.store(
            oid,
            data,
            blobfilename,
            lambda stored, path: put(oid, serial, stored, path, prev_txn, below),
            self._facts(oid, data, prev_txn).source,
        )

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        return self._blobs.path(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self._blobs.open(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        path: str = self.base.temporaryDirectory()
        return path

    # The storage as a whole

    def pack(
        self,
        pack_time: float,
        referencesf: References,
        gc: bool | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Pack the storage below, which gets its references from the records turned back.

        `progress` is for a data file below, see `FileStorage.pack`; other storages take none.
        """
        references = references_turned_back(self.transform, referencesf)
        pack_below(self.base, pack_time, references, gc, progress)

    def copyTransactionsFrom(self, other: IterableStorage) -> None:
        """Write the transactions of another storage here, with their tids."""
        copy_transactions(other, cast(RestoreableStorage, self))
