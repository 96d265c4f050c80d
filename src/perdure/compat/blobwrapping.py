"""Blobs for storages that keep none, or that keep records only: ZODB's two ways to add them."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from zope.interface import alsoProvides, implementer, providedBy

from perdure.blobs import unused_path
from perdure.clock import tid_at
from perdure.compat.blobdirectory import FilesystemHelper, NoBlobsFileSystemHelper
from perdure.errors import MissingBlobError, POSKeyError
from perdure.ids import oid_repr
from perdure.interfaces import INTERFACES
from perdure.interfaces import BlobStorage as BlobContract
from perdure.objects.blob import BlobFile
from perdure.records import is_blob
from perdure.storages.copying import copy_transactions
from perdure.storages.undolog import undone_tid

__all__ = ["BlobStorage", "BlobStorageMixin", "move_into_place"]

logger = logging.getLogger("ZODB.blob")


def move_into_place(source: str, target: str, chmod: bool = True) -> None:
    """Move a file, by its name if possible; with `chmod`, nobody may write it afterwards."""
    try:
        os.rename(source, target)
    except OSError:
        # Another device: complete under a name of its own before it gets the real one.
        draft = f"{target}.incoming"
        shutil.copyfile(source, draft)
        os.replace(draft, target)
        os.unlink(source)
    if chmod:
        os.chmod(target, os.stat(target).st_mode & ~0o222)


class BlobStorageMixin:
    """Keeps blobs in a directory, for the storage class that inherits it.

    `_blob_init` begins, and the storage calls `_blob_tpc_finish` and `_blob_tpc_abort` at
    the end of each transaction; `store` and `restore` are its own.
    """

    fshelper: Any
    dirty_oids: list[tuple[bytes, bytes]]  # of the transaction under way
    _untransform: Callable[[bytes], bytes] | None = None

    def _blob_init(self, blob_dir: str, layout: str = "automatic") -> None:
        self.fshelper = FilesystemHelper(blob_dir, layout)
        self.fshelper.create()
        self.fshelper.checkSecure()
        self.dirty_oids = []

    def _blob_init_no_blobs(self) -> None:
        self.fshelper = NoBlobsFileSystemHelper()
        self.dirty_oids = []

    def _blob_tpc_finish(self) -> None:
        self.dirty_oids = []

    def _blob_tpc_abort(self) -> None:
        while self.dirty_oids:
            path = self.fshelper.getBlobFilename(*self.dirty_oids.pop())
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _blob_storeblob(self, oid: bytes, serial: bytes, blobfilename: str) -> None:
        self.fshelper.getPathForOID(oid, create=True)
        move_into_place(blobfilename, self.fshelper.getBlobFilename(oid, serial))
        self.dirty_oids.append((oid, serial))

    def registerDB(self, db: Any) -> None:
        """Ask `db` how records are to be read, and pass it on."""
        self._untransform = db.untransform_record_data
        pass_on = getattr(super(), "registerDB", None)
        if pass_on is not None:
            pass_on(db)

    def is_blob_record(self, record: bytes) -> bool:
        """Return whether this is the record of a blob."""
        return bool(record) and is_blob(
            record if self._untransform is None else self._untransform(record)
        )

    def copyTransactionsFrom(self, other: Any) -> None:
        """Write the transactions of another storage here, with their tids and blobs."""
        target: Any = self
        copy_transactions(other, target)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        """Return the path of a committed blob; `POSKeyError` if there is none."""
        path: str = self.fshelper.getBlobFilename(oid, serial)
        if not os.path.exists(path):
            raise MissingBlobError(oid, serial, path)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        """Return a committed blob's file, open for reading."""
        path = self.loadBlob(oid, serial)
        return open(path, "rb") if blob is None else BlobFile(path, "r", blob)

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: Any,
    ) -> None:
        """Store a record, and take over the file as its blob."""
        storage: Any = self
        storage.store(oid, oldserial, data, "", transaction)
        self._blob_storeblob(oid, storage._tid, blobfilename)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: Any,
    ) -> None:
        """Write a record and its blob as they were elsewhere."""
        storage: Any = self
        storage.restore(oid, serial, data, "", prev_txn, transaction)
        self._blob_storeblob(oid, serial, blobfilename)

    def temporaryDirectory(self) -> str:
        """Return a directory from which files can be moved in without copying."""
        path: str = self.fshelper.temp_dir
        return path


