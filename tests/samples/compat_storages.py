"""Storages as others write them, over the base classes that ZODB offers for that."""

from typing import Any

import ZODB.interfaces
from ZODB.BaseStorage import BaseStorage
from ZODB.blob import BlobStorageMixin
from ZODB.ConflictResolution import ConflictResolvingStorage
from ZODB.POSException import ConflictError, POSKeyError, StorageTransactionError
from zope.interface import implementer

__all__ = ["BlobKeeping", "Resolving", "Small"]


@implementer(ZODB.interfaces.IStorage)
class Small(BaseStorage):
    """Every revision in a dictionary; overrides the calls of the base class."""

    def __init__(self, name: str, base: Any = None) -> None:
        super().__init__(name, base)
        self.revisions: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self.pending: list[tuple[bytes, bytes]] = []
        self.calls: list[str] = []
        self.finished: list[tuple[bytes, bytes, bytes, bytes]] = []

    def close(self) -> None: ...

    def __len__(self) -> int:
        return len(self.revisions)

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        with self._lock:
            if oid not in self.revisions:
                raise POSKeyError(oid)
            after = None
            for found, data in reversed(self.revisions[oid]):
                if found < tid:
                    return data, found, after
                after = found
            return None

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        for found, data in self.revisions.get(oid, ()):
            if found == serial:
                return data
        raise POSKeyError(oid)

    def store(self, oid: bytes, serial: bytes, data: bytes, version: str, txn: Any) -> None:
        if txn is not self._transaction:
            raise StorageTransactionError(self, txn)
        current = self.revisions[oid][-1][0] if oid in self.revisions else serial
        if current != serial:
            data = self.resolved(oid, current, serial, data)
        self.pending.append((oid, data))

    def resolved(self, oid: bytes, current: bytes, serial: bytes, data: bytes) -> bytes:
        raise ConflictError(oid=oid, serials=(current, serial), data=data)

    def pack(self, pack_time: float, referencesf: Any) -> None: ...

    def _begin(self, tid: bytes, u: bytes, d: bytes, e: bytes) -> None:
        self.calls.append("begin")

    def _vote(self) -> Any:
        self.calls.append("vote")

    def _finish(self, tid: bytes, u: bytes, d: bytes, e: bytes) -> None:
        self.calls.append("finish")
        self.finished.append((tid, u, d, e))
        for oid, data in self.pending:
            self.revisions.setdefault(oid, []).append((tid, data))

    def _abort(self) -> None:
        self.calls.append("abort")

    def _clear_temp(self) -> None:
        self.pending = []


class Resolving(ConflictResolvingStorage, Small):
    """The same, resolving conflicts."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.oids_resolved: list[bytes] = []

    def resolved(self, oid: bytes, current: bytes, serial: bytes, data: bytes) -> bytes:
        self.oids_resolved.append(oid)
        return self.tryToResolveConflict(oid, current, serial, data)

    def _vote(self) -> Any:
        super()._vote()
        resolved, self.oids_resolved = self.oids_resolved, []
        return resolved


@implementer(ZODB.interfaces.IBlobStorage)
class BlobKeeping(BlobStorageMixin, Small):
    """The same, with blobs."""

    def __init__(self, name: str, blob_dir: str) -> None:
        super().__init__(name)
        self._blob_init(blob_dir)

    def _finish(self, tid: bytes, u: bytes, d: bytes, e: bytes) -> None:
        super()._finish(tid, u, d, e)
        self._blob_tpc_finish()

    def _abort(self) -> None:
        super()._abort()
        self._blob_tpc_abort()
