"""The database: one storage, and the connections that work on it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

import transaction as transactions

from perdure.capabilities import capabilities_of
from perdure.errors import StorageClosedError, Unsupported
from perdure.ids import ZERO
from perdure.mvcc import NativeSnapshots, Snapshots, UndoSnapshot
from perdure.objects import cache, feed, retrying
from perdure.objects.activity import ActivityMonitor
from perdure.objects.connection import Connection
from perdure.objects.metrics import Counters, Metrics, metrics_of
from perdure.objects.moments import Moment, tid_before
from perdure.objects.pool import ConnectionPool
from perdure.objects.root import create_root
from perdure.objects.undo import TransactionalUndo, as_text, newest_first
from perdure.records import ClassPolicy, references

__all__ = ["Database"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_FOR_EVER_S = 1 << 31

ClassFactory = Callable[[Connection, str, str], Any]


class Database:
    """A database over `storage`; `perdure.DB` adds that it opens one by its path.

    Arguments, with ZODB's names and defaults:

    `pool_size`, `pool_timeout`: how many connections are kept at rest, and for
    how many seconds; more open ones get a warning in the log.
    `cache_size`, `cache_size_bytes`: what each connection's cache aims at, in
    objects and in bytes of records (0: no bound).
    `historical_…`: the same for connections to the past.
    `database_name`, `databases`: the name in a multi-database, and the mapping
    of all of them, which is shared. `xrefs`: whether objects here may refer to
    objects of the others.
    `large_record_size`: records of more bytes get a warning.
    `class_factory`: called with (connection, module, name), returns the class.
    `classes`: patterns of the modules that classes may come from, such as
    "myapp.*"; any other class is never imported, its objects appear broken.
    """

    def __init__(
        self,
        storage: Any,
        pool_size: int = 7,
        pool_timeout: float = _FOR_EVER_S,
        cache_size: int = 400,
        cache_size_bytes: int = 0,
        historical_pool_size: int = 3,
        historical_cache_size: int = 1000,
        historical_cache_size_bytes: int = 0,
        historical_timeout: float = 300,
        database_name: str = "unnamed",
        databases: dict[str, Any] | None = None,
        xrefs: bool = True,
        large_record_size: int = 1 << 24,
        class_factory: ClassFactory | None = None,
        classes: Iterable[str] | None = None,
    ) -> None:
        databases = {} if databases is None else databases
        if database_name in databases:
            raise ValueError(f"database_name {database_name!r} already in databases")
        self.storage = storage
        self.database_name = database_name
        self.databases = databases
        self.xrefs = xrefs
        self.large_record_size = large_record_size
        self.references = references
        self.pool = ConnectionPool(pool_size, pool_timeout, cache_size, cache_size_bytes)
        self.historical_pool = ConnectionPool(
            historical_pool_size,
            historical_timeout,
            historical_cache_size,
            historical_cache_size_bytes,
        )
        self._lock = RLock()
        self._class_factory = class_factory
        self._class_policy = ClassPolicy(classes)
        self._undos = Counters()  # what was committed without a connection
        self._activity_monitor: ActivityMonitor | None = None
        self._closed = False
        self._feed = feed.Feed(storage)
        snapshots = NativeSnapshots if capabilities_of(storage).mvcc else Snapshots
        self._snapshots: Snapshots | NativeSnapshots = snapshots(
            storage, self._feed.changed, self._class_policy.find_class
        )
        create_root(self._snapshots.new_instance())
        databases[database_name] = self

    # Connections

    def open(
        self,
        transaction_manager: Any = None,
        at: Moment | None = None,
        before: Moment | None = None,
    ) -> Connection:
        """Return a connection, from the pool if there is one.

        It works under `transaction_manager`, by default the thread's own. With
        `at` or `before`, it shows the database as it was then, `at` included, and
        is read-only: a tid, a `datetime`, or either of them as text, such as
        "2026-11-01T00:00Z" (UTC unless it has a zone).

        Raises `ValueError` for both of them, for a moment in the future, and for
        text that is no moment.
        """
        moment = tid_before(at, before, self.lastTransaction)
        with self._lock:
            self._check_open("open a connection to")
            pool = self.pool if moment is None else self.historical_pool
            connection = pool.take(moment)
            if connection is None:
                connection = Connection(self, pool.cache_size, moment, pool.cache_size_bytes)
                pool.add(connection)
        # Not under the lock: a storage may have to wait for its server.
        try:
            connection.open(transaction_manager)
            if self._closed:
                connection.force_close()
                self._check_open("open a connection to")
        except BaseException:
            with self._lock:
                pool.remove(connection)
            raise
        return connection

    @contextmanager
    def transaction(self, note: str | None = None) -> Iterator[Connection]:
        """Open a connection for one transaction: committed at the end, aborted on an error.

        It has a transaction manager of its own, `connection.transaction_manager`.
        `note` is added to the transaction's description.
        """
        manager = transactions.TransactionManager()
        connection = self.open(manager)
        try:
            current = manager.begin()
            if note is not None:
                current.note(note)
            try:
                yield connection
                manager.commit()
            except BaseException:
                manager.abort()
                raise
        finally:
            connection.close()

    def run(
        self,
        function: Callable[..., _T],
        *args: Any,
        retries: int = 5,
        note: str | None = None,
    ) -> _T:
        """Return `function(connection, *args)`, run in a transaction of its own.

        On a conflict, or anything else that is transient, it is run again, up
        to `retries` times, after a random pause whose bound doubles each time.
        `note` is added to the transaction's description.

        Raises the last conflict, with the number of `attempts`, when it gives
        up; anything else that the function raises, at once.
        """
        return retrying.run(self, function, args, retries, note)

    def transactional(
        self,
        function: Callable[Concatenate[Connection, _P], _T] | None = None,
        *,
        retries: int = 5,
        note: str | None = None,
    ) -> Any:
        """Decorate a function whose first argument is a connection, to be run as by `run`.

        It is called without that argument. Works bare and with arguments:
        `@db.transactional`, `@db.transactional(retries=10)`.
        """
        if function is not None:
            return retrying.transactional(self, function, retries, note)
        return lambda function: retrying.transactional(self, function, retries, note)

    def new_snapshot(self, before: bytes | None) -> Any:
        """Return what a new connection reads: the present, or the past before a tid."""
        if before is None:
            return self._snapshots.new_instance()
        return self._snapshots.before_instance(before)

    def class_finder(self, connection: Connection) -> Callable[[str, str], Any]:
        """Return what turns (module, name) into a class for `connection`."""
        # As in ZODB, one may also be assigned to the database.
        factory = vars(self).get("classFactory", self._class_factory)
        if factory is None:
            return self._class_policy.find_class
        return lambda module, name: factory(connection, module, name)

    def classFactory(self, connection: Connection, modulename: str, globalname: str) -> Any:
        """Return the class that `connection` uses for a name; a broken one if there is none."""
        return self.class_finder(connection)(modulename, globalname)

    def connection_closed(self, connection: Connection) -> None:
        """Take note that a connection is being closed."""
        if self._activity_monitor is not None:
            self._activity_monitor.closedConnection(connection)

    def return_to_pool(self, connection: Connection) -> None:
        """Lay a closed connection to rest."""
        with self._lock:
            pool = self.pool if connection.before is None else self.historical_pool
            if self._closed:
                pool.remove(connection)
            else:
                pool.put(connection, connection.before)

    # The storage

    def lastTransaction(self) -> bytes:
        """Return the tid of the newest transaction."""
        tid: bytes = self.storage.lastTransaction()
        return tid

    def objectCount(self) -> int:
        """Return the number of objects, roughly."""
        return len(self.storage)

    def getName(self) -> str:
        return str(self.storage.getName())

    def getSize(self) -> int:
        """Return the size of the storage in bytes, roughly."""
        return int(self.storage.getSize())

    def new_oid(self) -> bytes:
        oid: bytes = self.storage.new_oid()
        return oid

    def history(self, oid: bytes, size: int = 1) -> Sequence[Mapping[str, Any]]:
        """Return up to `size` revisions of an object, newest first; see `Storage.history`.

        Here, and in what can be undone, users and descriptions are text.
        """
        return as_text(self.storage.history(oid, size))

    def pack(self, t: float | datetime | None = None, days: float = 0) -> None:
        """Drop what is not needed since `t` (seconds since 1970 or a `datetime`; None: now).

        `days` goes further back from there.
        """
        if t is None:
            t = time.time()
        elif isinstance(t, datetime):
            t = t.timestamp()
        self.storage.pack(t - days * 86400, self.references)

    def supportsUndo(self) -> bool:
        """Return whether transactions can be undone."""
        return capabilities_of(self.storage).undo and bool(self.storage.supportsUndo())

    def undoLog(
        self,
        first: int = 0,
        last: int = -20,
        filter: Callable[[Mapping[str, Any]], bool] | None = None,  # noqa: A002  ZODB's name
    ) -> Sequence[Mapping[str, Any]]:
        """Describe the transactions that can be undone, newest first; see `UndoableStorage`."""
        if not self.supportsUndo():
            return []
        return as_text(self.storage.undoLog(first, last, filter))

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Describe those whose description has all items of `specification`."""
        if not self.supportsUndo():
            return []
        return as_text(self.storage.undoInfo(first, last, specification))

    def undo(self, id: bytes | str, txn: Any = None) -> None:  # noqa: A002  ZODB's name
        """Undo a transaction, by the `id` that `undoLog` gave, when `txn` commits.

        `txn` is by default the thread's current transaction. The commit raises
        `UndoError` where later changes stand in the way.
        """
        self.undoMultiple([id], txn)

    def undoMultiple(self, ids: Sequence[bytes | str], txn: Any = None) -> None:
        """Undo several transactions, newest first, when `txn` commits."""
        if not self.supportsUndo():
            raise Unsupported(f"{self.getName()} cannot undo transactions")
        if txn is None:
            txn = transactions.get()
        # Undoing a later one can make room for an earlier one, not the other way round.
        txn.join(TransactionalUndo(self, newest_first(ids)))

    def undo_instance(self) -> UndoSnapshot:
        """Return what carries out an undo, and tells all connections about it."""
        return self._snapshots.undo_instance()

    def undone(self) -> None:
        """Take note of an undo that was committed, and tell subscribers."""
        with self._lock:
            self._undos.commits += 1
        self.changed()

    # Changes

    def changes(self, since: bytes = ZERO) -> Iterator[feed.Change]:
        """Yield a `Change` for each transaction later than the tid `since`, oldest first.

        It ends with the newest at the time of the call; to go on later, pass
        the last tid seen. Raises `Unsupported` if the storage cannot do that.
        """
        return feed.changes(self.storage, since)

    def subscribe(self, callback: Callable[[feed.Change], object]) -> feed.Subscription:
        """Call `callback` with a `Change` after each commit, in order, on a thread for that.

        What it raises is logged. The result's `unsubscribe()` ends it.
        """
        return self._feed.subscribe(callback)

    def changed(self) -> None:
        """Tell subscribers that there is something new."""
        self._feed.changed()

    def open_connections(self) -> list[Connection]:
        """Return the connections that are in use, to the present and to the past."""
        return [connection for connection in self._each() if connection.opened is not None]

    # Caches and pools

    def _each(self) -> list[Connection]:
        with self._lock:
            return [*self.pool, *self.historical_pool]

    def cacheDetail(self) -> list[tuple[str, int]]:
        """Return (class, number of objects) over all caches."""
        return cache.cache_detail(self._each())

    def cacheExtremeDetail(self) -> list[dict[str, Any]]:
        """Return a mapping for each cached object; slow, for debugging."""
        return cache.extreme_detail(self._each())

    def cacheDetailSize(self) -> list[dict[str, Any]]:
        """Return, for each connection, how many objects its cache holds."""
        return cache.sizes(self._each())

    def cacheSize(self) -> int:
        """Return the number of objects, without ghosts, in the caches of the present."""
        with self._lock:
            return sum(each._cache.cache_non_ghost_count for each in self.pool)

    def cacheFullSweep(self) -> None:
        """Shrink all caches to their sizes, looking at every object."""
        for connection in self._each():
            connection._cache.full_sweep()

    def cacheMinimize(self) -> None:
        """Make ghosts of all objects that have not changed, in every connection."""
        for connection in self._each():
            connection._cache.minimize()

    def cacheLastGCTime(self) -> float:
        """Return when a cache was last made to fit, in seconds since 1970; 0 if never."""
        return max((each.last_gc for each in self._each()), default=0.0)

    def metrics(self) -> Metrics:
        """Return what was done since the database was opened, and what is there now."""
        with self._lock:
            pools = self.pool, self.historical_pool
            connections = [each for pool in pools for each in pool]
            others = [self._undos, *(pool.forgotten for pool in pools)]
            return metrics_of(connections, others, self.storage)

    def connectionDebugInfo(self) -> list[dict[str, Any]]:
        """Return, for each connection, `opened` (text or None), `info` and `before`."""
        return cache.debug_info(self._each())

    def getActivityMonitor(self) -> ActivityMonitor | None:
        return self._activity_monitor

    def setActivityMonitor(self, am: ActivityMonitor | None) -> None:
        """Have `am` told of every connection that is closed."""
        self._activity_monitor = am

    def getPoolSize(self) -> int:
        return self.pool.size

    def setPoolSize(self, size: int) -> None:
        with self._lock:
            self.pool.resize(size)

    def getHistoricalPoolSize(self) -> int:
        return self.historical_pool.size

    def setHistoricalPoolSize(self, size: int) -> None:
        with self._lock:
            self.historical_pool.resize(size)

    def getHistoricalTimeout(self) -> float:
        return self.historical_pool.timeout_s

    def setHistoricalTimeout(self, timeout: float) -> None:
        """Drop historical connections after resting for `timeout` seconds."""
        with self._lock:
            self.historical_pool.timeout_s = timeout
            self.historical_pool.drop_expired()

    def getCacheSize(self) -> int:
        return self.pool.cache_size

    def setCacheSize(self, size: int) -> None:
        """Have every cache aim at `size` objects."""
        with self._lock:
            self.pool.resize_caches(size=size)

    def getCacheSizeBytes(self) -> int:
        return self.pool.cache_size_bytes

    def setCacheSizeBytes(self, size: int) -> None:
        """Have every cache aim at `size` bytes of records, 0 for no bound."""
        with self._lock:
            self.pool.resize_caches(size_bytes=size)

    def getHistoricalCacheSize(self) -> int:
        return self.historical_pool.cache_size

    def setHistoricalCacheSize(self, size: int) -> None:
        with self._lock:
            self.historical_pool.resize_caches(size=size)

    def getHistoricalCacheSizeBytes(self) -> int:
        return self.historical_pool.cache_size_bytes

    def setHistoricalCacheSizeBytes(self, size: int) -> None:
        with self._lock:
            self.historical_pool.resize_caches(size_bytes=size)

    # The end

    def close(self) -> None:
        """Abort and close every connection, then the storage. Harmless when done twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for connection in self._each():
            connection.force_close()
        with self._lock:
            self.pool.clear()
            self.historical_pool.clear()
        self._feed.close()
        self._snapshots.close()
        self.databases.pop(self.database_name, None)

    def open_then_close_db_when_connection_closes(self) -> Connection:
        """Return a connection that takes the database with it when it is closed."""
        connection = self.open()
        connection.onCloseCallback(self.close)
        return connection

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise StorageClosedError(f"cannot {what} {self.database_name!r}: it is closed")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = "closed " if self._closed else ""
        return f"<{closed}database {self.database_name!r} over {self.getName()}>"
