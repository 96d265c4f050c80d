"""The commit of one connection: from changed objects to records in a storage.

The `transaction` package calls, in this order: `begin`, `commit`, `vote`, then
`finish`, or `abort` at any point. `commit` stores every changed object and, as
serialising finds them, every new object that those refer to; all get the
transaction's tid as their serial when it is finished.

With savepoints, everything is first written to the savepoint store, and the
commit copies that: an object may have left memory by then.
"""

from collections.abc import Iterable
from typing import Any

from perdure.errors import ConflictError, ConnectionStateError, ReadConflictError, Unsupported
from perdure.interfaces import TransactionMetaData
from perdure.objects.blob import Blob
from perdure.objects.cache import forget_new
from perdure.objects.changes import Changes
from perdure.objects.conflicts import Conflicts
from perdure.objects.courtesy import committing
from perdure.objects.metrics import Counters
from perdure.objects.savepoint import Mark, SavepointStore
from perdure.objects.storing import Storer, mark_stored
from perdure.objects.turn import Turn
from perdure.records import RecordWriter

__all__ = ["Commit"]


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
        turn: Turn,
        writer: RecordWriter,
        large_record_size: int,
    ) -> None:
        self.storage = storage
        self.cache = cache
        self.savepoints: SavepointStore | None = None
        self.counters = Counters()
        self._connection = connection
        self._changes = changes
        self._conflicts = Conflicts(cache, self.counters)
        self._storer = Storer(
            storage, cache, changes, writer, self.counters, self._conflicts, large_record_size
        )
        self._metadata: TransactionMetaData | None = None
        self._turn = turn.often("commit")
        # Even if closed meanwhile: the vote has promised that it will be done.
        self._turn_to_finish = turn.often("commit", even_if_closed=True)

    def use_cache(self, cache: Any) -> None:
        """Keep objects in another cache from now on."""
        self.cache = self._conflicts.cache = cache
        self._storer.use_cache(cache)

    # Two phases: what a connection's methods of these names do

    def begin(self, transaction: Any) -> None:
        """Start storing.

        Raises `ConnectionStateError` if it has started already: the connection
        was joined to the transaction a second time.
        """
        with self._turn:
            if self._metadata is not None:
                raise ConnectionStateError(
                    f"{self._connection!r} was joined to its transaction twice; "
                    "it joins by itself when an object changes"
                )
            metadata = TransactionMetaData(
                transaction.user, transaction.description, transaction.extension
            )
            self.storage.tpc_begin(metadata)
            self._metadata = self._storer.metadata = metadata
            transaction.set_data(self._connection, metadata)

    def commit(self, transaction: Any) -> None:
        """Store what changed, or what the savepoints hold."""
        with self._turn:
            self._refuse_while_storing("commit")
            if self.savepoints is not None:
                self.save()
                self._storer.store_saved(self.savepoints)
            else:
                self._storer.store_changed()
            if self._changes.read_current:
                self._verify_reads()

    def vote(self, transaction: Any) -> None:
        """Have the storage promise that finishing will work."""
        with self._turn:
            try:
                with committing:
                    resolved = self.storage.tpc_vote(self._metadata)
            except ConflictError as error:
                raise self._conflicts.explained(error) from None
            if resolved:
                # What is committed is neither what we have nor what we had.
                oids = set(resolved)
                self._forget_stored(oids)
                self.counters.resolved += len(oids)

    def finish(self, transaction: Any) -> None:
        """Make it durable; every object stored gets the new tid as its serial."""
        with self._turn_to_finish:
            with committing:
                tid = self.storage.tpc_finish(self._metadata)
            changes = self._changes
            mark_stored(changes.stored, tid)
            if changes.stored_oids:
                cached = map(self.cache.get, changes.stored_oids)
                mark_stored([obj for obj in cached if obj is not None], tid)
            if changes.stored_blobs:
                # What they say about their files is not true any more.
                self.cache.invalidate(changes.stored_blobs)
            self._metadata = self._storer.metadata = None
            changes.clear()
            if self.savepoints is not None:
                self.savepoints.close()
                self._leave_savepoints()
            self.counters.commits += 1

    def abort(self) -> None:
        """Forget everything, begun or not; objects show again what is committed."""
        # The storage first: a persistent class reloads its state at once.
        metadata, self._metadata = self._metadata, None
        self._storer.give_up()
        if metadata is not None:
            self.storage.tpc_abort(metadata)
        self._forget_changes()
        if self.savepoints is not None:
            savepoints = self.savepoints
            self._leave_savepoints()
            self._forget_created(savepoints.created())
            self.cache.invalidate(savepoints.oids())
            savepoints.close()
        self._changes.clear()

    # Savepoints

    def open_savepoints(self) -> SavepointStore:
        """Return the savepoint store; from now on the connection reads through it."""
        if self.savepoints is None:
            self.savepoints = self._storer.savepoints = SavepointStore(self.storage)
            self._connection.read_from(self.savepoints)
        return self.savepoints

    def _leave_savepoints(self) -> None:
        self.savepoints = self._storer.savepoints = None
        self._connection.read_from(self.storage)

    def save(self) -> Mark:
        """Write what changed since the last savepoint; return the moment to come back to.

        Raises `ConnectionStateError` in the midst of storing.
        """
        self._refuse_while_storing("make a savepoint")
        savepoints = self.open_savepoints()
        changes = self._changes
        self._storer.store_changed()
        savepoints.note_created(changes.created)
        changes.forget_saved()
        return savepoints.mark()

    def rollback(self, mark: Mark) -> None:
        """Take everything back to what it was at `mark`."""
        self._refuse_while_storing("roll back")
        if self.savepoints is None:
            raise ConnectionStateError("this savepoint's transaction is over")
        self._forget_changes()
        self._changes.clear()
        self._changes.joined = True
        stored, uncreated = self.savepoints.reset(mark)
        self._forget_created(uncreated)
        self.cache.invalidate(stored)

    def _refuse_while_storing(self, what: str) -> None:
        # What it stores would be in the savepoint alone, and what is stored now not in it.
        if self._storer.is_storing:
            raise ConnectionStateError(
                f"cannot {what} while {self._connection!r} stores objects: "
                "something does so that runs meanwhile, as a __getstate__ or a __reduce__"
            )

    def _verify_reads(self) -> None:
        # BTrees rely on this, and ZODB's file storage can do it without declaring it.
        for oid, serial in self._changes.read_current.items():
            try:
                self.storage.checkCurrentSerialInTransaction(oid, serial, self._metadata)
            except ReadConflictError as error:
                self.cache.invalidate(oid)
                raise self._conflicts.explained(error) from None
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
        self.cache.invalidate(list(oids))
        self._changes.forget_stored(oids)
