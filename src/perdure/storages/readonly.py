"""A storage that can be read and not written, over any other.

What is committed below shows at once. What would write raises `ReadOnlyError`
before anything is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from zope.interface import alsoProvides

from perdure.capabilities import capabilities_of
from perdure.errors import ReadOnlyError
from perdure.interfaces import (
    INTERFACES,
    BlobStorage,
    HasMetaData,
    IterableStorage,
    Loaded,
    PlainRevision,
    RecordIterableStorage,
    References,
    SealedBlobStorage,
    Storage,
    StorageWrapper,
    StoredTransaction,
    UndoableStorage,
    declares,
)
from perdure.storages.below import current, sync_of

__all__ = ["ReadOnlyStorage"]


@declares(Storage)
class ReadOnlyStorage:
    """Shows `storage`; declares of its capabilities those that read, and its undo log.

    Closing it closes `storage` too, unless `close_base` is false.
    """

    def __init__(self, storage: Any, *, close_base: bool = True) -> None:
        self.base = storage
        self._close_base = close_base
        below = capabilities_of(storage)
        if below.iteration:
            alsoProvides(self, INTERFACES[IterableStorage])
        if below.record_iteration:
            alsoProvides(self, INTERFACES[RecordIterableStorage])
        if below.blobs:
            alsoProvides(self, INTERFACES[BlobStorage])
        if below.sealed_blobs:
            alsoProvides(self, INTERFACES[SealedBlobStorage])
        if below.undo:
            alsoProvides(self, INTERFACES[UndoableStorage])
        self._undo = below.undo
        self._sync_below = sync_of(storage)

    # What it is

    def close(self) -> None:
        if self._close_base:
            self.base.close()

    def getName(self) -> str:
        return f"ReadOnlyStorage({self.base.getName()})"

    def sortKey(self) -> str:
        key: str = self.base.sortKey()
        return key

    def getSize(self) -> int:
        size: int = self.base.getSize()
        return size

    def __len__(self) -> int:
        return len(self.base)

    def isReadOnly(self) -> bool:
        return True

    def supportsUndo(self) -> bool:
        return self._undo

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self.base.registerDB(wrapper)

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
        log: Sequence[Mapping[str, Any]] = self.base.undoLog(first, last, filter)
        return log

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        log: Sequence[Mapping[str, Any]] = self.base.undoInfo(first, last, specification)
        return log

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        path: str = self.base.loadBlob(oid, serial)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self.base.openCommittedBlobFile(oid, serial, blob)

    # Writing

    def _refuse(self) -> NoReturn:
        raise ReadOnlyError(f"{self.getName()} only reads; write to the storage below it")

    def new_oid(self) -> bytes:
        self._refuse()

    def tpc_transaction(self) -> None:
        """Return the transaction that is being committed: there is never one."""

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self._refuse()

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._refuse()

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: HasMetaData,
    ) -> None:
        self._refuse()

    def temporaryDirectory(self) -> str:
        self._refuse()

    def undo(self, transaction_id: bytes, transaction: HasMetaData) -> tuple[None, list[bytes]]:
        self._refuse()

    def tpc_vote(self, transaction: HasMetaData) -> None:
        self._refuse()

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        self._refuse()

    def tpc_abort(self, transaction: HasMetaData) -> None:
        """Do nothing: no transaction ever began."""

    def pack(self, pack_time: float, referencesf: References) -> None:
        self._refuse()
