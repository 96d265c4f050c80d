"""What a storage promises: the storage contract, capability by capability.

The names and the calls are ZODB's (`ZODB.interfaces`), so that its storages fit
here and ours fit there. A storage declares the capabilities it has
(`@declares(Storage, UndoableStorage)`); having the methods is not having the
capability.

Two-phase commit, in this order, all with the same `transaction`:
`tpc_begin`, then any of `store`, `restore`, `undo`, `deleteObject` and
`checkCurrentSerialInTransaction`, then `tpc_vote`, then `tpc_finish`. Up to
there `tpc_abort` ends it and leaves nothing behind. A call with another
transaction raises `StorageTransactionError` before it looks at anything else;
`tpc_abort` with one that the storage does not know does nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from perdure.interfaces.values import HasMetaData, Loaded, PlainRevision, StoredRecord

__all__ = [
    "BatchStorage",
    "Bind",
    "BindingStorage",
    "BlobRestoreableStorage",
    "BlobStorage",
    "ClassFinder",
    "ExternalGCStorage",
    "IterableStorage",
    "MVCCStorage",
    "MeasuredStorage",
    "PrefetchStorage",
    "ReadVerifyingStorage",
    "RecordCheckingStorage",
    "RecordIterableStorage",
    "RestoreableStorage",
    "SealedBlobStorage",
    "Storage",
    "StorageWrapper",
    "StoredTransaction",
    "UndoableStorage",
]

References = Callable[[bytes], list[bytes]]
"""The oids that a record refers to; with a list as second argument, appended to it."""


class StorageWrapper(Protocol):
    """Who a storage tells, and asks about records: a database, or a layer above."""

    def invalidateCache(self) -> None:
        """Everything may have changed."""

    def invalidate(self, transaction_id: bytes, oids: Iterable[bytes]) -> None:
        """`oids` were changed by a transaction that did not come through this wrapper."""

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        """Return the oids that `record` refers to, appended to `oids` if given."""

    def transform_record_data(self, data: bytes) -> bytes:
        """Return a record as this wrapper wants it stored."""

    def untransform_record_data(self, data: bytes) -> bytes:
        """Return a stored record as the pickles it was."""


class ClassFinder(Protocol):
    """A wrapper that decides which classes records may bring to life."""

    def find_global(self, module: str, name: str) -> Any:
        """Return the class or function by that name, or a broken class instead of it."""


class Storage(Protocol):
    """Records by oid, each revision named by the tid that wrote it."""

    def close(self) -> None:
        """Release what is held; harmless when done twice."""

    def getName(self) -> str:
        """Return a name for people, such as the path."""

    def getSize(self) -> int:
        """Return the size in bytes, roughly."""

    def __len__(self) -> int:
        """Return the number of objects, roughly."""

    def history(self, oid: bytes, size: int = 1) -> Sequence[Mapping[str, Any]]:
        """Return up to `size` revisions of an object, newest first.

        Each is a mapping with `time` (seconds since 1970), `tid`, `user_name`
        and `description` (bytes) and `size` (bytes of the record), and what the
        transaction's extension holds. Raises `POSKeyError` if there is none.
        """

    def isReadOnly(self) -> bool:
        """Return whether writing raises `ReadOnlyError`."""

    def lastTransaction(self) -> bytes:
        """Return the newest visible tid, `ZERO` in an empty storage. Cheap, never waits."""

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        """Return what was current just before `tid`.

        Returns None where the object exists only later. Raises `POSKeyError` where
        it is not known at all, and where it was gone by then: deleted, or its
        creation undone.
        """

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        """Return the record that the transaction `serial` wrote; `POSKeyError` if none."""

    def new_oid(self) -> bytes:
        """Return an oid that was never handed out; `ReadOnlyError` if read-only."""

    def pack(self, pack_time: float, referencesf: References) -> None:
        """Drop revisions and objects not needed at `pack_time` (seconds since 1970) or later."""

    def registerDB(self, wrapper: StorageWrapper) -> None:
        """Tell `wrapper` from now on about changes from elsewhere."""

    def sortKey(self) -> str:
        """Return a string that orders storages in a transaction, the same in every process."""

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        """Write a record in `transaction`.

        `serial` is the revision it was made from, `ZERO` for a new object;
        `version` is "". Where that is not the current revision, `ConflictError`
        is raised, here or at the vote, unless the conflict is resolved.
        """

    def tpc_begin(self, transaction: HasMetaData) -> None:
        """Start a transaction."""

    def tpc_vote(self, transaction: HasMetaData) -> Iterable[bytes] | None:
        """Make sure that finishing will succeed; return the oids of resolved conflicts."""

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        """Make the transaction durable and visible, return its tid.

        `func` is called with the tid after the data is safe and before any
        reader can see it.
        """

    def tpc_abort(self, transaction: HasMetaData) -> None:
        """Forget the transaction."""


class StoredTransaction(HasMetaData, Protocol):
    """A transaction as an iteration yields it: metadata, and its records when iterated."""

    tid: bytes
    status: str

    def __iter__(self) -> Iterator[StoredRecord]: ...


class IterableStorage(Protocol):
    """Its transactions can be read in order."""

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[StoredTransaction]:
        """Yield the transactions from tid `start` to tid `stop`, both included, oldest first."""


class UndoableStorage(Storage, Protocol):
    """Its transactions can be undone by a later one."""

    def supportsUndo(self) -> bool:
        """Return True."""

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, Iterable[bytes]]:
        """Undo a transaction within `transaction`; return (None or a tid, oids changed).

        `transaction_id` is what `undoLog` calls `id`. Raises `UndoError` where
        later transactions changed the same objects and no resolution is found.
        """

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: Callable[[Mapping[str, Any]], bool] | None = None,  # noqa: A002
    ) -> Sequence[Mapping[str, Any]]:
        """Describe undoable transactions, newest first, from number `first` to before `last`.

        A negative `last` is a count. Each is a mapping with `id`, `time`,
        `user_name`, `description` (bytes), and what the extension holds.
        """

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Like `undoLog`, of those whose description has all items of `specification`."""


