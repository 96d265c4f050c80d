"""A storage with snapshots of its own, as RelStorage has: one instance to a connection."""

from collections.abc import Callable, Iterable
from typing import Any

from perdure.errors import POSKeyError
from perdure.ids import ZERO, after
from perdure.interfaces import (
    HasMetaData,
    Loaded,
    MVCCStorage,
    Revision,
    StorageWrapper,
    UndoableStorage,
    declares,
)
from perdure.storages.memory import MappingStorage


@declares(MVCCStorage, UndoableStorage)
class OwnSnapshots:
    """An instance of a storage in memory; it finds out by itself what others committed."""

    def __init__(self, shared: MappingStorage | None = None) -> None:
        self.shared = MappingStorage() if shared is None else shared
        self.instances: list[OwnSnapshots] = []
        self.released = False
        self.registered: list[StorageWrapper] = []
        self._seen = ZERO

    # Its own snapshots

    def new_instance(self) -> "OwnSnapshots":
        instance = OwnSnapshots(self.shared)
        self.instances.append(instance)
        return instance

    def release(self) -> None:
        self.released = True

    def sync(self, force: bool = True) -> None: ...

    def poll_invalidations(self) -> Iterable[bytes]:
        last = self.shared.lastTransaction()
        changed = {
            record.oid
            for transaction in self.shared.iterator(after(self._seen), last)
            for record in transaction
        }
        self._seen = last
        return changed

    def load(self, oid: bytes, version: str = "") -> Loaded:
        found = self.shared.loadBefore(oid, after(self._seen))
        if found is None:
            raise POSKeyError(oid)
        return Loaded(found[0], found[1])

    # The rest is the shared storage's.

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self.registered.append(wrapper)
        self.shared.registerDB(wrapper)

    def close(self) -> None:
        self.shared.close()

    def getName(self) -> str:
        return "own snapshots"

    def getSize(self) -> int:
        return self.shared.getSize()

    def __len__(self) -> int:
        return len(self.shared)

    def sortKey(self) -> str:
        return self.shared.sortKey()

    def isReadOnly(self) -> bool:
        return False

    def lastTransaction(self) -> bytes:
        return self.shared.lastTransaction()

    def loadBefore(self, oid: bytes, tid: bytes) -> Revision | None:
        return self.shared.loadBefore(oid, tid)

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        return self.shared.loadSerial(oid, serial)

    def history(self, oid: bytes, size: int = 1) -> Any:
        return self.shared.history(oid, size)

    def new_oid(self) -> bytes:
        return self.shared.new_oid()

    def pack(self, pack_time: float, referencesf: Any) -> None:
        self.shared.pack(pack_time, referencesf)

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self.shared.tpc_begin(transaction)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self.shared.store(oid, serial, data, version, transaction)

    def tpc_vote(self, transaction: HasMetaData) -> list[bytes]:
        return self.shared.tpc_vote(transaction)

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        return self.shared.tpc_finish(transaction, func)

    def tpc_abort(self, transaction: HasMetaData) -> None:
        self.shared.tpc_abort(transaction)

    def supportsUndo(self) -> bool:
        return True

    def undo(self, transaction_id: bytes, transaction: HasMetaData) -> Any:
        return self.shared.undo(transaction_id, transaction)

    def undoLog(self, first: int = 0, last: int = -20, filter: Any = None) -> Any:  # noqa: A002
        return self.shared.undoLog(first, last, filter)

    def undoInfo(self, first: int = 0, last: int = -20, specification: Any = None) -> Any:
        return self.shared.undoInfo(first, last, specification)
