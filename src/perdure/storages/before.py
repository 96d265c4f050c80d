"""A storage as it was before a moment, while the one below goes on.

Revisions from before the moment are all that is seen; whatever is committed
below later has a later tid and stays out of sight. Packing the storage below
beyond the moment takes revisions away: where one of those would have been the
answer, the answer is a `SnapshotError`. It is noticed by the status "p" that a
pack leaves on the transactions that it went over, so it needs a storage that
can be iterated.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

from zope.interface import alsoProvides

from perdure.capabilities import capabilities_of
from perdure.clock import parse_tid, tid_from_datetime
from perdure.errors import POSKeyError, ReadOnlyError, SnapshotError, StorageClosedError
from perdure.errors.root import tid_and_time
from perdure.ids import after, before
from perdure.interfaces import (
    INTERFACES,
    BlobStorage,
    HasMetaData,
    IterableStorage,
    Loaded,
    PlainRevision,
    References,
    SealedBlobStorage,
    Storage,
    StorageWrapper,
    StoredTransaction,
    declares,
)
from perdure.storages.below import current

__all__ = ["BeforeStorage"]


@declares(Storage)
class BeforeStorage:
    """Shows what `storage` had before the moment `before`; only reads.

    The moment is a tid, a `datetime` (UTC without a zone), a text that
    `perdure.clock.parse_tid` reads, or None for now. A moment to come means now:
    what is shown never changes. `before` is the tid that it came to.

    Closing it closes `storage` too, unless `close_base` is false.

    Raises `SnapshotError` where the moment is before the first transaction.
    """

    def __init__(
        self,
        storage: Any,
        before: bytes | datetime | str | None = None,
        *,
        close_base: bool = True,
    ) -> None:
        self.base = storage
        now = after(storage.lastTransaction())
        self.before = now if before is None else min(_tid(before), now)
        self._close_base = close_base
        self._closed = False
        below = capabilities_of(storage)
        self._iterates = below.iteration
        if below.blobs:
            alsoProvides(self, INTERFACES[BlobStorage])
        if below.sealed_blobs:
            alsoProvides(self, INTERFACES[SealedBlobStorage])
        if self._iterates:
            alsoProvides(self, INTERFACES[IterableStorage])
            self._check_that_there_was_something(now)

    def _check_that_there_was_something(self, now: bytes) -> None:
        if self.before < now and next(self.base.iterator(None, before(self.before)), None) is None:
            first = next(self.base.iterator()).tid
            raise SnapshotError(
                self.base.getName(),
                self.before,
                f"its first transaction is {tid_and_time(first)}; "
                "take a later moment, or look in a backup from before the last pack",
            )

    # What it is

    def close(self) -> None:
        self._closed = True
        if self._close_base:
            self.base.close()

    def getName(self) -> str:
        return f"BeforeStorage({self.base.getName()}, {self.before.hex()})"

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

    def registerDB(self, wrapper: StorageWrapper) -> None:
        """Nothing to tell: what is shown never changes."""

    # Reading

    def lastTransaction(self) -> bytes:
        """Return the newest tid that can be shown: that of a transaction, or one step short."""
        return before(self.before)

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the record of the moment; `POSKeyError` if there is none."""
        return current(self, oid)

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self.load(oid).tid

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        self._check_open()
        try:
            revision = self.base.loadBefore(oid, min(tid, self.before))
        except POSKeyError:
            self._check_that_it_is_not_packed()
            raise
        if revision is None:
            self._check_that_it_is_not_packed()
            if tid >= self.before:  # it came later, so here it is not known at all
                raise POSKeyError(oid)
            return None
        data, start, end = revision
        return data, start, end if end is not None and end < self.before else None

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        self._check_open()
        if serial >= self.before:
            raise POSKeyError(oid)
        try:
            data: bytes = self.base.loadSerial(oid, serial)
        except POSKeyError:
            self._check_that_it_is_not_packed()
            raise
        return data

    def history(self, oid: bytes, size: int = 1) -> list[Mapping[str, Any]]:
        self._check_open()
        self._check_that_it_is_not_packed()
        asked = size
        while True:
            entries = self.base.history(oid, asked)
            shown = [entry for entry in entries if entry["tid"] < self.before]
            if len(shown) >= size or len(entries) < asked:
                break
            asked *= 2  # the newest ones were too new
        if not shown:
            raise POSKeyError(oid)
        return shown[:size]

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[StoredTransaction]:
        self._check_open()
        self._check_that_it_is_not_packed()
        last = before(self.before)
        yield from self.base.iterator(start, last if stop is None else min(stop, last))

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._check_blob(oid, serial)
        try:
            path: str = self.base.loadBlob(oid, serial)
        except POSKeyError:
            self._check_that_it_is_not_packed()
            raise
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._check_blob(oid, serial)
        try:
            return self.base.openCommittedBlobFile(oid, serial, blob)
        except POSKeyError:
            self._check_that_it_is_not_packed()
            raise

    def _check_blob(self, oid: bytes, serial: bytes) -> None:
        self._check_open()
        if serial >= self.before:
            raise POSKeyError(oid)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageClosedError(f"storage {self.getName()} is closed")

    def _check_that_it_is_not_packed(self) -> None:
        if not self._iterates:
            return
        later = next(self.base.iterator(self.before), None)
        if later is not None and later.status == "p":
            raise SnapshotError(
                self.base.getName(),
                self.before,
                "it was packed since then, which took revisions of that moment away; "
                "use a moment after the pack",
            )

    # Writing

    def _refuse(self) -> NoReturn:
        self._check_open()
        raise ReadOnlyError(f"{self.getName()} shows the past, which only reads")

    def new_oid(self) -> bytes:
        self._refuse()

    def supportsUndo(self) -> bool:
        return False

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


def _tid(moment: bytes | datetime | str) -> bytes:
    if isinstance(moment, bytes):
        if len(moment) != 8:
            raise ValueError(f"expected a tid of 8 bytes, found {moment!r}")
        return moment
    return tid_from_datetime(moment) if isinstance(moment, datetime) else parse_tid(moment)
