"""A connection: one transaction's view of a database, and the cache behind it.

Persistent objects call their connection by themselves: `setstate` when a ghost
is touched, `register` when an object changes. Everything else here is what an
application or the `transaction` package calls. The parts do the work: the
snapshot reads, `commit` writes, `reader` and `writer` know the records,
`changes` remembers what is to be committed.

A connection belongs to one thread at a time. It may pass from one to another,
but a call while another thread is inside is refused.
"""

import time
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any

from persistent import Persistent

from perdure.errors import POSKeyError, SnapshotError
from perdure.ids import ROOT_OID, ZERO
from perdure.objects import multidb, transfer
from perdure.objects.cache import cache_generation, new_cache, resetCaches
from perdure.objects.changes import Changes
from perdure.objects.commit import Commit
from perdure.objects.lifetime import Lifetime
from perdure.objects.loading import Loader
from perdure.objects.metrics import Counters
from perdure.objects.registration import Registration
from perdure.objects.root import RootConvenience
from perdure.objects.savepoint import Mark, Savepoint
from perdure.objects.turn import Turn
from perdure.records import RecordWriter

if TYPE_CHECKING:
    from perdure.objects.database import Database

__all__ = ["Connection", "resetCaches"]


class Connection:
    """One consistent view of a database; made by `DB.open`, not by hand.

    `db` is the database, `cache_size` and `cache_size_bytes` are what the cache
    aims at, `before` is the tid of the past that a historical connection shows.
    """

    def __init__(
        self,
        db: "Database",
        cache_size: int = 400,
        before: bytes | None = None,
        cache_size_bytes: int = 0,
    ) -> None:
        self._db = db
        self.before = before
        self.opened: float | None = None  # seconds since 1970, None while closed
        self.transaction_manager: Any = None
        self.last_gc = 0.0  # when the cache was last made to fit, in seconds since 1970
        self.large_record_size = db.large_record_size
        self.connections: dict[str, Connection] = {db.database_name: self}
        self._snapshot = db.new_snapshot(before)
        if type(self) is Connection:
            # Asked for each new object, and for nothing but this: without a detour.
            vars(self).update(new_oid=self._snapshot.new_oid)
        self._cache = new_cache(self, cache_size, cache_size_bytes)
        self._cache_generation = cache_generation()
        self._changes = Changes()
        self._turn = Turn(self)
        self._commit = Commit(
            self,
            self._snapshot,
            self._cache,
            self._changes,
            self._turn,
            RecordWriter(self),
            db.large_record_size,
        )
        self._loader = Loader(
            self,
            self._snapshot,
            self._cache,
            db.class_finder(self),
            self._changes,
            self._turn,
        )
        self._registration = Registration(self, self._changes, self._turn)
        self._lifetime = Lifetime(self, self._changes, self._turn)
        self._counters = self._commit.counters
        self._counted = Counters()  # what getTransferCounts was last asked to forget
        self._debug_info: tuple[object, ...] = ()
        self._moved = False  # to the moment of a transaction, since it was opened
        if type(self) is Connection:
            # Persistent objects and transactions call these all the time: they find them
            # without a detour.
            vars(self).update(
                setstate=self._loader.set_state,
                register=self._registration.register,
                readCurrent=self._registration.rely_on,
                tpc_begin=self._commit.begin,
                commit=self._commit.commit,
                tpc_vote=self._commit.vote,
                tpc_finish=self._commit.finish,
            )

    # Opening and closing

    def open(self, transaction_manager: Any = None, delegate: bool = True) -> None:
        """Take up work under `transaction_manager`, by default the thread's own.

        The database calls this. With `delegate`, the other connections of the
        multi-database are opened too.
        """
        with self._turn("open", even_if_closed=True):
            self._lifetime.open(transaction_manager, delegate)

    def start(self, transaction_manager: Any) -> None:
        """Begin to show the present to whoever opens this. For the lifetime."""
        self.transaction_manager = transaction_manager
        if self._cache_generation != cache_generation():
            self._resetCache()
        self._moved = False
        if not self._explicit():
            self.newTransaction(None, False)

    def close(self, primary: bool = True) -> None:
        """Give the connection back to its database's pool, its cache kept warm.

        Closing closes the connections of the same multi-database too. Raises
        `ConnectionStateError` if there are changes that were neither committed
        nor aborted.
        """
        with self._turn("close", even_if_closed=True):
            self._lifetime.close(primary)

    def discard(self) -> None:
        """Release what is held; the connection cannot be opened again. For the pool."""
        self._lifetime.discard(self._release)

    def _release(self) -> None:
        self._snapshot.release()
        # Breaks the cycle of cache, objects and connection.
        self._cache.minimize()

    def force_close(self) -> None:
        """Close without leave of whoever uses this. For the closing database.

        Changes of this thread are aborted. Those of another thread stay, but its
        commit is refused: aborting behind its back would let it commit nothing
        and believe that it had committed.
        """
        self._lifetime.force_close()

    def onCloseCallback(self, f: Callable[[], object]) -> None:
        """Call `f` when the connection is closed next; what it raises is logged."""
        self._lifetime.on_close(f)

    # Objects

    def db(self) -> "Database":
        """Return the database that this connection belongs to."""
        return self._db

    @property
    def root(self) -> RootConvenience:
        """The root of the database: `root()` is the mapping, `root.name` an item of it."""
        try:
            return RootConvenience(self.get(ROOT_OID))
        except POSKeyError:
            if self.before is None:
                raise
            name = self._snapshot.getName()
            raise SnapshotError(name, self.before, "there was no root yet, or no more") from None

    def get(self, oid: bytes) -> Any:
        """Return the object with this oid, as a ghost if it is not in memory.

        Raises `POSKeyError` if there is none, `ReadConflictError` if it was created
        after the transaction began.
        """
        with self._turn("get an object from"):
            return self._loader.get(oid)

    def __getitem__(self, oid: bytes) -> Any:
        return self.get(oid)

    def add(self, obj: Any) -> None:
        """Give a new object an oid and store it with the transaction, reachable or not.

        Raises `TypeError` if it is not persistent, `InvalidObjectReference` if
        it belongs to another connection.
        """
        with self._turn("add an object to"):
            self._registration.add(obj)

    def setstate(self, obj: Any) -> None:
        """Load the state of a ghost; persistent objects call this themselves.

        Raises `POSKeyError` where there is no record, `ReadConflictError` where there is
        one for later transactions only, `StateLoadError` where its state cannot be given
        to the object; the connection stays usable.
        """
        self._loader.set_state(obj)

    def register(self, obj: Any) -> None:
        """Take note that an object changed; persistent objects call this themselves."""
        self._registration.register(obj)

    def readCurrent(self, ob: Any) -> None:
        """Have the commit of changes fail unless `ob`, as it was read here, is current then."""
        self._registration.rely_on(ob)

    def oldstate(self, obj: Any, tid: bytes) -> Any:
        """Return the state of an object as the transaction `tid` wrote it."""
        with self._turn("read from"):
            return self._loader.reader.state(self._snapshot.loadSerial(obj._p_oid, tid))

    def prefetch(self, *args: Any) -> None:
        """Announce objects that will be loaded: oids, objects, or iterables of them."""
        self._snapshot.prefetch(_oids(args))

    def exchange(self, old: Any, new: Any) -> None:
        """Put `new` in the place of `old`: same oid, same connection."""
        oid = old._p_oid
        new._p_oid = oid
        new._p_jar = self
        new._p_serial = old._p_serial
        del self._cache[oid]
        self._cache[oid] = new
        self._registration.replace(new)

    # What transactions see

    def newTransaction(self, transaction: Any, sync: bool = True) -> None:
        """Move to now: forget what others have changed. A transaction began."""
        # Each transaction comes here when it begins and when it has ended, mostly for nothing.
        self._moved = True
        snapshot, loader, read_current = self._snapshot, self._loader, self._changes.read_current
        if read_current:
            read_current.clear()
        if snapshot.has_server:
            snapshot.sync(sync)
        changed = snapshot.poll_invalidations()
        if snapshot.start is not loader.start:
            loader.move(snapshot.start)
        if changed is None:
            self._cache.invalidate([oid for oid, _obj in self._cache.items()])
        elif changed:
            self._cache.invalidate(list(changed))

    def beforeCompletion(self, transaction: Any) -> None:
        """Nothing is to be done before a transaction ends."""

    def afterCompletion(self, transaction: Any) -> None:
        """Move to now: no transaction is under way."""
        # As `_explicit` says, for one call less.
        if getattr(self.transaction_manager, "explicit", False):
            self._snapshot.after_completion()
        else:
            self.newTransaction(transaction, False)

    def sync(self) -> None:
        """Abort the transaction and see what others have committed."""
        self.transaction_manager.abort()
        if self._explicit():
            self.transaction_manager.begin()
        else:
            self.newTransaction(None)

    def sortKey(self) -> str:
        return f"{self._snapshot.sortKey()}:{id(self)}"

    def abort(self, transaction: Any) -> None:
        """Forget the changes; objects show what is committed."""
        with self._turn("abort", even_if_closed=True):
            self._commit.abort()

    def tpc_begin(self, transaction: Any) -> None:
        self._commit.begin(transaction)

    def commit(self, transaction: Any) -> None:
        self._commit.commit(transaction)

    def tpc_vote(self, transaction: Any) -> None:
        self._commit.vote(transaction)

    def tpc_finish(self, transaction: Any) -> None:
        self._commit.finish(transaction)

    def tpc_abort(self, transaction: Any) -> None:
        with self._turn("abort", even_if_closed=True):
            self._commit.abort()

    def savepoint(self) -> Savepoint:
        """Return where the transaction is now; what changed is moved out of memory's way."""
        with self._turn("make a savepoint of"):
            mark = self._commit.save()
            self.cacheGC()
            return Savepoint(self, mark)

    def rollback_savepoint(self, mark: Mark) -> None:
        """Go back to a savepoint; `Savepoint.rollback` calls this."""
        with self._turn("roll back"):
            self._commit.rollback(mark)

    def read_from(self, storage: Any) -> None:
        """Load from `storage`: the snapshot, or savepoints over it. For the commit."""
        self._loader.read_from(storage)

    @property
    def blob_files(self) -> Any:
        """Where the files of blobs are, as this transaction sees them; for blobs."""
        return self._loader.storage

    def _explicit(self) -> bool:
        return bool(getattr(self.transaction_manager, "explicit", False))

    def is_before_first_transaction(self) -> bool:
        """Return whether it was opened, but its explicit manager has not begun yet."""
        return self._explicit() and not self._moved

    # Several databases

    def get_connection(self, database_name: str) -> "Connection":
        """Return the connection to another database of this multi-database.

        Raises `ConnectionStateError` if there is none of that name.
        """
        return multidb.connection_to(self, database_name)

    def foreign_reference(self, obj: Any) -> tuple[str, bytes]:
        """Return (database name, oid) to refer to another connection's object; the writer asks."""
        return multidb.foreign_reference(self, obj)

    def is_added_implicitly(self, oid: bytes) -> bool:
        """Return whether this transaction stored the object only because it was reachable."""
        if self._changes.created.get(oid, False):
            return True
        savepoints = self._commit.savepoints
        return savepoints is not None and savepoints.created().get(oid, False)

    # Export and import

    def exportFile(
        self, oid: bytes, f: str | IO[bytes] | None = None, bufsize: int = 65536
    ) -> IO[bytes]:
        """Write an object and all that it refers to, in ZODB's export format.

        `f` is a path, an open file, or None for a temporary one. Returns the
        file, positioned behind what was written (a temporary one at its start).
        """
        with self._turn("export from"):
            return transfer.export(self._loader.storage, oid, f)

    def importFile(
        self,
        f: str | IO[bytes],
        clue: object = "",
        customImporters: dict[bytes, Callable[..., Any]] | None = None,
    ) -> Any:
        """Add the objects of an export under new oids; return the one that was exported.

        They are committed with the transaction, and go with it. `clue` is only
        handed to custom importers, which are called for other formats by their
        first 4 bytes. Raises `ExportError` where the file is not an export or
        is cut short.
        """
        with self._turn("import into"):
            return transfer.import_into(self, f, clue, customImporters)

    def adopt(self, oid: bytes, record: bytes, blob: str | None = None) -> None:
        """Store a record that was made elsewhere under a new oid; an import does this.

        `blob` is the file of its blob, which is taken over.
        """
        self._registration.join()
        savepoints = self._commit.open_savepoints()
        if blob is None:
            savepoints.store(oid, ZERO, record)
        else:
            savepoints.store_blob(oid, ZERO, record, blob)
        savepoints.note_created({oid: False})

    def new_oid(self) -> bytes:
        """Return an oid that was never used."""
        oid: bytes = self._snapshot.new_oid()
        return oid

    # The cache, and what can be said about it

    def cacheMinimize(self) -> None:
        """Make ghosts of all objects that have not changed, here and in connected databases."""
        for member in list(self.connections.values()):
            member._cache.minimize()

    def cacheGC(self) -> None:
        """Shrink the cache to its size, here and in connected databases."""
        for member in list(self.connections.values()):
            member.shrink()

    def set_cache_size(self, size: int | None = None, size_bytes: int | None = None) -> None:
        """Aim at another number of objects, or of bytes, from now on."""
        if size is not None:
            self._cache.cache_size = size
        if size_bytes is not None:
            self._cache.cache_size_bytes = size_bytes

    @property
    def has_joined(self) -> bool:
        """Whether it takes part in a transaction that was neither committed nor aborted."""
        return self._changes.joined

    def uncommitted(self) -> list[Any]:
        """Return the objects changed since the last commit, abort or savepoint, in that order."""
        return [*self._changes.registered]

    def isReadOnly(self) -> bool:
        """Return whether a commit of changes would be refused."""
        return bool(self._snapshot.isReadOnly())

    def getTransferCounts(self, clear: bool = False) -> tuple[int, int]:
        """Return how many objects were loaded and stored; with `clear`, count from 0 again."""
        now, before = self.counters, self._counted
        if clear:
            self._counted = Counters(loads=now.loads, stores=now.stores)
        return now.loads - before.loads, now.stores - before.stores

    @property
    def counters(self) -> Counters:
        """What this connection did since it was made; see `DB.metrics`."""
        self._counters.loads = self._loader.loads
        self._counters.cache_hits = self._loader.hits
        return self._counters

    def getDebugInfo(self) -> tuple[object, ...]:
        return self._debug_info

    def forget_debug_info(self) -> None:
        """Show nothing more of `setDebugInfo`; closing does this."""
        self._debug_info = ()

    def setDebugInfo(self, *args: object) -> None:
        """Add to what `DB.connectionDebugInfo` shows for this connection, until it is closed."""
        self._debug_info += args

    def __repr__(self) -> str:
        state = "closed " if self.opened is None else ""
        past = "" if self.before is None else f" before 0x{self.before.hex()}"
        return f"<{state}connection to {self._db.database_name!r}{past} at {id(self):#x}>"

    def shrink(self) -> None:
        """Shrink the cache to its size, here alone."""
        self._cache.incrgc()
        self.last_gc = time.time()

    def _resetCache(self) -> None:
        """Start with an empty cache; objects in use become strangers."""
        self._cache_generation = cache_generation()
        old = self._cache
        self._cache = new_cache(self, old.cache_size, old.cache_size_bytes)
        self._loader.use_cache(self._cache)
        self._commit.use_cache(self._cache)


def _oids(args: Iterable[Any]) -> Iterable[bytes]:
    for arg in args:
        if isinstance(arg, bytes):
            yield arg
        elif isinstance(arg, Persistent):
            if arg._p_oid is not None:
                yield arg._p_oid
        else:
            yield from _oids(arg)
