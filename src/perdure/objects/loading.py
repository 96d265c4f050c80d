"""From an oid to an object, from a ghost to its state: what a connection reads.

Records come from the connection's snapshot, or from the savepoints over it, as
they were at the moment that the connection shows. One that is missing is an
error that says who refers to it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from perdure import native
from perdure.capabilities import capabilities_of
from perdure.errors import (
    ConnectionStateError,
    POSKeyError,
    ReadConflictError,
    StateLoadError,
    dotted_name,
)
from perdure.ids import oid_repr
from perdure.objects.blob import Blob
from perdure.objects.changes import Changes
from perdure.objects.courtesy import Pacing
from perdure.objects.turn import Turn, refuse_closed, refuse_thread
from perdure.records import RecordReader, references

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Loader"]

_REFERRERS_LOOKED_AT: Final = 1000


class Loader:
    """Reads for one connection.

    `storage` is what is read: the snapshot, or savepoints over it, as it was before the
    tid `start`. `cache` is the connection's, `reader` reads records into it.
    """

    def __init__(
        self,
        connection: "Connection",
        storage: Any,
        cache: Any,
        find_class: Callable[[str, str], Any],
        changes: Changes,
        turn: Turn,
    ) -> None:
        self._connection = connection
        self._find_class = find_class
        self._changes = changes
        self._latch = turn.latch
        self._pacing = Pacing()
        self._under_way = self._pacing.under_way
        self._loads = 0
        self._earlier_hits = 0  # of readers before this one
        # It does the usual and leaves the rest to us; see the C file.
        self._native = (
            native.jar.Loading(turn.latch, self._set_state_of, Blob) if native.jar else None
        )
        self.set_state = self._native.load if self._native else self._set_state_of
        """Give a ghost its state; see `Connection.setstate`."""
        self.read_from(storage)
        self.move(storage.start)
        self._use(cache)

    def read_from(self, storage: Any) -> None:
        """Load from `storage` from now on."""
        self.storage = storage
        self._load_at: Callable[[bytes, bytes], tuple[bytes, bytes, object] | None]
        self._load_at = storage.load_at
        if self._native:
            self._native.load_at = storage.load_at

    def move(self, start: bytes) -> None:
        """Show what was committed before `start` from now on."""
        self.start = start
        if self._native:
            self._native.start = start

    def load(self, oid: bytes) -> tuple[bytes, bytes]:
        """Return the record of an object and its serial.

        Raises `POSKeyError` if there is none, `ReadConflictError` if there is one for others only.
        """
        found = self._load_at(oid, self.start)
        if found is None:
            raise self._hidden(oid)
        return found[0], found[1]

    def use_cache(self, cache: Any) -> None:
        """Keep objects in another cache from now on."""
        self._earlier_hits += self.reader.hits
        self._use(cache)

    def _use(self, cache: Any) -> None:
        self._cache = cache
        self._update_size = cache.update_object_size_estimation
        self.reader = RecordReader(self._connection, cache, self._find_class, self._examine)
        self._set_state = self.reader.set_state
        if self._native:
            self._native.set_state = self._set_state

    @property
    def loads(self) -> int:
        """How many objects got their state."""
        return self._loads + (self._native.loads if self._native else 0)

    @property
    def hits(self) -> int:
        """How many references led to an object in the cache."""
        return self._earlier_hits + self.reader.hits

    def get(self, oid: bytes) -> Any:
        """Return the object with this oid, as a ghost if it is not in memory.

        Raises `POSKeyError` if there is none.
        """
        obj = self._cache.get(oid)
        if obj is None:
            obj = self._changes.added.get(oid)
        if obj is not None:
            return obj
        try:
            record = self.load(oid)[0]
        except KeyError:
            self._refuse_without_transaction()
            raise POSKeyError(oid) from None
        try:
            ghost = self.reader.ghost(record)
        except StateLoadError:
            self._examine(oid)
            raise
        # Making the ghost may have loaded it, where it refers to itself.
        obj = self._cache.get(oid)
        if obj is None:
            self._cache.new_ghost(oid, ghost)
            obj = ghost
        return obj

    def _set_state_of(self, obj: Any) -> None:
        # The hottest path: no context manager, no call that can be avoided.
        # What an attribute holds is called by a name: as if it were a method takes twice as long.
        latch = self._latch
        acquire, release = latch.acquire, latch.release
        if not acquire(False):
            refuse_thread(self._connection, "load an object of")
        try:
            load_at, set_state, update_size = self._load_at, self._set_state, self._update_size
            if self._under_way.count:
                self._pacing.give_way()
            oid = obj._p_oid
            if latch.closed:
                refuse_closed(self._connection, f"load oid {oid_repr(oid)} of")
            try:
                found = load_at(oid, self.start)
            except KeyError:  # of any storage: not all raise ours
                raise self._missing(obj) from None
            if found is None:
                raise self._hidden(oid)
            record, serial, _ = found
            if type(obj) is Blob:  # it has no subclasses
                obj._p_blob_committed = self.storage.blob_place(oid, serial)
            set_state(obj, record)
            self._loads += 1
            obj._p_serial = serial
            size = len(record)
            # The cache first: it adds what is new to the size that the object has so far.
            update_size(oid, size)
            if not isinstance(obj, type):
                obj._p_estimated_size = size
        finally:
            release()

    def _refuse_without_transaction(self) -> None:
        # Only where something is missing: looking each time would cost each load.
        if self._connection.is_before_first_transaction():
            raise ConnectionStateError(
                f"{self._connection!r} has an explicit transaction manager, "
                "and no transaction was begun; call begin() on the manager first"
            )

    def _hidden(self, oid: bytes) -> POSKeyError | ReadConflictError:
        """Return the error for an object that is there, but not at the moment that is shown.

        It was created later, or a pack took what this transaction would have seen. As in
        ZODB that is a conflict: in the next transaction it is there.
        """
        self._refuse_without_transaction()
        if self._connection.before is not None:
            return POSKeyError(oid)
        return ReadConflictError(
            "it has no revision from before this transaction began; begin another one", oid=oid
        )

    def _missing(self, obj: Any) -> POSKeyError:
        """Return the error for a ghost without a record; it says who refers to it."""
        self._refuse_without_transaction()
        oid = obj._p_oid
        referrer = self._find_referrer(oid)
        return POSKeyError(
            oid,
            class_name=dotted_name(obj if isinstance(obj, type) else type(obj)),
            referrer_oid=None if referrer is None else referrer._p_oid,
            referrer_class=None if referrer is None else dotted_name(type(referrer)),
        )

    def _examine(self, oid: bytes) -> None:
        """Raise `CorruptDataError` if a record that makes no sense is not as it was written."""
        storage = self._connection.db().storage
        if not capabilities_of(storage).record_checking:
            return
        try:
            serial = self.load(oid)[1]
        except (KeyError, ReadConflictError):
            return
        storage.check_record(oid, serial)

    def _find_referrer(self, oid: bytes) -> Any:
        # Whoever led here was loaded lately: look there first, and not for ever.
        for _oid, candidate in self._cache.lru_items()[: -_REFERRERS_LOOKED_AT - 1 : -1]:
            if candidate._p_oid == oid or candidate._p_changed is None:
                continue
            try:
                record = self.load(candidate._p_oid)[0]
            except (KeyError, ReadConflictError):
                continue  # new, or gone as well
            if oid in references(record):
                return candidate
        return None
