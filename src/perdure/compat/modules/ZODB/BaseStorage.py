"""`ZODB.BaseStorage`: a base class for storages that others have written.

Perdure's own storages do without it. A subclass finds here what it counts on: the
locks, the state of the transaction under way, and the calls (`_begin`, `_vote`, `_finish`,
`_abort`, `_clear_temp`) that it overrides. The commit lock is held from
`tpc_begin` until the end; `_lock` protects everything else.
"""

import logging
from collections.abc import Callable
from threading import Lock, RLock
from typing import Any, NoReturn

from persistent.timestamp import TimeStamp
from zope.interface import implementer

from perdure.clock import next_tid
from perdure.errors import (
    ReadConflictError,
    ReadOnlyError,
    StorageTransactionError,
    Unsupported,
)
from perdure.ids import ZERO, p64, u64
from perdure.storages.copying import copy_transactions
from ZODB.Connection import TransactionMetaData
from ZODB.interfaces import (
    IStorageRecordInformation,
    IStorageTransactionInformation,
    IStorageTransactionMetaData,
)
from ZODB.UndoLogCompatible import UndoLogCompatible
from ZODB.utils import byte_chr, byte_ord, load_current, oid_repr, z64

__all__ = [
    "BaseStorage",
    "DataRecord",
    "TimeStamp",
    "TransactionMetaData",
    "TransactionRecord",
    "UndoLogCompatible",
    "byte_chr",
    "byte_ord",
    "checkCurrentSerialInTransaction",
    "copy",
    "load_current",
    "log",
    "oid_repr",
    "z64",
]

log = logging.getLogger("ZODB.BaseStorage")


