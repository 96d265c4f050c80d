"""What layers show just as the storage below them has it, and how those refuse that only read.

Here stands what is the same in several layers, by its name; nothing else is handed on. A
layer that shows records in another way writes its reads out itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from perdure.interfaces import (
    HasMetaData,
    Loaded,
    PlainRevision,
    References,
    StorageWrapper,
    StoredTransaction,
)
from perdure.storages.below import current

__all__ = ["AboutAsBelow", "ReadsAsBelow", "RefusesWrites", "WritesAsBelow"]


class AboutAsBelow:
    """What tells of the storage `base` and not of its records."""

    base: Any

    def sortKey(self) -> str:
        key: str = self.base.sortKey()
        return key

    def getSize(self) -> int:
        size: int = self.base.getSize()
        return size

    def __len__(self) -> int:
        return len(self.base)


class ReadsAsBelow(AboutAsBelow):
    """The reads of a layer under which all is as it shows; `_sync_below` is of `below.sync_of`."""

    _sync_below: Callable[[], object] | None

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self.base.registerDB(wrapper)

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

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        path: str = self.base.loadBlob(oid, serial)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        return self.base.openCommittedBlobFile(oid, serial, blob)


class WritesAsBelow(AboutAsBelow):
    """What goes with writing to `base`, and not with what is written."""

    def isReadOnly(self) -> bool:
        read_only: bool = self.base.isReadOnly()
        return read_only

    def counters(self) -> Mapping[str, float]:
        counters: Mapping[str, float] = self.base.counters()
        return counters

    def new_oid(self) -> bytes:
        oid: bytes = self.base.new_oid()
        return oid

    def new_oids(self, count: int) -> list[bytes]:
        oids: list[bytes] = self.base.new_oids(count)
        return oids

    def temporaryDirectory(self) -> str:
        path: str = self.base.temporaryDirectory()
        return path


class RefusesWrites:
    """What a layer that only reads answers to all that would write: the error of `_refuse`."""

    def _refuse(self) -> NoReturn:
        raise NotImplementedError

    def isReadOnly(self) -> bool:
        return True

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
