"""Storages that have snapshots of their own: used as they are, in the shape of `snapshot`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.errors import Unsupported
from perdure.ids import MAX_TID
from perdure.interfaces import (
    ClassFinder,
    HasMetaData,
    Loaded,
    PlainRevision,
    StorageWrapper,
    declares,
)
from perdure.mvcc.historical import HistoricalSnapshot
from perdure.mvcc.undoing import UndoSnapshot
from perdure.records import find_global, references

__all__ = ["NativeSnapshot", "NativeSnapshots"]


@declares(StorageWrapper, ClassFinder)
class NativeSnapshots:
    """An `MVCCStorage`, whose instances are the snapshots; same face as `Snapshots`."""

    def __init__(
        self,
        storage: Any,
        on_change: Callable[[], object] | None = None,
        find_global: Callable[[str, str], Any] = find_global,
    ) -> None:
        self.storage = storage
        self.find_global = find_global
        self.capabilities = capabilities_of(storage)
        self.changed: Callable[[], object] = on_change or (lambda: None)
        """Says that a commit has become visible."""
        storage.registerDB(self)

    def new_instance(self) -> "NativeSnapshot":
        return NativeSnapshot(self, self.storage.new_instance())

    def before_instance(self, before: bytes) -> HistoricalSnapshot:
        instance = self.storage.new_instance()
        return HistoricalSnapshot(instance, before, instance.release)

    def undo_instance(self) -> UndoSnapshot:
        # The storage finds out for itself what an undo changed.
        instance = self.storage.new_instance()
        return UndoSnapshot(instance, lambda tid, oids: None, instance.release)

    def close(self) -> None:
        self.storage.close()

    # What a storage asks of the wrapper it is registered with; its instances
    # learn of changes by polling.

    def invalidateCache(self) -> None:
        self.changed()

    def invalidate(self, transaction_id: bytes, oids: Iterable[bytes]) -> None:
        self.changed()

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        return references(record, oids)

    def transform_record_data(self, data: bytes) -> bytes:
        return data

    def untransform_record_data(self, data: bytes) -> bytes:
        return data


class NativeSnapshot:
    """One instance of an `MVCCStorage`, with the face of `Snapshot`."""

    def __init__(self, shared: NativeSnapshots, instance: Any) -> None:
        self._shared = shared
        self._instance = instance
        self.start = MAX_TID
        """The instance knows its moment by itself, and does not tell."""
        self.has_server = True
        """Whether `sync` may do something."""
        self.capabilities = capabilities_of(instance)

    # Reading

    def load_at(self, oid: bytes, start: bytes) -> tuple[bytes, bytes, bytes | None] | None:
        """Return the record that is current in the instance, whatever `start` says."""
        return (*self._instance.load(oid), None)

    def load(self, oid: bytes, version: str = "") -> Loaded:
        data, tid = self._instance.load(oid)
        return Loaded(data, tid)

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        found: PlainRevision | None = self._instance.loadBefore(oid, tid)
        return found

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        data: bytes = self._instance.loadSerial(oid, serial)
        return data

    def prefetch(self, oids: Iterable[bytes]) -> None:
        if self.capabilities.mvcc_prefetch:
            self._instance.prefetch(oids)

    def sync(self, force: bool = True) -> None:
        self._instance.sync(force)

    def poll_invalidations(self) -> Iterable[bytes] | None:
        changed: Iterable[bytes] | None = self._instance.poll_invalidations()
        return changed

    def after_completion(self) -> None:
        if self.capabilities.after_completion:
            self._instance.afterCompletion()

    def release(self) -> None:
        self._instance.release()

    def close(self) -> None:
        self._instance.release()

    # Committing

    def new_oid(self) -> bytes:
        oid: bytes = self._instance.new_oid()
        return oid

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self._instance.tpc_begin(transaction)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._instance.store(oid, serial, data, version, transaction)

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        """Store records, each (oid, serial, data), as `store` does one."""
        store = self._instance.store
        for oid, serial, data in records:
            store(oid, serial, data, "", transaction)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._instance.checkCurrentSerialInTransaction(oid, serial, transaction)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self._instance.deleteObject(oid, serial, transaction)

    def tpc_vote(self, transaction: HasMetaData) -> Iterable[bytes] | None:
        resolved: Iterable[bytes] | None = self._instance.tpc_vote(transaction)
        return resolved

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        tid: bytes = self._instance.tpc_finish(transaction, func or (lambda tid: None))
        self._shared.changed()
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        self._instance.tpc_abort(transaction)

    # Blobs

    def storeBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: HasMetaData,
    ) -> None:
        self._require_blobs()
        self._instance.storeBlob(oid, serial, data, blobfilename, version, transaction)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._require_blobs()
        path: str = self._instance.loadBlob(oid, serial)
        return path

    def blob_place(self, oid: bytes, serial: bytes) -> str:
        """Return where a committed blob is: its path, or a name if that has to be made first."""
        if self.capabilities.sealed_blobs:
            return f"sealed blob {oid.hex()} of {serial.hex()}"
        return self.loadBlob(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._require_blobs()
        return self._instance.openCommittedBlobFile(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        self._require_blobs()
        path: str = self._instance.temporaryDirectory()
        return path

    def _require_blobs(self) -> None:
        if not self.capabilities.blobs:
            raise Unsupported(f"{self.getName()} does not keep blobs")

    # What is the same in every instance

    def getName(self) -> str:
        return str(self._instance.getName())

    def getSize(self) -> int:
        return int(self._instance.getSize())

    def __len__(self) -> int:
        return len(self._instance)

    def sortKey(self) -> str:
        return str(self._instance.sortKey())

    def isReadOnly(self) -> bool:
        return bool(self._instance.isReadOnly())

    def lastTransaction(self) -> bytes:
        tid: bytes = self._instance.lastTransaction()
        return tid

    def history(self, oid: bytes, size: int = 1) -> Any:
        return self._instance.history(oid, size)
