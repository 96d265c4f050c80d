"""From changed objects to records in a storage, or in a savepoint.

Each object that is stored may lead to new ones, which are stored too. Records
go to the storage in batches: one call for many of them costs much less.
"""

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from perdure import native
from perdure.errors import ConflictError, InvalidObjectReference, UnpicklableError, dotted_name
from perdure.ids import ZERO, oid_repr
from perdure.interfaces import HasMetaData
from perdure.objects.blob import Blob
from perdure.objects.changes import Changes
from perdure.objects.conflicts import Conflicts
from perdure.objects.metrics import Counters
from perdure.objects.savepoint import SavepointStore
from perdure.records import RecordWriter

if TYPE_CHECKING:
    from perdure.native._planning import Records

__all__ = ["Storer", "mark_stored"]

_BATCH_BYTES: Final = 1 << 20

_Trail = tuple[Any, "_Trail | None"]
"""An object, and the trail of the object through which it was found."""


class Storer:
    """Stores the objects of one connection.

    `storage` is the connection's snapshot, `cache` its object cache, `writer`
    makes its records. Objects of more than `large_record_size` bytes get a
    warning. While there are `savepoints`, records go there. `is_storing` says that
    changed objects are being stored: what they do meanwhile, as in `__getstate__`,
    must not have them stored again.
    """

    def __init__(
        self,
        storage: Any,
        cache: Any,
        changes: Changes,
        writer: RecordWriter,
        counters: Counters,
        conflicts: Conflicts,
        large_record_size: int,
    ) -> None:
        self.savepoints: SavepointStore | None = None
        self.is_storing = False
        self._storage = storage
        self._changes = changes
        self._writer = writer
        self._counters = counters
        self._conflicts = conflicts
        self._large_record_size = large_record_size
        self.metadata: HasMetaData | None = None
        """Of the transaction for which this stores."""
        # It does the usual and leaves the rest to us; see the C file.
        self._native = (
            native.storing.Storing(
                self._store_unusual,
                self._flush,
                Blob,
                changes.known_created,
                changes.added,
                changes.read_current,
                changes.stored,
                large_record_size,
                _BATCH_BYTES,
            )
            if native.storing
            else None
        )
        self._empty_batch()
        self.use_cache(cache)

    def use_cache(self, cache: Any) -> None:
        """Keep objects in another cache from now on."""
        self._cache = cache
        self._update_size = cache.update_object_size_estimation
        if self._native:
            self._native.cache = cache

    def give_up(self) -> None:
        """Let go of the transaction, and of what was not handed over."""
        self.metadata = None
        if len(self._batch):
            self._empty_batch()

    def store_changed(self) -> None:
        """Store every object that is registered and changed or new, and what that leads to."""
        stored = self._changes.stored
        before = len(stored)
        self.is_storing = True
        try:
            self._store_objects(tuple(self._changes.registered))
        finally:
            self.is_storing = False
        self._flush()
        self._counters.stores += len(stored) - before

    def store_saved(self, savepoints: SavepointStore) -> None:
        """Store what the savepoints hold."""
        changes = self._changes
        changes.known_created.update(savepoints.created())
        for oid, serial, data in savepoints:
            changes.stored_oids.append(oid)
            path = savepoints.blob_of(oid)
            if path is None:
                self._add_to_batch(oid, serial, data)
            else:
                self._store_blob_file(oid, serial, data, path)
        self._flush()

    def _store_objects(self, objects: tuple[Any, ...]) -> None:
        """Store `objects`, and the new ones found while serialising them and one another."""
        pending: list[_Trail] = []
        writer = self._writer
        try:
            if self._native and self.savepoints is None:
                self._native.store_changed(objects, pending, writer.serialize, writer.found)
            else:
                self._store_changed(objects, pending)
        except BaseException as error:
            # They have an oid and this connection, but no record: as if just added.
            for new in [*writer.found, *(trail[0] for trail in pending)]:
                if new._p_serial == ZERO and new._p_oid not in self._changes.created:
                    self._changes.added[new._p_oid] = new
            writer.found.clear()
            if isinstance(error, InvalidObjectReference | UnpicklableError):
                error.found_through(_names(pending[-1] if pending else None))
            raise

    def _store_changed(self, objects: tuple[Any, ...], pending: list[_Trail]) -> None:
        """Store those of `objects` that are changed or added; `pending` is what waits for that.

        It grows by what is found, whose last is the next one. All in one, for each call costs.
        """
        changes, serialize, found = self._changes, self._writer.serialize, self._writer.found
        added, read_current, stored = changes.added, changes.read_current, changes.stored
        cache, update_size = self._cache, self._update_size
        # To savepoints, nothing goes as usual.
        largest = self._large_record_size if self.savepoints is None else -1
        for each in objects:
            if not (each._p_changed or each._p_oid in added):
                continue
            pending.append((each, None))
            while pending:
                trail = pending[-1]
                obj = trail[0]
                data = serialize(obj)
                del pending[-1]
                if found:
                    for new in reversed(found):
                        pending.append((new, trail))
                    found.clear()
                size = len(data)
                if size > largest or type(obj) is Blob or isinstance(obj, type):
                    self._store_unusual(obj, data)
                    continue
                oid, serial = obj._p_oid, obj._p_serial
                if serial == ZERO:
                    if added and added.pop(oid, None) is not None:
                        changes.known_created[oid] = False
                    try:  # as _enter does
                        cache[oid] = obj
                    except ValueError:
                        if cache.get(oid) is None:
                            raise
                # The cache first: it adds what is new to the size that the object has so far.
                update_size(oid, size)
                obj._p_estimated_size = size
                if read_current:
                    # Writing an object checks its revision anyway.
                    read_current.pop(oid, None)
                stored.append(obj)
                # Last: if this raises, the object is known to be stored, and the abort undoes it.
                self._batch.append((oid, serial, data))
                self._batch_bytes += size
                if self._batch_bytes > _BATCH_BYTES:
                    self._flush()

    def _enter(self, oid: bytes, obj: Any) -> None:
        """Put a new object into the cache, unless there is one with its oid."""
        try:
            self._cache[oid] = obj
        except ValueError:
            if self._cache.get(oid) is None:
                raise

    def _store_unusual(self, obj: Any, data: bytes) -> None:
        """Store a class, a blob, a large record, or anything while there are savepoints."""
        oid, serial, size = obj._p_oid, obj._p_serial or ZERO, len(data)
        changes, savepoints = self._changes, self.savepoints
        blob_file = None
        if type(obj) is Blob:
            blob_file = obj.file_to_store()
            if blob_file is None:
                obj._p_changed = False  # the same data as before: there is nothing to store
                return
        if size > self._large_record_size:
            _warn_of_size(obj, size)
        if serial == ZERO:
            implicit = changes.added.pop(oid, None) is None
            if savepoints is None or oid not in savepoints.created():
                changes.known_created[oid] = implicit
        if blob_file is not None:
            self._store_blob(obj, data, blob_file)
        elif savepoints is not None:
            savepoints.store(oid, serial, data)
            self._counters.stores += 1
        if serial == ZERO:
            self._enter(oid, obj)
        self._update_size(oid, size)
        if not isinstance(obj, type):
            obj._p_estimated_size = size
        changes.read_current.pop(oid, None)
        if savepoints is not None:
            obj._p_changed = False
            return
        changes.stored.append(obj)
        if blob_file is None:
            self._add_to_batch(oid, serial, data)
        else:
            # It may be registered twice, and has no file to be stored a second time.
            obj._p_changed = False

    # Records on their way to the storage

    def _add_to_batch(self, oid: bytes, serial: bytes, data: bytes) -> None:
        self._batch.append((oid, serial, data))
        if self._native:
            self._batch_bytes = self._native.batch.size_bytes
        else:
            self._batch_bytes += len(data)
        if self._batch_bytes > _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not len(self._batch):
            return
        try:
            self._storage.store_all(self._batch, self.metadata)
        except ConflictError as error:
            raise self._conflicts.explained(error) from None
        self._empty_batch()

    def _empty_batch(self) -> None:
        # Another one: a transaction keeps what it was given.
        self._batch: list[tuple[bytes, bytes, bytes]] | Records
        self._batch_bytes = 0
        if self._native:
            self._batch = self._native.batch = native.planning.Records()
        else:
            self._batch = []

    # Blobs

    def _store_blob(self, blob: Blob, data: bytes, path: str) -> None:
        oid, serial = blob._p_oid, blob._p_serial or ZERO
        committed = None
        try:
            if self.savepoints is not None:
                committed = self.savepoints.store_blob(oid, serial, data, path)
                self._counters.stores += 1
            else:
                self._store_blob_file(oid, serial, data, path)
        except BaseException:
            if not os.path.exists(path):
                blob.handed_over()
            raise
        blob.handed_over(committed)

    def _store_blob_file(self, oid: bytes, serial: bytes, data: bytes, path: str) -> None:
        try:
            self._storage.storeBlob(oid, serial, data, path, "", self.metadata)
        except ConflictError as error:
            raise self._conflicts.explained(error) from None
        self._changes.stored_blobs.append(oid)


def _warn_of_size(obj: Any, size: int) -> None:
    warnings.warn(
        f"{dotted_name(type(obj))} object, oid {oid_repr(obj._p_oid)}, has {size} bytes; "
        "split it into several persistent objects, or keep it in a blob",
        stacklevel=3,
    )


def _names(trail: _Trail | None) -> list[str]:
    """Return the objects of a trail as errors name them, outermost first."""
    names: list[str] = []
    while trail is not None:
        obj, trail = trail
        names.append(f"oid {oid_repr(obj._p_oid)} ({dotted_name(type(obj))})")
    return names[::-1]


def pure_mark_stored(objects: Iterable[Any], tid: bytes) -> None:
    """Give objects that were stored their serial, unless they are ghosts, and no changes."""
    for obj in objects:
        if obj._p_changed is not None:
            obj._p_changed = False
            obj._p_serial = tid


def mark_stored(objects: list[Any], tid: bytes) -> None:
    """Give objects that were stored their serial, unless they are ghosts, and no changes."""
    if native.storing:
        others = native.storing.mark_stored(objects, tid)
        if others:
            pure_mark_stored(others, tid)
    else:
        pure_mark_stored(objects, tid)
