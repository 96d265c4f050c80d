"""Changes kept apart from the storage that they change: a layer over a base.

Reading looks into the changes first and then into the base (`seam`); writing
goes to the changes only, one commit at a time (`seamcommits`). Either can be
any storage, a demo storage too. The base must stay as it is.

Oids are handed out from a range of their own, far above those that plain
storages count through, from a start that each layer draws for itself.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from perdure.capabilities import capabilities_of
from perdure.errors import (
    ReadOnlyError,
    StorageClosedError,
    StorageError,
    Unsupported,
)
from perdure.ids import p64
from perdure.interfaces import (
    Bind,
    HasMetaData,
    Loaded,
    PlainRevision,
    ReadVerifyingStorage,
    References,
    Storage,
    StorageWrapper,
    StoredTransaction,
    declares,
)
from perdure.storages import undolog
from perdure.storages.below import current, declare_as, have_conflicts_resolved, sync_of
from perdure.storages.layerundo import LayerUndo
from perdure.storages.memory import MappingStorage
from perdure.storages.resolving import Resolver
from perdure.storages.seam import Seam
from perdure.storages.seamcommits import SeamCommits, SeamDraft
from perdure.storages.sides import Sides

__all__ = ["DemoStorage"]

_FIRST_OID = 1 << 62  # plain storages count from 1 and never get here
_numbers = itertools.count(1)


@declares(Storage, ReadVerifyingStorage)
class DemoStorage:
    """Shows `base` with `changes` on top; both are new and in memory by default.

    `close_base_on_close` and `close_changes_on_close` default to whether the
    storage was given. It can be iterated if both can, undo if the changes can
    (its own transactions only), and be restored into if the changes can. Blobs
    are there if one of both has them, and can be written if the changes can.

    Raises `BaseChangedError` if `changes` began over an earlier state of `base`.
    """

    def __init__(
        self,
        name: str | None = None,
        base: Any = None,
        changes: Any = None,
        close_base_on_close: bool | None = None,
        close_changes_on_close: bool | None = None,
    ) -> None:
        self._own_base = base is None
        self._own_changes = changes is None
        self._number = next(_numbers)
        self.base = MappingStorage("base") if base is None else base
        self.changes = MappingStorage("changes") if changes is None else changes
        self.close_base_on_close = (
            not self._own_base if close_base_on_close is None else close_base_on_close
        )
        self.close_changes_on_close = (
            not self._own_changes if close_changes_on_close is None else close_changes_on_close
        )
        self.__name__ = name or f"DemoStorage({self.base.getName()!r}, {self.changes.getName()!r})"
        self._closed = False
        # Counting is one step in C, so threads can share it; where it starts is this layer's own.
        self._oids = itertools.count(_FIRST_OID + secrets.randbits(61))
        below, above = capabilities_of(self.base), capabilities_of(self.changes)
        self._seam = Seam(self.base, self.changes, iterates=above.iteration, restores=above.restore)
        self._undo = above.undo
        self._sync_changes = sync_of(self.changes)
        self._sides = Sides(
            self.base, self.changes, self._seam, below=below.blobs, above=above.blobs
        )
        declare_as(
            self,
            replace(
                above,
                iteration=below.iteration and above.iteration,
                blobs=below.blobs or above.blobs,
                sealed_blobs=below.sealed_blobs or above.sealed_blobs,
                # What walks through the changes alone, or goes round the seam.
                record_iteration=False,
                external_gc=False,
                counting=False,
                batches=False,
                mvcc=False,
                prefetch=False,
            ),
        )
        self._resolver = Resolver(self.loadSerial)
        self._commits = SeamCommits(
            self.changes, self._seam, self._resolve_for_changes, self.getTid
        )
        self._gate = self._commits.gate
        self._layer_undo = LayerUndo(self, self._seam, self._sides, self._resolve_for_changes)
        # The changes hold one side of the seam, so they must not resolve by themselves.
        have_conflicts_resolved(self.changes, self._resolve_for_changes)

    # Layers

    def push(self, changes: Any = None) -> Self:
        """Return a new layer over this one, which must not be written as long as that lives."""
        return type(self)(base=self, changes=changes, close_base_on_close=False)

    def pop(self) -> Any:
        """Close this layer, with its changes, and return its base.

        Raises `StorageError` on the lowest layer, which was made without a base.
        """
        self._check_open()
        if self._own_base:
            raise StorageError(f"{self.__name__} is the lowest layer: there is nothing below it")
        self._shut()
        self.changes.close()
        return self.base

    # What it is

    def close(self) -> None:
        self._shut()
        if self.close_base_on_close:
            self.base.close()
        if self.close_changes_on_close:
            self.changes.close()

    def _shut(self) -> None:
        self._closed = True
        self._gate.shut(self._closed_error)

    def _closed_error(self) -> StorageClosedError:
        return StorageClosedError(f"storage {self.__name__} is closed")

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def opened(self) -> bool:
        """Return whether it was not closed yet."""
        return not self._closed

    def cleanup(self) -> None:
        """Remove the files of both storages (ZODB's name for it)."""
        self.base.cleanup()
        self.changes.cleanup()

    def getName(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return self.__name__

    def sortKey(self) -> str:
        # Changes in memory are all named alike, and equal keys would not sort.
        key: str = self.changes.sortKey()
        return f"{key}:{self._number:08d}" if self._own_changes else key

    def getSize(self) -> int:
        size: int = self.base.getSize() + self.changes.getSize()
        return size

    def __len__(self) -> int:
        return len(self.base) + len(self.changes)

    def isReadOnly(self) -> bool:
        read_only: bool = self.changes.isReadOnly()
        return read_only

    def supportsUndo(self) -> bool:
        return self._undo

    def registerDB(self, wrapper: StorageWrapper) -> None:
        self._resolver.wrapper = wrapper
        self.changes.registerDB(wrapper)

    def bind_records(self, bind: Bind) -> None:
        self.changes.bind_records(bind)

    # Reading

    def sync(self, force: bool = True) -> None:
        """Catch up with a server, where the changes have one."""
        if force and self._sync_changes is not None:
            self._sync_changes()

    def lastTransaction(self) -> bytes:
        return self._seam.last_transaction()

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        return current(self, oid)

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record; `POSKeyError` if there is none."""
        return self.load(oid).tid

    def loadBefore(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        self._check_open()
        return self._seam.load_before(oid, tid)

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        self._check_open()
        return self._seam.load_serial(oid, serial)

    def history(self, oid: bytes, size: int = 1) -> list[Mapping[str, Any]]:
        self._check_open()
        return self._seam.history(oid, size)

    def iterator(
        self, start: bytes | None = None, stop: bytes | None = None
    ) -> Iterator[StoredTransaction]:
        self._check_open()
        return self._seam.iterator(start, stop)

    # Undo, of the changes only

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: undolog.Filter | None = None,  # noqa: A002  the contract's name
    ) -> list[Mapping[str, Any]]:
        self._check_open()
        return list(self.changes.undoLog(first, last, filter))

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        self._check_open()
        return list(self.changes.undoInfo(first, last, specification))

    def undo(
        self, transaction_id: bytes, transaction: HasMetaData
    ) -> tuple[bytes | None, list[bytes]]:
        return None, self._layer_undo.undo(transaction_id, self._draft(transaction), transaction)

    # Two-phase commit

    def _check_writable(self) -> None:
        if self._closed:
            raise self._closed_error()
        if self.changes.isReadOnly():
            raise ReadOnlyError(f"{self.changes.getName()}, which holds the changes, only reads")

    def _draft(self, transaction: HasMetaData) -> SeamDraft:
        self._check_writable()
        return self._gate.changes(transaction)

    def new_oid(self) -> bytes:
        self._check_writable()
        while True:
            oid = p64(next(self._oids))
            if self._seam.newest_in_changes(oid) is None and self._seam.newest_in_base(oid) is None:
                return oid

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return self._gate.transaction

    def tpc_begin(
        self, transaction: HasMetaData, tid: bytes | None = None, status: str = " "
    ) -> None:
        self._check_writable()
        self._commits.begin(transaction, tid, status)

    def store(
        self, oid: bytes, serial: bytes, data: bytes, version: str, transaction: HasMetaData
    ) -> None:
        self._check_writable()
        data, serial = self._commits.resolved(oid, serial, data, transaction)
        self.changes.store(oid, serial, data, version, transaction)

    def restore(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes | None,
        version: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self._draft(transaction)
        self.changes.restore(oid, serial, data, version, prev_txn, transaction)

    def checkCurrentSerialInTransaction(
        self, oid: bytes, serial: bytes, transaction: HasMetaData
    ) -> None:
        self._check_writable()
        self._commits.rely_on(oid, serial, transaction)

    def tpc_vote(self, transaction: HasMetaData) -> list[bytes]:
        return self._commits.vote(transaction)

    def tpc_finish(
        self, transaction: HasMetaData, func: Callable[[bytes], object] | None = None
    ) -> bytes:
        with self._gate.finishing(transaction):
            tid: bytes = self.changes.tpc_finish(transaction, func)
        return tid

    def tpc_abort(self, transaction: HasMetaData) -> None:
        with self._gate.aborting(transaction):
            self.changes.tpc_abort(transaction)

    def tryToResolveConflict(
        self,
        oid: bytes,
        committedSerial: bytes,
        oldSerial: bytes,
        newpickle: bytes,
        committedData: bytes = b"",
    ) -> bytes:
        """Return a record that merges two changes; `ConflictError` where there is none."""
        return self._resolver.resolve(oid, committedSerial, oldSerial, newpickle, committedData)

    def _resolve_for_changes(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        # Looked up each time: servers replace it on the instance.
        return self.tryToResolveConflict(oid, committed, read, data, committed_data)

    # Blobs

    def storeBlob(
        self,
        oid: bytes,
        oldserial: bytes,
        data: bytes,
        blobfilename: str,
        version: str,
        transaction: HasMetaData,
    ) -> None:
        self._check_writable()
        data, serial = self._commits.resolved(oid, oldserial, data, transaction)
        self._sides.check_blobs_above()
        self.changes.storeBlob(oid, serial, data, blobfilename, version, transaction)

    def restoreBlob(
        self,
        oid: bytes,
        serial: bytes,
        data: bytes,
        blobfilename: str,
        prev_txn: bytes | None,
        transaction: HasMetaData,
    ) -> None:
        self._draft(transaction)
        self.changes.restoreBlob(oid, serial, data, blobfilename, prev_txn, transaction)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        self._check_open()
        path: str = self._sides.with_blob(oid, serial).loadBlob(oid, serial)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        self._check_open()
        return self._sides.with_blob(oid, serial).openCommittedBlobFile(oid, serial, blob)

    def temporaryDirectory(self) -> str:
        self._check_open()
        self._sides.check_blobs_above()
        path: str = self.changes.temporaryDirectory()
        return path

    # Packing

    def pack(self, t: float, referencesf: References, gc: bool | None = None) -> None:
        """Drop revisions of the changes that are not needed at `t` or later.

        Objects stay, since the base may refer to them; only where there is no
        base are those dropped that cannot be reached. Raises `Unsupported` if
        `gc` asks for that over a base.
        """
        self._check_writable()
        if gc and not self._own_base:
            raise Unsupported(
                f"{self.__name__} cannot collect garbage: its base may refer to what looks "
                "like garbage in the changes; pack without gc"
            )
        self.changes.pack(t, referencesf, gc=self._own_base if gc is None else gc)