class RestoreableStorage(Storage, Protocol):
    """Transactions of another storage can be written with their own tids."""

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        """Start a transaction that gets `tid`."""

    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        """Write a record as it was elsewhere, without looking for conflicts.

        `data` is None for an undone creation; `prev_txn` hints at a transaction
        that holds the same bytes.
        """


class RecordIterableStorage(Storage, Protocol):
    """The current records can be walked by oid."""

    def record_iternext(
        self,
        next: bytes | None = None,  # noqa: A002
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        """Return (oid, tid, data, next); `next` leads to the next one, None at the end."""


class ExternalGCStorage(Storage, Protocol):
    """Objects can be deleted by oid, by somebody who knows that they are garbage."""

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        """Delete an object whose current revision is `serial`."""


class ReadVerifyingStorage(Storage, Protocol):
    """A transaction can depend on objects that it did not change."""

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        """Make the commit fail with `ReadConflictError` unless `serial` is current by then."""


class MVCCStorage(Storage, Protocol):
    """A storage that hands out consistent snapshots itself, one instance to a connection."""

    def new_instance(self) -> "MVCCStorage":
        """Return another instance on the same data."""

    def release(self) -> None:
        """Give back what this instance holds."""

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the record in this instance's snapshot; `POSKeyError` if there is none."""

    def sync(self, force: bool = True) -> None:
        """Catch up with what others committed."""

    def poll_invalidations(self) -> Iterable[bytes] | None:
        """Move the snapshot to now; return the oids that changed, None if that is unknown."""


class MeasuredStorage(Protocol):
    """It counts what it does."""

    def counters(self) -> Mapping[str, float]:
        """Return numbers by name, counted since it was opened; seconds end in `_s`."""


Bind = Callable[[bytes, bytes, bytes], bytes]
"""Called with an oid, a tid and the record that is to be written there; returns what is written.

Called again with the same arguments, it returns the same.
"""


class BindingStorage(Storage, Protocol):
    """A layer above can have the last word on each record, when its tid is known."""

    def bind_records(self, bind: Bind) -> None:
        """From now on, write what `bind` makes of each record that is stored or restored.

        It is called in the vote, when nothing can change the record or its tid any more.
        """


class BatchStorage(Storage, Protocol):
    """Oids and records are handed over many at a time, which costs less."""

    def new_oids(self, count: int) -> list[bytes]:
        """Return `count` oids, each as `new_oid` gives one, in order."""

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        """Store records, each (oid, serial, data), in order, as `store` does one."""


class RecordCheckingStorage(Storage, Protocol):
    """It can tell whether a record is as it was written."""

    def check_record(self, oid: bytes, tid: bytes) -> None:
        """Raise `CorruptDataError` if what `tid` wrote for `oid` has changed since.

        It takes longer than loading: it is for what could not be made sense of.
        """


class PrefetchStorage(Storage, Protocol):
    """Records can be announced before they are loaded."""

    def prefetch(self, oids: Iterable[bytes], tid: bytes) -> None:
        """Start loading these records as of just before `tid`."""


class BlobStorage(Storage, Protocol):
    """Large binary data is kept in files beside the records."""

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: HasMetaData,
    ) -> None:
        """Store a record and take over the file `blobfilename` as its blob."""

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        """Return the path of a committed blob's file; `POSKeyError` if there is none."""

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        """Return a committed blob's file, open for reading."""

    def temporaryDirectory(self) -> str:
        """Return a directory from which files can be moved in without copying."""


class SealedBlobStorage(BlobStorage, Protocol):
    """The files of its blobs do not have what the blobs hold, perhaps because they are encrypted.

    `openCommittedBlobFile` reads them nonetheless. `loadBlob` has to make a file that has it,
    so nobody should ask for one without need.
    """


class BlobRestoreableStorage(BlobStorage, RestoreableStorage, Protocol):
    """Blobs of another storage can be written with their own tids."""

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        """Write a record and its blob as they were elsewhere."""
