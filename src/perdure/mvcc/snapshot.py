"""Snapshots over a plain storage: one consistent moment for each connection.

A `Snapshot` reads as of just before `start`: the newest tid that was visible
when its transaction began, plus one. It moves only when it is polled, and then
says what to forget. Two facts keep that right, whatever commits meanwhile:

* A storage calls back with the new tid *before* `lastTransaction` shows it. So
  whatever `lastTransaction` says, everything up to there is in the journal.
* The snapshot asks `lastTransaction` first and the journal second, and takes
  from the journal only what is not later. What came in between waits.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from operator import itemgetter
from typing import Any, Final

from perdure import native
from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, Unsupported
from perdure.ids import ZERO, after
from perdure.interfaces import (
    ClassFinder,
    HasMetaData,
    Loaded,
    PlainRevision,
    StorageWrapper,
    declares,
)
from perdure.mvcc.historical import HistoricalSnapshot
from perdure.mvcc.invalidations import Announcement, Journal
from perdure.mvcc.oids import source_of_oids
from perdure.mvcc.undoing import UndoSnapshot
from perdure.records import find_global, references

__all__ = ["Snapshot", "Snapshots"]

_oid_of: Final = itemgetter(0)
_Records: Final = native.planning.Records if native.planning else None


@declares(StorageWrapper, ClassFinder)
class Snapshots:
    """A plain storage, shared by the snapshots that read it; what its database registers.

    `on_change` is called, without arguments, after each commit that came
    through here or that the storage reported. `find_global` is how the storage
    finds classes when it resolves conflicts.
    """

    def __init__(
        self,
        storage: Any,
        on_change: Callable[[], object] | None = None,
        find_global: Callable[[str, str], Any] = find_global,
    ) -> None:
        self.storage = storage
        self.find_global = find_global
        self.capabilities = capabilities_of(storage)
        self.journal = Journal()
        self.changed: Callable[[], object] = on_change or (lambda: None)
        """Says that a commit has become visible."""
        # Registered before anything is read: a commit in between is in the journal.
        storage.registerDB(self)

    def new_instance(self) -> "Snapshot":
        """Return a snapshot of its own for one more connection."""
        return Snapshot(self)

    def before_instance(self, before: bytes) -> HistoricalSnapshot:
        """Return the database as it was just before the tid `before`."""
        return HistoricalSnapshot(self.storage, before)

    def undo_instance(self) -> UndoSnapshot:
        """Return what undoes transactions and tells every snapshot about it."""
        return UndoSnapshot(self.storage, self.journal.append)

    def close(self) -> None:
        self.storage.close()

    # What a storage asks of the wrapper it is registered with.

    def invalidateCache(self) -> None:
        self.journal.append_everything(self.storage.lastTransaction())
        self.changed()

    def invalidate(self, transaction_id: bytes, oids: Iterable[bytes]) -> None:
        self.journal.append(transaction_id, oids)
        self.changed()

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        return references(record, oids)

    def transform_record_data(self, data: bytes) -> bytes:
        return data

    def untransform_record_data(self, data: bytes) -> bytes:
        return data


class Snapshot:
    """A storage at one moment, and the commits of one connection to it."""

    def __init__(self, shared: Snapshots) -> None:
        self._shared = shared
        self._storage = shared.storage
        self._reader = shared.journal.reader()
        self.start = after(ZERO)
        """What is read was committed before this tid."""
        self._polled = self._committed = ZERO
        self._modified: set[bytes] = set()
        self.new_oid = source_of_oids(shared.storage, shared.capabilities.batches)
        """Return an oid that was never used."""
        # Not part of the contract, but storages that talk to a server have it.
        self._sync = getattr(shared.storage, "sync", None)
        self.has_server = self._sync is not None
        """Whether `sync` does anything."""
        self.capabilities = shared.capabilities
        # For the loads of a connection, which passes `start`: the storage's own, no detour.
        self.load_at: Callable[[bytes, bytes], PlainRevision | None] = shared.storage.loadBefore

    # Reading

    @property
    def _start(self) -> bytes:
        """The `start` under the name that ZODB's has, and that code written for it asks for."""
        return self.start

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the record that is current in this snapshot; `POSKeyError` if there is none."""
        found = self.load_at(oid, self.start)
        if found is None:
            raise POSKeyError(oid)
        return Loaded(found[0], found[1])

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        found: PlainRevision | None = self._storage.loadBefore(oid, tid)
        return found

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        data: bytes = self._storage.loadSerial(oid, serial)
        return data

    def prefetch(self, oids: Iterable[bytes]) -> None:
        """Announce what will be loaded, where the storage can make use of that."""
        if self.capabilities.prefetch:
            self._storage.prefetch(oids, self.start)

    def sync(self, force: bool = True) -> None:
        """Let the storage catch up with its server, if it has one."""
        if force and self._sync is not None:
            self._sync()  # as ZODB calls it: clients take no argument

    def poll_invalidations(self) -> Set[bytes] | None:
        """Move to now; return the oids that others changed, None if it may be anything."""
        # The order matters: see the head of this module.
        last = self._storage.lastTransaction()
        if last < self._committed:
            last = self._committed
        changed = self._reader.take(last)
        if last is not self._polled:  # most transactions begin where the one before ended
            self.start = after(last)
            self._polled = last
        return changed

    def after_completion(self) -> None:
        """Nothing to do when a transaction has ended."""

    def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    # Committing

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self._storage.tpc_begin(transaction)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._storage.store(oid, serial, data, version, transaction)
        self._modified.add(oid)

    def store_all(
        self, records: Sequence[tuple[bytes, bytes, bytes]], transaction: HasMetaData
    ) -> None:
        """Store records, each (oid, serial, data), as `store` does one."""
        if self.capabilities.batches:
            self._storage.store_all(records, transaction)
        else:
            store = self._storage.store
            for oid, serial, data in records:
                store(oid, serial, data, "", transaction)
        if _Records is not None and isinstance(records, _Records):
            self._modified.update(records.oids())
        else:
            self._modified.update(map(_oid_of, records))

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._storage.checkCurrentSerialInTransaction(oid, serial, transaction)

    def deleteObject(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        self._storage.deleteObject(oid, serial, transaction)
        self._modified.add(oid)

    def tpc_vote(self, transaction: HasMetaData) -> Iterable[bytes] | None:
        resolved: Iterable[bytes] | None = self._storage.tpc_vote(transaction)
        return resolved

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        modified, self._modified = self._modified, set()
        announce = Announcement(self._shared.journal, modified, self._reader)
        tell = announce if func is None else _both(announce, func)
        tid: bytes = self._storage.tpc_finish(transaction, tell)
        self._committed = tid
        self._shared.changed()
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        self._modified = set()
        self._storage.tpc_abort(transaction)

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
        self._storage.storeBlob(oid, serial, data, blobfilename, version, transaction)
        self._modified.add(oid)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._require_blobs()
        path: str = self._storage.loadBlob(oid, serial)
        return path

    def blob_place(self, oid: bytes, serial: bytes) -> str:
        """Return where a committed blob is: its path, or a name if that has to be made first."""
        if self.capabilities.sealed_blobs:
            return f"sealed blob {oid.hex()} of {serial.hex()}"
        return self.loadBlob(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._require_blobs()
        return self._storage.openCommittedBlobFile(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        self._require_blobs()
        path: str = self._storage.temporaryDirectory()
        return path

    def _require_blobs(self) -> None:
        if not self.capabilities.blobs:
            raise Unsupported(f"{self.getName()} does not keep blobs; give it a blob directory")

    # What is the same in every snapshot

    def getName(self) -> str:
        return str(self._storage.getName())

    def getSize(self) -> int:
        return int(self._storage.getSize())

    def __len__(self) -> int:
        return len(self._storage)

    def sortKey(self) -> str:
        return str(self._storage.sortKey())

    def isReadOnly(self) -> bool:
        return bool(self._storage.isReadOnly())

    def lastTransaction(self) -> bytes:
        tid: bytes = self._storage.lastTransaction()
        return tid

    def history(self, oid: bytes, size: int = 1) -> Any:
        return self._storage.history(oid, size)


def _both(announce: Announcement, func: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Return what calls both with a tid; for the thread that commits, since `func` may be any."""

    def call(tid: bytes) -> None:
        announce(tid)
        func(tid)

    return call
