"""Applying staged changes: as one transaction of the database that they were staged over.

New objects get oids of that database, and references follow. Whether an object was
changed there meanwhile, its storage decides, as for every commit: it has the
conflict resolved by the class, or refuses; in the end at the vote, when nobody else can
commit. The transaction carries the name of the stage, so that a second apply
finds it, whatever became of the note of it among the changes.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from perdure.blobs import copy_into, unused_path
from perdure.capabilities import capabilities_of
from perdure.errors import (
    AlreadyAppliedError,
    ConflictError,
    POSError,
    ReadOnlyError,
    StagedConflict,
    StagedConflictsError,
    StateLoadError,
    Unsupported,
    WrongDatabaseError,
)
from perdure.fileops import FileOperations
from perdure.ids import ZERO, oid_repr, tid_repr
from perdure.interfaces import HasMetaData, TransactionMetaData
from perdure.objects.database import Database
from perdure.records.exporting import is_blob
from perdure.records.rewriting import with_other_oids
from perdure.tools.progress import Progress
from perdure.tools.stage.beginning import check_database
from perdure.tools.stage.changed import ChangedRecord, changed_oids, changed_record, changed_records
from perdure.tools.stage.mark import FIRST_NEW_OID, Mark, holds_mark, read_mark, write_mark
from perdure.tools.stage.status import class_of

__all__ = ["EXTENSION_KEY", "Applied", "apply"]

log = logging.getLogger("perdure.tools.stage")

EXTENSION_KEY: Final = "perdure.stage"
"""Under which a transaction says in its extension which stage it came from."""

_ATTEMPTS: Final = 5
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a stage did, in the transaction `tid`.

    `resolved` are the oids of objects that others had changed since the snapshot, where
    both changes were merged. `new_oids` maps oids of the stage to those of the database.
    """

    tid: bytes
    changed: int
    removed: int
    resolved: tuple[bytes, ...] = ()
    new_oids: Mapping[bytes, bytes] = field(default_factory=dict)


def apply(
    changes: Any,
    database: Database,
    *,
    user: str = "",
    note: str = "",
    progress: Progress | None = None,
) -> Applied:
    """Commit the staged `changes` to `database` as one transaction; return what it did.

    `changes` is the storage, open for writing, since it takes note that it was applied.
    `user` and `note` are what the transaction says of itself; by default its note
    names the changes. Others may go on committing. `progress` counts objects.

    Raises `StagedConflictsError` where objects were changed in both, and their classes
    cannot merge that; `AlreadyAppliedError`; `WrongDatabaseError`; `StagingError`;
    `ReadOnlyError`; and `Unsupported` where there are blobs and the database keeps none.
    Then nothing is applied.
    """
    for storage in (changes, database.storage):
        if storage.isReadOnly():
            raise ReadOnlyError(f"{storage.getName()} is open for reading only; applying writes it")
    with _one_at_a_time:
        mark = read_mark(changes)
        _check(mark, changes, database.storage)
        note = note or f"apply {changes.getName()}, staged as of before {tid_repr(mark.before)}"
        applied = _Applying(mark, changes, database, user, note, progress).run()
        _take_note(changes, mark, database.getName(), applied.tid)
    return applied


def _check(mark: Mark, changes: Any, production: Any) -> None:
    name = changes.getName()
    if mark.applied is not None:
        raise AlreadyAppliedError(name, mark.applied_to, mark.applied)
    if holds_mark(production) and read_mark(production).id == mark.id:
        raise WrongDatabaseError(name, production.getName(), "it is the stage itself")
    check_database(mark, changes, production)
    tid = _applied_as(mark, production)
    if tid is not None:
        _take_note(changes, mark, production.getName(), tid)
        raise AlreadyAppliedError(name, production.getName(), tid)


def _applied_as(mark: Mark, production: Any) -> bytes | None:
    """Return the transaction that applied this stage, None if there is none."""
    name = mark.id.encode()
    for each in production.iterator(mark.before):
        # Nothing is unpickled for it: nobody else's extension has this name.
        if name in each.extension_bytes:
            tid: bytes = each.tid
            return tid
    return None


def _take_note(changes: Any, mark: Mark, name: str, tid: bytes) -> None:
    note = f"applied to {name} as {tid_repr(tid)}"
    try:
        write_mark(changes, replace(mark, applied=tid, applied_to=name), note)
    except (POSError, OSError) as error:
        # The database knows as well; what is done there must not look like a failure.
        log.warning("%s was %s, but cannot take note of it: %s", changes.getName(), note, error)