class BaseStorage(UndoLogCompatible):
    """What storages have in common; see the head of this module.

    `name` is its name for people. `base` is a storage whose oids must not be given
    again, or None.
    """

    _transaction: Any = None  # whose two-phase calls are accepted
    _tstatus = " "  # the status of its record
    _is_read_only = False

    def __init__(self, name: str, base: Any = None) -> None:
        self.__name__ = name
        self._sortKey = name
        self._lock = RLock()
        self._commit_lock = Lock()
        self._tid: bytes = z64
        self._ltid: bytes = z64 if base is None else base.lastTransaction()
        self._ts = TimeStamp(next_tid(ZERO))
        self._oid: bytes = z64 if base is None else base._oid
        self._ude: tuple[bytes, bytes, bytes] | None = None  # user, description, extension

    # What it is

    def sortKey(self) -> str:
        return self._sortKey

    def getName(self) -> str:
        return self.__name__

    def getSize(self) -> int:
        """Return the size in bytes: as many as a record has, for each; subclasses know better."""
        return len(self) * 300

    def __len__(self) -> int:
        return 0

    def isReadOnly(self) -> bool:
        return self._is_read_only

    def registerDB(self, db: Any) -> None:
        """Nothing is told to a database by this class."""

    def lastTransaction(self) -> bytes:
        with self._lock:
            return self._ltid

    # Oids

    def new_oid(self) -> bytes:
        """Return an oid that was never handed out; `ReadOnlyError` if read-only."""
        if self._is_read_only:
            raise ReadOnlyError(f"{self.getName()} is read-only")
        with self._lock:
            self._oid = p64(u64(self._oid) + 1)
            return self._oid

    def set_max_oid(self, possible_new_max_oid: bytes) -> None:
        """Hand out no oid up to this one."""
        with self._lock:
            self._oid = max(self._oid, possible_new_max_oid)

    # Two-phase commit

    def tpc_transaction(self) -> Any:
        """Return the transaction that is being committed, or None."""
        return self._transaction

    def tpc_begin(self, transaction: Any, tid: bytes | None = None, status: str = " ") -> None:
        """Start a transaction, when the one before it has ended."""
        if self._is_read_only:
            raise ReadOnlyError(f"{self.getName()} is read-only")
        if self._transaction is transaction:
            raise StorageTransactionError(f"tpc_begin was called before with {transaction!r}")
        self._commit_lock.acquire()
        try:
            with self._lock:
                self._clear_temp()
                user, description = transaction.user, transaction.description
                extension = transaction.extension_bytes
                self._ude = user, description, extension
                self._tid = next_tid(max(self._ltid, bytes(self._ts.raw()))) if tid is None else tid
                self._ts = TimeStamp(self._tid)
                self._tstatus = status
                self._transaction = transaction
                self._begin(self._tid, user, description, extension)
        except BaseException:
            self._transaction = None
            self._commit_lock.release()
            raise

    def tpc_vote(self, transaction: Any) -> Any:
        with self._lock:
            self._expect(transaction, "tpc_vote")
            return self._vote()

    def tpc_finish(self, transaction: Any, f: Callable[[bytes], object] | None = None) -> bytes:
        """End the transaction, make it visible, and return its tid; `f` is called before that."""
        with self._lock:
            self._expect(transaction, "tpc_finish")
            tid = self._tid
            try:
                if f is not None:
                    f(tid)
                self._finish(tid, *(self._ude or (b"", b"", b"")))
                self._clear_temp()
                self._ltid = tid
            finally:
                self._leave()
            return tid

    def tpc_abort(self, transaction: Any) -> None:
        with self._lock:
            if transaction is not self._transaction:
                return
            try:
                self._abort()
                self._clear_temp()
            finally:
                self._leave()

    def _expect(self, transaction: Any, call: str) -> None:
        if transaction is not self._transaction:
            raise StorageTransactionError(f"{call} was called with {transaction!r}, not begun here")

    def _leave(self) -> None:
        self._transaction = self._ude = None
        self._commit_lock.release()

    # For subclasses

    def _begin(self, tid: bytes, u: bytes, d: bytes, e: bytes) -> None:
        """A transaction with this tid, user, description and extension has started."""

    def _vote(self) -> Any:
        """Make sure that finishing succeeds; return the oids of resolved conflicts, or None."""

    def _finish(self, tid: bytes, u: bytes, d: bytes, e: bytes) -> None:
        """Make the transaction durable."""

    def _abort(self) -> None:
        """Forget the transaction."""

    def _clear_temp(self) -> None:
        """Forget what the last transaction has left."""

    # Reading

    def history(
        self,
        oid: bytes,
        version: Any,
        length: int = 1,
        filter: Any = None,
    ) -> Any:
        """Return nothing: this class keeps no history."""
        return ()

    def getTid(self, oid: bytes) -> bytes:
        """Return the tid of the current record."""
        tid: bytes = load_current(self, oid)[1]
        return tid

    def loadSerial(self, oid: bytes, serial: bytes) -> bytes:
        self._lack("loadSerial")

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        self._lack("loadBefore")

    def _lack(self, what: str) -> NoReturn:
        raise Unsupported(f"{type(self).__name__} has no {what} of its own")

    def checkCurrentSerialInTransaction(self, oid: bytes, serial: bytes, transaction: Any) -> None:
        """Refuse, with `ReadConflictError`, if `serial` is not the current revision."""
        checkCurrentSerialInTransaction(self, oid, serial, transaction)

    def copyTransactionsFrom(self, other: Any, verbose: int = 0) -> None:
        """Write the transactions of another storage here, with their tids."""
        copy(other, self, verbose)


def copy(source: Any, dest: Any, verbose: int = 0) -> None:
    """Copy the transactions of a storage into another one; nothing is printed."""
    copy_transactions(source, dest)


def checkCurrentSerialInTransaction(self: Any, oid: bytes, serial: bytes, transaction: Any) -> None:
    """Refuse, with `ReadConflictError`, if `serial` is not what `self` has as current."""
    if transaction is not self._transaction:
        raise StorageTransactionError(f"{transaction!r} was not begun here")
    committed = self.getTid(oid)
    if committed != serial:
        raise ReadConflictError(oid=oid, serials=(committed, serial))


@implementer(IStorageTransactionInformation, IStorageTransactionMetaData)
class TransactionRecord(TransactionMetaData):
    """A transaction as an iteration yields it; iterate over it for the records."""

    def __init__(
        self,
        tid: bytes,
        status: str,
        user: str | bytes,
        description: str | bytes,
        extension: dict[str, Any] | bytes | None,
    ) -> None:
        super().__init__(user, description, extension)
        self.tid = tid
        self.status = status


@implementer(IStorageRecordInformation)
class DataRecord:
    """A record as an iteration yields it; `prev` becomes `data_txn`."""

    version = ""

    def __init__(self, oid: bytes, tid: bytes, data: bytes | None, prev: bytes | None) -> None:
        self.oid = oid
        self.tid = tid
        self.data = data
        self.data_txn = prev
