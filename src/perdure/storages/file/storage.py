"""FileStorage: a database in one file, the format that of ZODB's `Data.fs`.

This is the face; what it does is done by its parts.

    opening, loading, tail    from a file to the view of it
    reader                    the view: records by oid, read without locks
    committing                two-phase commit, with groups sharing writes and syncs
    iterate, past             transactions in order, the past of an object
    blobs                     the files beside the records
    packs, packing, pack      a smaller file with what is still needed
    checkpoints               the index, saved now and then
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from zope.interface import alsoProvides

from perdure import native
from perdure.errors import POSKeyError, ReadOnlyError, StorageClosedError
from perdure.fileops import FileOperations
from perdure.ids import ZERO
from perdure.interfaces import (
    INTERFACES,
    BatchStorage,
    Bind,
    BindingStorage,
    BlobRestoreableStorage,
    ExternalGCStorage,
    HasMetaData,
    IterableStorage,
    Loaded,
    MeasuredStorage,
    PlainRevision,
    ReadVerifyingStorage,
    RecordCheckingStorage,
    RecordIterableStorage,
    References,
    RestoreableStorage,
    StorageWrapper,
    UndoableStorage,
    declares,
)
from perdure.storages import undolog
from perdure.storages.copying import copy_transactions
from perdure.storages.file.blobs import FileBlobs
from perdure.storages.file.checkpoints import CHECKPOINT_BYTES, Checkpoints
from perdure.storages.file.committing import Committer
from perdure.storages.file.following import successor, take_in, was_replaced
from perdure.storages.file.iterate import forward, latest
from perdure.storages.file.loading import Progress
from perdure.storages.file.lock import FileLock
from perdure.storages.file.openfile import access
from perdure.storages.file.opening import Opening
from perdure.storages.file.pack import Cancel, PackEstimate, PackProgress
from perdure.storages.file.packing import Packing
from perdure.storages.file.packs import Packs
from perdure.storages.file.past import revisions, undoable
from perdure.storages.file.reader import View
from perdure.storages.file.reserve import RESERVE_BYTES
from perdure.storages.file.verifying import Verifier, check_record
from perdure.storages.iterated import IteratedTransaction
from perdure.storages.oids import OidSource
from perdure.storages.resolving import Resolver

__all__ = ["FileStorage"]

Packer = Callable[["FileStorage", References, bytes, bool], Any]


@declares(
    UndoableStorage,
    IterableStorage,
    RestoreableStorage,
    RecordIterableStorage,
    ReadVerifyingStorage,
    ExternalGCStorage,
    MeasuredStorage,
    BindingStorage,
    BatchStorage,
    RecordCheckingStorage,
)
class FileStorage:
    """The database in the file `file_name`, which is created where there is none.

    `create` begins a new one in its place. With `read_only` no lock is taken,
    and `stop` shows the database as it was before that tid. `quota` limits the
    size of the file in bytes. `pack_gc` and `pack_keep_old` are what `pack` does
    about garbage, and about the file as it was before. Blobs are kept in the
    directory `blob_dir`, which is made where there is none; without it, the
    storage has no blobs. The index is saved when about `checkpoint_bytes` were committed
    since the last time, so that opening after a kill scans no more than that; with None
    only when the storage is closed. `progress` is told of a long scan while it opens. With
    `verify_reads`, a transaction's checksum is verified when one of its records is loaded for
    the first time: `CorruptDataError` in place of data that the disk has changed; else up to
    16 MiB of the file are kept in memory. While it is open for writing, small commits write up
    to `reserve_bytes` of zeros behind the end of the file, which those after them overwrite;
    with 0 none.

    Raises `FileLockedError`, `FileMissingError`, `FileAccessError`,
    `FileStorageFormatError` for what is not a data file, and `CorruptDataError`
    for a data file that is damaged in its midst.
    """

    def __init__(
        self,
        file_name: str | os.PathLike[str],
        create: bool = False,
        read_only: bool = False,
        stop: bytes | None = None,
        quota: int | None = None,
        pack_gc: bool = True,
        pack_keep_old: bool = True,
        packer: Packer | None = None,
        blob_dir: str | os.PathLike[str] | None = None,
        *,
        checkpoint_bytes: int | None = CHECKPOINT_BYTES,
        progress: Progress | None = None,
        verify_reads: bool = False,
        reserve_bytes: int = RESERVE_BYTES,
        operations: FileOperations | None = None,
    ) -> None:
        if read_only and create:
            raise ValueError("cannot create a file that is opened read-only")
        if stop is not None and not read_only:
            raise ValueError("only a file that is opened read-only can be shown as of the past")
        self.__name__ = os.fspath(file_name)
        self.pack_keep_old = pack_keep_old
        self.blob_dir = None if blob_dir is None else os.path.abspath(blob_dir)
        self._path = Path(os.path.abspath(file_name))
        self._sort_key = str(self._path)
        self._operations = operations or FileOperations()
        write_packed = None if packer is None else partial(packer, self)
        self._packs = Packs(self._operations, self._path, pack_gc, write_packed)
        self._resolver = Resolver(self._load_committed)
        self._committer: Committer | None = None
        self._why_closed = f"{self._path} is closed"
        self._stop = stop
        self._view: View | None = None
        self._load_before: Callable[[bytes, bytes], PlainRevision | None] | None = None
        self._closed_at: bytes | None = None  # the last tid, when it was closed in order
        self._verify_reads = verify_reads
        self._verifier: Verifier | None = None
        self._relay = native.view.Relay() if native.view else None
        if self._relay and type(self).loadBefore is FileStorage.loadBefore:
            # What connections load by: no Python between them and the file.
            vars(self).update(loadBefore=self._relay.call)
        self._lock = None if read_only else self._acquire_lock()
        opening = Opening(self._operations, self._path, self.blob_dir, create, read_only)
        try:
            self._blob_directory = opening.blobs()
            loading = opening.view(stop, progress)
            self._use(loading.view)
            opening.clean(self._blob_directory, loading.view)
        except BaseException:
            self._release_lock()
            raise
        self._blobs = FileBlobs(self._path, self._blob_directory)
        if blob_dir is not None:
            alsoProvides(self, INTERFACES[BlobRestoreableStorage])
        self._oids = OidSource(loading.view.index.highest() or ZERO)
        if not read_only:
            self._checkpoints = Checkpoints(self._operations, loading, checkpoint_bytes)
            self._committer = Committer(
                self._operations,
                loading.view,
                quota,
                self._resolve,
                partial(self._use, None),
                self._blob_directory,
                self._checkpoints.published,
                # If nothing had to be written again on opening, nothing was synced either.
                settled=not loading.is_durable,
                reserve_bytes=reserve_bytes,
            )

    def _acquire_lock(self) -> FileLock:
        with access(self._path, "lock it", "nothing was changed"):
            return FileLock(self._path)

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    # What it is

    def close(self) -> None:
        with self._packs.none_running():
            committer = self._committer
            try:
                if committer is not None:
                    committer.close()
                    self._why_closed = committer.why_closed
                    # No view means that it failed, and what the file holds is unknown.
                    self._checkpoints.close(self._view)
            finally:
                self._committer = None
                if self._view is not None:
                    self._closed_at = self._view.last_tid
                self._use(None)  # with these goes the open file
                self._release_lock()

    def cleanup(self) -> None:
        """Remove every file of this storage."""
        for suffix in ("", ".old", ".lock", ".index", ".index.tmp", ".pack"):
            with suppress(FileNotFoundError):
                self._operations.unlink(self._path.with_name(self._path.name + suffix))

    def getName(self) -> str:
        return self.__name__

    def sortKey(self) -> str:
        return self._sort_key

    def getSize(self) -> int:
        return self._opened().end

    def __len__(self) -> int:
        return len(self._opened().index)

    def isReadOnly(self) -> bool:
        return self._lock is None

    def supportsUndo(self) -> bool:
        return True

    def counters(self) -> dict[str, float]:
        """Return how many syncs commits have waited for, and how long they took, in seconds."""
        committer = self._committer
        if committer is None:
            return {}
        return {"syncs": committer.syncs, "sync_s": committer.sync_s}

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self._resolver.wrapper = wrapper

    def bind_records(self, bind: Bind) -> None:
        if self._committer is not None:
            self._committer.bind = bind

    def refresh(self) -> bool:
        """Take in what the writing process has committed since; return whether there was anything.

        The database is told, and its connections see it from their next transaction
        on. For a storage that is opened read-only, and without `stop`; any other has
        nothing to take in. If the file was packed or replaced, the new one is opened.

        Raises `FileReplacedError` if there is an older file now, or none, and what opening raises.
        """
        if self._lock is not None or self._stop is not None:
            return False
        with self._packs.none_running(), access(self._path, "read it", "what was read stays"):
            view, wrapper = self._opened(), self._resolver.wrapper
            if not was_replaced(view):
                return take_in(view, wrapper)
            opening = Opening(self._operations, self._path, None, create=False, read_only=True)
            self._use(successor(view, lambda: opening.view(None, None).view))
            if wrapper is not None:
                wrapper.invalidateCache()
            return True

    def _opened(self) -> View:
        if self._view is None:
            raise self._closed()
        return self._view

    def _closed(self) -> StorageClosedError:
        if self._committer is not None and self._committer.why_closed:
            return StorageClosedError(self._committer.why_closed)
        return StorageClosedError(self._why_closed)

    def _use(self, view: View | None) -> None:
        self._verifier = None
        self._view = view
        # What loading does, so that it need not ask for each object.
        if view is None:
            self._load_before = None
        elif self._verify_reads:
            # What is verified is read at the same time as what is loaded, and not long after it.
            view.keep(0)
            self._verifier = Verifier(view)
            self._load_before = partial(self._verified, view, self._verifier)
        else:
            self._load_before = view.load_before
        if self._relay and view is not None and self._verifier is None:
            self._relay.aim(view.records, view.pure_load_before)
        elif self._relay:
            self._relay.aim(None, self._load_before or self._refuse_to_load)

    def _refuse_to_load(self, oid: bytes, tid: bytes) -> NoReturn:
        raise self._closed()

    # Reading

    def lastTransaction(self) -> bytes:
        # As with ZODB also when it was closed: connections that nobody closed ask for it
        # whenever a transaction ends, and that must not fail for the others in it.
        return self._closed_at or self._opened().last_tid

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        loaded = self._opened().load(oid)
        if self._verifier is not None:
            self._verifier.verify(oid, loaded.tid)
        return loaded

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        load = self._load_before
        if load is None:
            raise self._closed()
        return load(oid, tid)

    @staticmethod
    def _verified(view: View, verifier: Verifier, oid: bytes, tid: bytes) -> PlainRevision | None:
        found = view.load_before(oid, tid)
        if found is not None:
            verifier.verify(oid, found[1])
        return found

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        data = self._opened().load_serial(oid, serial)
        if self._verifier is not None:
            self._verifier.verify(oid, serial)
        return data

    def check_record(self, oid: bytes, tid: bytes) -> None:
        """Raise `CorruptDataError` if the transaction that wrote a record has changed since.

        One of more than 16 MiB, or without a checksum, is not looked at.
        """
        check_record(self._opened(), oid, tid)

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self._opened().load(oid).tid

    def lastTid(self, oid: bytes) -> bytes | None:
        """Return the tid of the current record, None if there is none."""
        try:
            return self.getTid(oid)
        except POSKeyError:
            return None

    def record_iternext(
        self,
        next: bytes | None = None,  # noqa: A002  the contract's name
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        return self._opened().record_from(ZERO if next is None else next)

    # Looking back

    def history(
        self,
        oid: bytes,
        size: int = 1,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[dict[str, Any]]:
        """Return up to `size` revisions, newest first, of those that `filter` takes."""
        found = revisions(self._opened(), oid, min(max(size, 1), 100))
        return undolog.choose(found, 0, size, filter)

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[dict[str, Any]]:
        return undolog.choose(undoable(self._opened()), first, last, filter)

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return self.undoLog(first, last, undolog.having(specification))

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[IteratedTransaction]:
        return forward(self._opened(), start, stop)

    def lastInvalidations(self, count: int) -> list[tuple[bytes, list[bytes]]]:
        """Return (tid, oids) of the last `count` transactions, oldest first."""
        return [(t.tid, [record.oid for record in t]) for t in latest(self._opened(), count)]

    # Two-phase commit

    def _writable(self) -> Committer:
        if self._view is None:
            raise self._closed()
        if self._committer is None:
            raise ReadOnlyError(f"{self._path} was opened read-only")
        return self._committer

    def new_oid(self) -> bytes:
        self._writable()
        return self._oids.next()

    def new_oids(self, count: int) -> list[bytes]:
        """Return `count` oids, each as `new_oid` gives one, in order."""
        self._writable()
        return self._oids.next_of(count)

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return None if self._committer is None else self._committer.transaction

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        (self._committer or self._writable()).begin(transaction, tid, status)

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        """Store records, each (oid, serial, data), in order, as `store` does one."""
        (self._committer or self._writable()).draft_of(transaction).changes.store_all(records)
        if native.planning and isinstance(records, native.planning.Records):
            self._oids.seen(records.highest())
        else:
            self._oids.seen(max([record[0] for record in records], default=ZERO))

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        committer = self._committer
        if committer is None:
            self._writable()  # which says why it is not
        else:
            committer.draft_of(transaction).changes.store(oid, serial, data)
            if oid > self._oids.highest:
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
        self._writable().draft_of(transaction).changes.restore(oid, data, prev_txn)
        self._oids.seen(oid)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self._writable().draft_of(transaction).changes.delete(oid, serial)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._writable().draft_of(transaction).changes.check(oid, serial)

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, list[bytes]]:
        changes = self._writable().draft_of(transaction).changes
        return None, changes.undo(undolog.undone_tid(transaction_id))

    def tpc_vote(self, transaction: HasMetaData) -> list[bytes]:
        return (self._committer or self._writable()).vote(transaction)

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        return (self._committer or self._writable()).finish(transaction, func)

    def tpc_abort(self, transaction: HasMetaData) -> None:
        if self._committer is not None:
            self._committer.abort(transaction)

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

    def _load_committed(self, oid: bytes, serial: bytes) -> bytes:
        return self._writable().load_serial(oid, serial)

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
        blobs = self._blobs.staged(self._writable().draft_of(transaction).blobs)
        self.store(oid, oldserial, data, version, transaction)
        blobs.add(oid, blobfilename)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        blobs = self._blobs.staged(self._writable().draft_of(transaction).blobs)
        self.restore(oid, serial, data, "", prev_txn, transaction)
        blobs.add(oid, blobfilename)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._opened()
        return self._blobs.path_of(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._opened()
        return self._blobs.open(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        self._writable()
        return self._blobs.temporary()

    # The file as a whole

    def pack(
        self,
        t: float,
        referencesf: References,
        gc: bool | None = None,
        *,
        progress: PackProgress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Drop what nobody needs to see `t` (seconds since 1970) or later, while work goes on.

        With `gc`, by default `pack_gc`, also the objects that were garbage then.
        `progress` is called now and then with bytes done and bytes in all; `cancel`
        is an event, or a function that is asked, whether to give up.

        Raises `FileStorageSpaceError` where there is no room for the copy, and
        `PackCancelledError`; then the file is as it was.
        """
        committer, blobs = self._writable(), self._blob_directory
        packing = Packing(
            self._operations, committer, self._checkpoints, blobs, self.pack_keep_old, self._use
        )
        self._packs.pack(self._opened, packing, t, referencesf, gc, progress, cancel)

    def pack_estimate(
        self,
        t: float,
        referencesf: References,
        gc: bool | None = None,
        *,
        cancel: Cancel | None = None,
    ) -> PackEstimate:
        """Return what `pack` with the same arguments would drop; changes nothing."""
        return self._packs.estimate(self._opened(), t, referencesf, gc, cancel)

    def copyTransactionsFrom(self, other: IterableStorage) -> None:
        """Write the transactions of another storage here, with their tids."""
        copy_transactions(other, self)