@implementer(INTERFACES[BlobContract])
class BlobStorage(BlobStorageMixin):
    """A storage of records, `storage`, with blobs in a directory of their own beside it.

    What it does not do itself it passes on, as methods bound to `storage`. Several
    transactions may be under way: each keeps its own files, in the temporary directory,
    until it finishes and they get their places.
    """

    def __init__(self, base_directory: str, storage: Any, layout: str = "automatic") -> None:
        self._storage = storage
        for name in _PASSED_ON:
            method = getattr(storage, name, None)
            if method is not None:
                setattr(self, name, method)
        alsoProvides(self, *providedBy(storage))
        self._blob_init(base_directory, layout)
        self._base_directory = base_directory

    def __len__(self) -> int:
        return len(self._storage)

    def __repr__(self) -> str:
        return f"<BlobStorage proxy for {self._storage!r} at {id(self):#x}>"

    def registerDB(self, db: Any) -> None:
        super().registerDB(db)
        self._storage.registerDB(db)

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: Any,
    ) -> None:
        self._storage.store(oid, oldserial, data, "", transaction)
        self._take_over(oid, blobfilename, transaction)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: Any,
    ) -> None:
        self._storage.restore(oid, serial, data, "", prev_txn, transaction)
        self._take_over(oid, blobfilename, transaction)

    def undo(self, serial_id: bytes, transaction: Any) -> Any:
        """Undo a transaction; a blob gets its former content as a file of its own."""
        result = self._storage.undo(serial_id, transaction)
        for oid in result[1] if result else ():
            self._put_back(oid, undone_tid(serial_id), transaction)
        return result

    def _put_back(self, oid: bytes, undone: bytes, transaction: Any) -> None:
        try:
            found = self._storage.loadBefore(oid, undone)
        except POSKeyError:
            found = None
        if found is None or not self.is_blob_record(found[0]):
            return
        copy = str(unused_path(self.fshelper.temp_dir, f"{oid_repr(oid)}-", ".undone"))
        shutil.copyfile(self.loadBlob(oid, found[1]), copy)
        self._waiting_for(transaction)[oid] = copy

    def _take_over(self, oid: bytes, path: str, transaction: Any) -> None:
        # The tid, which is part of a blob's name, comes with the end of the transaction.
        waiting = str(unused_path(self.fshelper.temp_dir, f"{oid_repr(oid)}-", ".waiting"))
        move_into_place(path, waiting)
        self._waiting_for(transaction)[oid] = waiting

    def _waiting_for(self, transaction: Any) -> dict[bytes, str]:
        """Return the files that a transaction brought, by oid."""
        try:
            waiting: dict[bytes, str] = transaction.data(self)
        except KeyError:
            waiting = {}
            transaction.set_data(self, waiting)
        return waiting

    def tpc_finish(self, transaction: Any, func: Callable[[bytes], object] | None = None) -> bytes:
        waiting = self._waiting_for(transaction)
        placed: list[str] = []

        def place(tid: bytes) -> None:
            for oid, path in waiting.items():
                self.fshelper.getPathForOID(oid, create=True)
                placed.append(self.fshelper.getBlobFilename(oid, tid))
                move_into_place(path, placed[-1])
            if func is not None:
                func(tid)

        try:
            tid: bytes = self._storage.tpc_finish(transaction, place)
        except BaseException:
            _remove(placed)
            raise
        waiting.clear()
        return tid

    def tpc_abort(self, transaction: Any) -> None:
        self._storage.tpc_abort(transaction)
        waiting = self._waiting_for(transaction)
        _remove(waiting.values())
        waiting.clear()

    def pack(self, packtime: float, referencesf: Any) -> None:
        """Pack the storage, then remove the blobs of the revisions that are gone."""
        self._storage.pack(packtime, referencesf)
        for oid, path in self.fshelper.listOIDs():
            for name in os.listdir(path):
                _, tid = self.fshelper.splitBlobFilename(os.path.join(path, name))
                if tid is not None and tid <= tid_at(packtime) and not self._is_there(oid, tid):
                    os.unlink(os.path.join(path, name))
            if not os.listdir(path):
                os.rmdir(path)

    def _is_there(self, oid: bytes, tid: bytes) -> bool:
        try:
            self._storage.loadSerial(oid, tid)
        except POSKeyError:
            return False
        return True

    def new_instance(self) -> "BlobStorage":
        """Return another one over a new instance of the storage, with the same directory."""
        return BlobStorage(
            self._base_directory, self._storage.new_instance(), self.fshelper.layout_name
        )


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


_PASSED_ON = (
    "afterCompletion",
    "checkCurrentSerialInTransaction",
    "cleanup",
    "close",
    "deleteObject",
    "getName",
    "getSize",
    "getTid",
    "history",
    "isReadOnly",
    "iterator",
    "lastInvalidations",
    "lastTransaction",
    "load",
    "loadBefore",
    "loadSerial",
    "new_oid",
    "poll_invalidations",
    "prefetch",
    "record_iternext",
    "release",
    "restore",
    "sortKey",
    "store",
    "supportsUndo",
    "sync",
    "tpc_begin",
    "tpc_transaction",
    "tpc_vote",
    "tryToResolveConflict",
    "undoInfo",
    "undoLog",
)
