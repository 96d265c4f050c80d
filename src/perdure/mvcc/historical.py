"""A plain storage as it was: what a historical connection reads."""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, ReadOnlyHistoryError, Unsupported
from perdure.ids import tid_repr
from perdure.interfaces import HasMetaData, Loaded, PlainRevision

__all__ = ["HistoricalSnapshot"]


class HistoricalSnapshot:
    """A storage just before the tid `before`; it never moves and takes no changes.

    `release` gives back the storage where it was made for this snapshot alone.
    """

    def __init__(
        self, storage: Any, before: bytes, release: Callable[[], object] | None = None
    ) -> None:
        self._release = release
        self._storage = storage
        self._before = before
        self.start = before
        """What is read was committed before this tid."""
        self.has_server = False
        """Whether `sync` does anything."""
        self.capabilities = capabilities_of(storage)
        # For the loads of a connection, which passes `start`: the storage's own, no detour.
        self.load_at: Callable[[bytes, bytes], PlainRevision | None] = storage.loadBefore

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the record that was current then; `POSKeyError` if there was none."""
        found = self.load_at(oid, self._before)
        if found is None:
            raise POSKeyError(oid)
        return Loaded(found[0], found[1])

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        found: PlainRevision | None = self._storage.loadBefore(oid, min(tid, self._before))
        return found

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        data: bytes = self._storage.loadSerial(oid, serial)
        return data

    def prefetch(self, oids: Iterable[bytes]) -> None:
        if self.capabilities.prefetch:
            self._storage.prefetch(oids, self._before)

    def sync(self, force: bool = True) -> None:
        """The past does not change."""

    def poll_invalidations(self) -> set[bytes]:
        """The past does not change: nothing to forget."""
        return set()

    def after_completion(self) -> None:
        """Nothing to do when a transaction has ended."""

    def release(self) -> None:
        """Give back what this snapshot alone held."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def close(self) -> None:
        """The same as `release`."""
        self.release()

    # Refused: the past takes no changes.

    def new_oid(self) -> bytes:
        self._refuse()

    def tpc_begin(self, transaction: HasMetaData) -> None:
        self._refuse()

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._refuse()

    def temporaryDirectory(self) -> str:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ReadOnlyHistoryError(
            f"this connection shows the database before {tid_repr(self._before)}; "
            "open one without `at` or `before` to make changes"
        )

    def tpc_abort(self, transaction: HasMetaData) -> None:
        """Nothing was begun."""

    # Blobs

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._require_blobs()
        path: str = self._storage.loadBlob(oid, serial)
        return path

    def _require_blobs(self) -> None:
        if not self.capabilities.blobs:
            raise Unsupported(f"{self.getName()} does not keep blobs; give it a blob directory")

    def blob_place(self, oid: bytes, serial: bytes) -> str:
        """Return where a committed blob is: its path, or a name if that has to be made first."""
        if self.capabilities.sealed_blobs:
            return f"sealed blob {oid.hex()} of {serial.hex()}"
        return self.loadBlob(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._require_blobs()
        return self._storage.openCommittedBlobFile(oid, serial, blob)

    # What is the same at any moment

    def getName(self) -> str:
        return str(self._storage.getName())

    def getSize(self) -> int:
        return int(self._storage.getSize())

    def __len__(self) -> int:
        return len(self._storage)

    def sortKey(self) -> str:
        return str(self._storage.sortKey())

    def isReadOnly(self) -> bool:
        return True

    def lastTransaction(self) -> bytes:
        tid: bytes = self._storage.lastTransaction()
        return tid

    def history(self, oid: bytes, size: int = 1) -> Any:
        return self._storage.history(oid, size)
