"""The commit of one connection: from changed objects to records in a storage.

The `transaction` package calls, in this order: `begin`, `commit`, `vote`, then
`finish`, or `abort` at any point. `commit` stores every changed object and, as
serialising finds them, every new object that those refer to; all get the
transaction's tid as their serial when it is finished.

With savepoints, everything is first written to the savepoint store, and the
commit copies that: an object may have left memory by then.
"""

import logging
import os
import warnings
from collections.abc import Iterable
from typing import Any

from perdure.errors import (
    ConflictError,
    ConnectionStateError,
    InvalidObjectReference,
    ReadConflictError,
    UnpicklableError,
    Unsupported,
    dotted_name,
)
from perdure.ids import ZERO, oid_repr
from perdure.interfaces import TransactionMetaData
from perdure.objects.blob import Blob
from perdure.objects.cache import forget_new
from perdure.objects.changes import Changes
from perdure.objects.metrics import Counters
from perdure.objects.savepoint import Mark, SavepointStore
from perdure.records import RecordWriter

__all__ = ["Commit"]

logger = logging.getLogger("perdure.objects.commit")

_Trail = tuple[Any, "_Trail | None"]
"""An object, and the trail of the object through which it was found."""


class Commit:
    """What a connection does when its transaction commits, saves or aborts.

    `storage` is the connection's snapshot, `cache` its object cache. Objects of
    more than `large_record_size` bytes get a warning.
    """

    def __init__(
        self,
        connection: Any,
        storage: Any,
        cache: Any,
        changes: Changes,
        writer: RecordWriter,
        large_record_size: int,
    ) -> None:
        self.storage = storage
        self.cache = cache
        self.savepoints: SavepointStore | None = None
        self.counters = Counters()
        self._connection = connection
        self._changes = changes
        self._writer = writer
        self._large_record_size = large_record_size
        self._metadata: TransactionMetaData | None = None

    # Two phases

    def begin(self, transaction: Any) -> None:
        """Start storing.

        Raises `ConnectionStateError` if it has started already: the connection
        was joined to the transaction a second time.
        """
        if self._metadata is not None:
            raise ConnectionStateError(
                f"{self._connection!r} was joined to its transaction twice; "
                "it joins by itself when an object changes"
            )
        metadata = TransactionMetaData(
            transaction.user, transaction.description, transaction.extension
        )
        self.storage.tpc_begin(metadata)
        self._metadata = metadata
        transaction.set_data(self._connection, metadata)

    def commit(self) -> None:
        """Store what changed, or what the savepoints hold."""
        if self.savepoints is not None:
            self.save()
            self._store_savepoints(self.savepoints)
        else:
            self._store_registered()
        self._verify_reads()

    def vote(self) -> None:
        """Have the storage promise that finishing will work."""
        try:
            resolved = self.storage.tpc_vote(self._metadata)
        except ConflictError as error:
            raise self._with_class(error) from None
        if resolved:
            # What is committed is neither what we have nor what we had.
            oids = set(resolved)
            self._forget_stored(oids)
            self.counters.resolved += len(oids)

    def finish(self) -> bytes:
        """Make it durable; every object stored gets the new tid as its serial."""
        tid: bytes = self.storage.tpc_finish(self._metadata)
        for obj in self._changes.stored:
            if obj._p_changed is not None:
                obj._p_changed = False
                obj._p_serial = tid
        for oid in self._changes.stored_oids:
            obj = self.cache.get(oid)
            if obj is not None and obj._p_changed is not None:
                obj._p_changed = False
                obj._p_serial = tid
        # What they say about their files is not true any more.
        self.cache.invalidate(self._changes.stored_blobs)
        self._end()
        self.counters.commits += 1
        return tid

    def abort(self) -> None:
        """Forget everything, begun or not; objects show again what is committed."""
        # The storage first: a persistent class reloads its state at once.
        metadata, self._metadata = self._metadata, None
        if metadata is not None:
            self.storage.tpc_abort(metadata)
        self._forget_changes()
        if self.savepoints is not None:
            savepoints, self.savepoints = self.savepoints, None
            self._connection.read_from(self.storage)
            self._forget_created(savepoints.created())
            self.cache.invalidate(savepoints.oids())
            savepoints.close()
        self._changes.clear()

    def _end(self) -> None:
        self._metadata = None
        self._changes.clear()
        if self.savepoints is not None:
            savepoints, self.savepoints = self.savepoints, None
            self._connection.read_from(self.storage)
            savepoints.close()

    # Savepoints

    def open_savepoints(self) -> SavepointStore:
        """Return the savepoint store; from now on the connection reads through it."""
        if self.savepoints is None:
            self.savepoints = SavepointStore(self.storage)
            self._connection.read_from(self.savepoints)
        return self.savepoints

    def save(self) -> Mark:
        """Write what changed since the last savepoint; return the moment to come back to."""
        savepoints = self.open_savepoints()
        changes = self._changes
        for obj in list(changes.registered):
            self._store_if_changed(obj)
        savepoints.note_created(changes.created)
        changes.created.clear()
        changes.stored.clear()
        changes.registered.clear()
        return savepoints.mark()

    def rollback(self, mark: Mark) -> None:
        """Take everything back to what it was at `mark`."""
        if self.savepoints is None:
            raise ConnectionStateError("this savepoint's transaction is over")
        self._forget_changes()
        self._changes.clear()
        self._changes.joined = True
        stored, uncreated = self.savepoints.reset(mark)
        self._forget_created(uncreated)
        self.cache.invalidate(stored)

    # Storing

    def _store_registered(self) -> None:
        for obj in list(self._changes.registered):
            self._store_if_changed(obj)

    def _store_if_changed(self, obj: Any) -> None:
        if obj._p_oid in self._changes.added or obj._p_changed:
            self._store_with_new(obj)

    def _store_with_new(self, obj: Any) -> None:
        """Store `obj`, and the new objects found while serialising it and one another."""
        writer = self._writer
        pending: list[_Trail] = [(obj, None)]
        try:
            while pending:
                trail = pending[-1]
                obj = trail[0]
                data = writer.serialize(obj)
                pending.pop()
                if writer.found:
                    pending.extend((new, trail) for new in reversed(writer.found))
                    writer.found.clear()
                self._store(obj, data)
        except BaseException as error:
            # They have an oid and this connection, but no record: as if just added.
            for new in [*writer.found, *(trail[0] for trail in pending)]:
                if new._p_serial == ZERO and new._p_oid not in self._changes.created:
                    self._changes.added[new._p_oid] = new
            writer.found.clear()
            if isinstance(error, InvalidObjectReference | UnpicklableError):
                error.found_through(_names(pending[-1] if pending else None))
            raise

    def _store(self, obj: Any, data: bytes) -> None:
        oid = obj._p_oid
        serial = obj._p_serial or ZERO
        changes = self._changes
        blob_file = None
        if type(obj) is Blob:
            blob_file = obj.file_to_store()
            if blob_file is None:
                obj._p_changed = False  # the same data as before: there is nothing to store
                return
        size = len(data)
        if size > self._large_record_size:
            warnings.warn(
                f"{dotted_name(type(obj))} object, oid {oid_repr(oid)}, has {size} bytes; "
                "split it into several persistent objects, or keep it in a blob",
                stacklevel=2,
            )
        new = serial == ZERO
        if new:
            implicit = changes.added.pop(oid, None) is None
            if self.savepoints is None or oid not in self.savepoints.created():
                changes.created[oid] = implicit
        if blob_file is not None:
            self._store_blob(obj, data, blob_file)
        elif self.savepoints is not None:
            self.savepoints.store(oid, serial, data)
        else:
            try:
                self.storage.store(oid, serial, data, "", self._metadata)
            except ConflictError as error:
                raise self._with_class(error) from None
        self.counters.stores += 1
        if new and self.cache.get(oid) is None:
            self.cache[oid] = obj
        self.cache.update_object_size_estimation(oid, size)
        if not isinstance(obj, type):
            obj._p_estimated_size = size
        # Writing an object checks its revision anyway.
        changes.read_current.pop(oid, None)
        if self.savepoints is not None:
            obj._p_changed = False
        else:
            changes.stored.append(obj)
            if blob_file is not None:
                # It may be registered twice, and has no file to be stored a second time.
                obj._p_changed = False

    def _store_blob(self, blob: Blob, data: bytes, path: str) -> None:
        oid, serial = blob._p_oid, blob._p_serial or ZERO
        committed = None
        try:
            if self.savepoints is not None:
                committed = self.savepoints.store_blob(oid, serial, data, path)
            else:
                self._store_blob_file(oid, serial, data, path)
        except BaseException:
            if not os.path.exists(path):
                blob.handed_over()
            raise
        blob.handed_over(committed)

    def _store_blob_file(self, oid: bytes, serial: bytes, data: bytes, path: str) -> None:
        try:
            self.storage.storeBlob(oid, serial, data, path, "", self._metadata)
        except ConflictError as error:
            raise self._with_class(error) from None
        self._changes.stored_blobs.append(oid)

    def _store_savepoints(self, savepoints: SavepointStore) -> None:
        changes = self._changes
        changes.created.update(savepoints.created())
        for oid, serial, data in savepoints:
            changes.stored_oids.append(oid)
            path = savepoints.blob_of(oid)
            if path is not None:
                self._store_blob_file(oid, serial, data, path)
                continue
            try:
                self.storage.store(oid, serial, data, "", self._metadata)
            except ConflictError as error:
                raise self._with_class(error) from None

    def _verify_reads(self) -> None:
        # BTrees rely on this, and ZODB's file storage can do it without declaring it.
        for oid, serial in self._changes.read_current.items():
            try:
                self.storage.checkCurrentSerialInTransaction(oid, serial, self._metadata)
            except ReadConflictError as error:
                self.cache.invalidate(oid)
                raise self._with_class(error) from None
            except AttributeError as error:
                raise Unsupported(
                    f"{self.storage.getName()} cannot verify reads, which readCurrent() "
                    f"and BTrees need: {error}"
                ) from error

    # Forgetting

    def _forget_changes(self) -> None:
        changes = self._changes
        added = dict(changes.added)
        for obj in added.values():
            forget_new(self.cache, obj)
        self._forget_created(changes.created)
        touched = [obj._p_oid for obj in changes.registered if obj._p_oid is not None]
        touched.extend(obj._p_oid for obj in changes.stored if obj._p_oid is not None)
        touched.extend(changes.stored_oids)
        self.cache.invalidate(touched)

    def _forget_created(self, oids: Iterable[bytes]) -> None:
        for oid in oids:
            obj = self.cache.get(oid)
            if obj is not None:
                forget_new(self.cache, obj)
                if type(obj) is Blob and obj._p_blob_committed is not None:
                    obj.handed_over()  # to the savepoint, which is gone

    def _forget_stored(self, oids: set[bytes]) -> None:
        changes = self._changes
        self.cache.invalidate(list(oids))
        changes.stored = [obj for obj in changes.stored if obj._p_oid not in oids]
        changes.stored_oids = [oid for oid in changes.stored_oids if oid not in oids]

    def _with_class(self, error: ConflictError) -> ConflictError:
        self.counters.conflicts += 1
        if error.class_name is None and error.oid is not None:
            obj = self.cache.get(error.oid)
            if obj is not None:
                error.class_name = dotted_name(type(obj))
        return error


def _names(trail: _Trail | None) -> list[str]:
    """Return the objects of a trail as errors name them, outermost first."""
    names: list[str] = []
    while trail is not None:
        obj, trail = trail
        names.append(f"oid {oid_repr(obj._p_oid)} ({dotted_name(type(obj))})")
    return names[::-1]