class _Applying:
    """One call of `apply`: attempts at a commit, until one is not overtaken by others."""

    def __init__(
        self,
        mark: Mark,
        changes: Any,
        database: Database,
        user: str,
        note: str,
        progress: Progress | None,
    ) -> None:
        self._mark = mark
        self._changes = changes
        self._name = database.getName()
        self._production = database.storage
        self._instance = database.new_snapshot(None)
        self._user, self._note = user, note
        self._progress = progress
        self._new_oids: dict[bytes, bytes] = {}

    def run(self) -> Applied:
        """Commit; raises what `apply` does."""
        try:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return self._attempt()
                except ConflictError as error:
                    # Somebody committed since the stores: they say now what cannot be merged.
                    log.info("%s: overtaken, applying again: %s", self._name, error)
            return self._attempt()
        except ConflictError as error:
            oid = error.oid or ZERO
            conflict = StagedConflict(
                oid, error.class_name or "an object", "is changed all the time"
            )
            raise self._refused([conflict]) from error
        finally:
            self._instance.release()

    def _attempt(self) -> Applied:
        metadata = TransactionMetaData(self._user, self._note, self._extension())
        self._instance.tpc_begin(metadata)
        try:
            changed, removed, contested = self._store_all(metadata)
            voted = self._instance.tpc_vote(metadata)
            tid: bytes = self._instance.tpc_finish(metadata)
        except BaseException:
            self._instance.tpc_abort(metadata)
            raise
        resolved = tuple(sorted({*contested, *(voted or ())}))
        return Applied(tid, changed, removed, resolved, dict(self._new_oids))

    def _extension(self) -> dict[str, Any]:
        told = {"id": self._mark.id, "snapshot": tid_repr(self._mark.before)}
        return {EXTENSION_KEY: told}

    def _store_all(self, metadata: HasMetaData) -> tuple[int, int, list[bytes]]:
        """Store each object; return how many were changed and removed, and the merged ones."""
        oids = changed_oids(self._changes)
        self._hand_out_oids(oids)
        conflicts: list[StagedConflict] = []
        contested: list[bytes] = []
        changed = removed = 0
        for done, record in enumerate(
            changed_records(self._changes, self._production, self._mark), 1
        ):
            reason = self._store_unless(record, metadata)
            if reason:
                conflicts.append(StagedConflict(record.oid, class_of(record), reason))
            elif record.base is not None and record.base.next_tid is not None:
                contested.append(record.oid)
            removed += record.data is None
            changed += record.data is not None and not record.is_new
            if self._progress is not None:
                self._progress(done, max(done, len(oids)))
        if conflicts:
            raise self._refused(conflicts)
        return changed, removed, contested

    def _hand_out_oids(self, oids: set[bytes]) -> None:
        """Give each new object its oid in the database, before anything refers to it."""
        for oid in sorted(each for each in oids - self._new_oids.keys() if each >= FIRST_NEW_OID):
            record = changed_record(self._changes, self._production, self._mark, oid)
            if record is not None and record.is_new:
                self._new_oids[oid] = self._instance.new_oid()

    def _store_unless(self, record: ChangedRecord, metadata: HasMetaData) -> str:
        """Store one object; return why it cannot be, or ""."""
        if record.base is None and not record.is_new:
            return "is not there as it was in the snapshot: it was deleted, or packed away"
        try:
            self._store(record, metadata)
        except ConflictError:
            since = None if record.base is None else record.base.next_tid
            by = "meanwhile" if since is None else f"by transaction {tid_repr(since)}"
            return f"was changed {by}"
        return ""

    def _store(self, record: ChangedRecord, metadata: HasMetaData) -> None:
        oid = self._new_oids.get(record.oid, record.oid)
        serial = ZERO if record.base is None else record.base.tid
        if record.data is None:
            if not capabilities_of(self._production).external_gc:
                raise Unsupported(
                    f"{self._name} cannot delete objects, as the stage did with {oid_repr(oid)}"
                )
            self._instance.deleteObject(oid, serial, metadata)
            return
        data = record.data
        if self._new_oids:
            data = self._with_new_oids(record.oid, data)
        blob = self._copied_blob(record)
        if blob is None:
            self._instance.store(oid, serial, data, "", metadata)
        else:
            try:
                self._instance.storeBlob(oid, serial, data, str(blob), "", metadata)
            except BaseException:
                blob.unlink(missing_ok=True)
                raise

    def _with_new_oids(self, oid: bytes, data: bytes) -> bytes:
        try:
            return with_other_oids(data, lambda old: self._new_oids.get(old, old))
        except StateLoadError as error:
            raise StateLoadError(oid, None, error.reason) from error

    def _copied_blob(self, record: ChangedRecord) -> Path | None:
        """Return a copy of an object's blob that may be moved; None if it has none."""
        if record.data is None or not is_blob(record.data):
            return None
        if not capabilities_of(self._changes).blobs:
            return None
        if not capabilities_of(self._production).blobs:
            raise Unsupported(
                f"{self._name} does not keep blobs, and {oid_repr(record.oid)} on the stage is "
                "one; open it with its blob directory"
            )
        copy = unused_path(self._instance.temporaryDirectory(), "staged-", "")
        copy_into(FileOperations(), Path(self._changes.loadBlob(record.oid, record.tid)), copy)
        return Path(copy)

    def _refused(self, conflicts: Sequence[StagedConflict]) -> StagedConflictsError:
        return StagedConflictsError(self._changes.getName(), self._name, conflicts)
