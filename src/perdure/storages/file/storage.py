"""FileStorage: a database in one file, the format that of ZODB's `Data.fs`.

This is the face; what it does is done by its parts.

    openfile, loading, tail   from a file to the view of it
    reader                    the view: records by oid, read without locks
    committing                two-phase commit, with groups sharing syncs
    iterate, past             transactions in order, the past of an object
    packing, pack             a smaller file with what is still needed
    checkpoints               the index, saved now and then
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from zope.interface import alsoProvides

from perdure.blobs import BlobDirectory, StagedBlobs, open_blob_directory, pack_blobs
from perdure.clock import tid_at, time_of
from perdure.errors import (
    FileReplacedError,
    FileStorageError,
    POSKeyError,
    ReadOnlyError,
    StorageClosedError,
    Unsupported,
)
from perdure.fileops import FileOperations
from perdure.ids import MAX_TID, ZERO, after, oid_repr
from perdure.interfaces import (
    INTERFACES,
    BlobRestoreableStorage,
    ExternalGCStorage,
    HasMetaData,
    IterableStorage,
    Loaded,
    MeasuredStorage,
    ReadVerifyingStorage,
    RecordIterableStorage,
    References,
    RestoreableStorage,
    Revision,
    StorageWrapper,
    UndoableStorage,
    declares,
)
from perdure.storages import undolog
from perdure.storages.copying import copy_transactions
from perdure.storages.file.checkpoints import CHECKPOINT_BYTES, Checkpoints
from perdure.storages.file.committing import Committer
from perdure.storages.file.following import is_at_its_path, later_transactions
from perdure.storages.file.iterate import backward, forward
from perdure.storages.file.loading import Loading, Progress, index_path, load_view
from perdure.storages.file.lock import FileLock
from perdure.storages.file.openfile import access, open_data_file
from perdure.storages.file.pack import (
    Cancel,
    Pack,
    PackEstimate,
    PackProgress,
    remove_leftover,
)
from perdure.storages.file.packing import Packing
from perdure.storages.file.past import revisions, undoable
from perdure.storages.file.reader import View
from perdure.storages.file.tail import set_aside, write_again
from perdure.storages.iterated import IteratedTransaction
from perdure.storages.oids import OidSource
from perdure.storages.resolving import Resolver

__all__ = ["FileStorage"]

log = logging.getLogger("perdure.storages.file")

Packer = Callable[["FileStorage", References, bytes, bool], Any]


@declares(
    UndoableStorage,
    IterableStorage,
    RestoreableStorage,
    RecordIterableStorage,
    ReadVerifyingStorage,
    ExternalGCStorage,
    MeasuredStorage,
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
    only when the storage is closed. `progress` is told of a long scan while it opens.

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
        self._pack_gc = pack_gc
        self._packer = packer
        self._pack_lock = threading.Lock()
        self._operations = operations or FileOperations()
        self._resolver = Resolver(self._load_committed)
        self._committer: Committer | None = None
        self._why_closed = f"{self._path} is closed"
        self._stop = stop
        self._lock = None if read_only else self._acquire_lock()
        try:
            self._blobs = self._open_blobs(read_only)
            loading = self._open(read_only, create, stop, progress)
            self._view: View | None = loading.view
            self._clean_blobs(loading.view, read_only, create)
        except BaseException:
            self._release_lock()
            raise
        self._oids = OidSource(loading.view.index.highest() or ZERO)
        if not read_only:
            self._checkpoints = Checkpoints(self._operations, loading, checkpoint_bytes)
            self._committer = Committer(
                self._operations,
                loading.view,
                quota,
                self._resolve,
                self._lose_view,
                self._blobs,
                self._checkpoints.published,
            )

    def _open(
        self, read_only: bool, create: bool, stop: bytes | None, progress: Progress | None
    ) -> Loading:
        operations, path = self._operations, self._path
        file = open_data_file(operations, path, read_only, create)
        if create:
            consequence = "the file is new and empty; it was not opened"
            with access(path, "remove its index", consequence), suppress(FileNotFoundError):
                operations.unlink(index_path(path))
        with access(path, "read it", "it was not opened"):
            if not read_only:
                remove_leftover(operations, path)
            loading = load_view(file, stop, progress)
            view, torn = loading.view, loading.torn
            _warn_of_the_future(path, view.last_tid)
            if torn is not None and not (read_only and torn.unfinished):
                text = "%s, byte %d: found %s, expected %s; the file ends before this transaction"
                log.warning(text, path, torn.position, torn.found, torn.expected)
            if not read_only:
                if torn is not None:
                    aside = set_aside(operations, file, file.size(), view.end)
                    log.warning("%s: what stood behind its end is now in %s", path, aside)
                # Readers are about to see what a process may not have synced that was
                # killed, or failed to: its last commits, a cut, the name of the file.
                write_again(operations, file, loading.durable, view.end)
                operations.sync_directory(path.parent)
        return loading

    def _open_blobs(self, read_only: bool) -> BlobDirectory | None:
        if self.blob_dir is None:
            return None
        alsoProvides(self, INTERFACES[BlobRestoreableStorage])
        return open_blob_directory(Path(self.blob_dir), self._operations, read_only)

    def _clean_blobs(self, view: View, read_only: bool, create: bool) -> None:
        """Remove blobs of transactions that never were, or that are not there any more."""
        if self._blobs is None or read_only:
            return
        with access(self._blobs.path, "clean it", "the database was not opened"):
            left = self._blobs.clean(view.last_tid)
            if create:
                left += pack_blobs(self._blobs, MAX_TID, lambda oid, tid: False)
            if left:
                log.info("%s: removed %d blobs of no transaction", self._blobs.path, left)

    def _acquire_lock(self) -> FileLock:
        with access(self._path, "lock it", "nothing was changed"):
            return FileLock(self._path)

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    # What it is

    def close(self) -> None:
        with self._pack_lock:
            committer = self._committer
            try:
                if committer is not None:
                    committer.close()
                    self._why_closed = committer.why_closed
                    # No view means that it failed, and what the file holds is unknown.
                    self._checkpoints.close(self._view)
            finally:
                self._view = self._committer = None  # with them goes the open file
                self._release_lock()

    def cleanup(self) -> None:
        """Remove every file of this storage."""
        for suffix in ("", ".old", ".lock", ".index", ".index.tmp", ".pack"):
            with suppress(FileNotFoundError):
                self._operations.unlink(self._path.with_name(self._path.name + suffix))

    def getName(self) -> str:
        return self.__name__

    def sortKey(self) -> str:
        return str(self._path)

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

    def refresh(self) -> bool:
        """Take in what the writing process has committed since; return whether there was anything.

        The database is told, and its connections see it from their next transaction
        on. For a storage that is opened read-only, and without `stop`; any other has
        nothing to take in. If the file was packed or replaced, the new one is opened.

        Raises `FileReplacedError` if there is an older file now, or none, and what opening raises.
        """
        if self._lock is not None or self._stop is not None:
            return False
        with self._pack_lock, access(self._path, "read it", "what was read before stays"):
            view = self._opened()
            if not is_at_its_path(view.file) or view.file.size() < view.end:
                return self._follow(view)
            found = False
            for later in later_transactions(view):
                records = {} if later.header.status == b"u" else later.records
                if self._resolver.wrapper is not None:
                    # Before anybody can see it, as in a commit of our own.
                    self._resolver.wrapper.invalidate(later.header.tid, list(records))
                view.publish(later.header.tid, records, later.end)
                found = True
            return found

    def _follow(self, old: View) -> bool:
        """Use the file that has taken the place of the one of `old`."""
        if not self._path.exists():
            raise FileReplacedError(self._path)
        view = self._open(True, False, None, None).view
        if view.last_tid < old.last_tid:
            raise FileReplacedError(self._path)
        self._view = view
        if self._resolver.wrapper is not None:
            self._resolver.wrapper.invalidateCache()
        return True

    def _opened(self) -> View:
        if self._view is None:
            raise self._closed()
        return self._view

    def _closed(self) -> StorageClosedError:
        if self._committer is not None and self._committer.why_closed:
            return StorageClosedError(self._committer.why_closed)
        return StorageClosedError(self._why_closed)

    def _lose_view(self) -> None:
        self._view = None

    # Reading

    def lastTransaction(self) -> bytes:
        return self._opened().last_tid

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        return self._opened().load(oid)

    def loadBefore(self, oid: bytes, tid: bytes) -> Revision | None:
        view = self._view
        if view is None:
            raise self._closed()
        return view.load_before(oid, tid)

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        return self._opened().load_serial(oid, serial)

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
        view = self._opened()
        oid = view.next_existing(ZERO if next is None else next)
        if oid is None:
            raise ValueError(f"no object has oid {oid_repr(next)} or a higher one")
        data, tid = view.load(oid)
        return oid, tid, data, view.next_existing(after(oid))

    # Looking back

    def history(
        self,
        oid: bytes,
        size: int = 1,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[dict[str, Any]]:
        """Return up to `size` revisions, newest first, of those that `filter` takes."""
        return undolog.choose(revisions(self._opened(), oid), 0, size, filter)

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
        view = self._opened()
        recent = list(islice(backward(view), max(count, 0)))
        start = recent[-1][1].tid if recent else MAX_TID
        return [(t.tid, [record.oid for record in t]) for t in forward(view, start, None)]

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

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return None if self._committer is None else self._committer.transaction

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        self._writable().begin(transaction, tid, status)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._writable().changes(transaction).store(oid, serial, data)
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
        self._writable().changes(transaction).restore(oid, data, prev_txn)
        self._oids.seen(oid)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self._writable().changes(transaction).delete(oid, serial)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._writable().changes(transaction).check(oid, serial)

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, list[bytes]]:
        changes = self._writable().changes(transaction)
        return None, changes.undo(undolog.undone_tid(transaction_id))

    def tpc_vote(self, transaction: HasMetaData) -> list[bytes]:
        return self._writable().vote(transaction)

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        return self._writable().finish(transaction, func)

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
        blobs = self._staged(transaction)
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
        blobs = self._staged(transaction)
        self.restore(oid, serial, data, "", prev_txn, transaction)
        blobs.add(oid, blobfilename)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        return str(self._blob_directory().find(oid, serial))

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self._blob_directory().open(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        self._writable()
        return str(self._blob_directory().temporary)

    def _blob_directory(self) -> BlobDirectory:
        self._opened()
        if self._blobs is None:
            raise Unsupported(f"{self._path} keeps no blobs; open it with blob_dir")
        return self._blobs

    def _staged(self, transaction: HasMetaData) -> StagedBlobs:
        staged = self._writable().blobs(transaction)
        if staged is None:
            raise Unsupported(f"{self._path} keeps no blobs; open it with blob_dir")
        return staged

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
        committer, stop = self._writable(), tid_at(t)
        collect = self._pack_gc if gc is None else gc
        if not self._pack_lock.acquire(blocking=False):
            raise FileStorageError(f"{self._path} is being packed already")
        try:
            view = self._opened()
            packing = Packing(
                self._operations,
                committer,
                self._checkpoints,
                self._blobs,
                self.pack_keep_old,
                self._use,
            )
            if self._packer is None:
                packing.pack(view, stop, referencesf if collect else None, progress, cancel)
            else:
                packing.pack_with(
                    view, stop, partial(self._packer, self, referencesf, stop, collect)
                )
        finally:
            self._pack_lock.release()

    def pack_estimate(
        self,
        t: float,
        referencesf: References,
        gc: bool | None = None,
        *,
        cancel: Cancel | None = None,
    ) -> PackEstimate:
        """Return what `pack` with the same arguments would drop; changes nothing."""
        collect = self._pack_gc if gc is None else gc
        references = referencesf if collect else None
        pack = Pack(self._operations, self._opened(), tid_at(t), references, cancel=cancel)
        return pack.estimate()

    def _use(self, view: View) -> None:
        self._view = view

    def copyTransactionsFrom(self, other: IterableStorage) -> None:
        """Write the transactions of another storage here, with their tids."""
        copy_transactions(other, self)


def _warn_of_the_future(path: Path, last_tid: bytes) -> None:
    ahead_s = time_of(last_tid) - time.time() if last_tid != ZERO else 0.0
    if ahead_s > 0:
        text = "%s: its last transaction is from %.0f seconds ahead; tids go on from there"
        log.warning(text, path, ahead_s)
