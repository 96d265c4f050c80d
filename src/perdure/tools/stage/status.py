"""What staged changes would change: by class, by object, line by line. Imports no class."""

import difflib
import json
from dataclasses import dataclass
from itertools import islice
from os.path import getsize
from typing import Any, Literal

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, StateLoadError
from perdure.records import class_name, plain_record
from perdure.records.exporting import is_blob
from perdure.tools.census import DAMAGED
from perdure.tools.progress import Progress
from perdure.tools.stage.beginning import check_database
from perdure.tools.stage.changed import (
    ChangedRecord,
    changed_oids,
    changed_record,
    changed_records,
    transaction_count,
)
from perdure.tools.stage.mark import Mark, read_mark

__all__ = ["StagedClass", "StagedObject", "Status", "class_of", "difference", "status"]

Kind = Literal["changed", "new", "removed"]

_TELL_EVERY = 100


@dataclass(frozen=True, slots=True)
class StagedObject:
    """One object that a stage changed.

    `tid` is the transaction of the stage that wrote it last, `base_tid` what it
    was made from, None for a new object. `changed_since` is the transaction of the
    database that changed it after the snapshot, or None: where there is one, applying needs
    a resolution of the conflict. `is_lost` says that what it was made from is not there
    any more: it was deleted, or packed away.
    """

    oid: bytes
    class_name: str
    kind: Kind
    tid: bytes
    base_tid: bytes | None
    changed_since: bytes | None
    is_lost: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StagedClass:
    """How many objects of one class a stage changed, made and removed."""

    class_name: str
    changed: int
    new: int
    removed: int


@dataclass(frozen=True, slots=True)
class Status:
    """What a stage stands on, and what it changed; `transactions` counts its commits."""

    mark: Mark
    transactions: int
    objects: tuple[StagedObject, ...]

    @property
    def classes(self) -> tuple[StagedClass, ...]:
        """What was changed, by class, in the order of their names."""
        counts: dict[str, dict[str, int]] = {}
        for each in self.objects:
            kinds = counts.setdefault(each.class_name, {"changed": 0, "new": 0, "removed": 0})
            kinds[each.kind] += 1
        return tuple(StagedClass(name, **counts[name]) for name in sorted(counts))

    @property
    def contested(self) -> tuple[StagedObject, ...]:
        """Those that were changed, or lost, in the database since."""
        return tuple(each for each in self.objects if each.changed_since or each.is_lost)


def status(changes: Any, production: Any, progress: Progress | None = None) -> Status:
    """Return what the storage `changes` has changed of `production`, over which it was staged.

    Both are only read. `progress` counts objects. Raises `StagingError` where
    there are no staged changes, and `WrongDatabaseError`.
    """
    mark = read_mark(changes)
    check_database(mark, changes, production)
    total = len(changed_oids(changes)) if progress is not None else 0
    objects = []
    for record in changed_records(changes, production, mark):
        objects.append(_staged_object(record))
        if progress is not None and len(objects) % _TELL_EVERY == 0:
            progress(len(objects), total)
    if progress is not None:
        progress(total, total)
    return Status(mark, transaction_count(changes), tuple(objects))


def class_of(record: ChangedRecord) -> str:
    """Return the name of an object's class, as its record has it."""
    data = record.data or (b"" if record.base is None else record.base.data)
    try:
        return class_name(data)
    except StateLoadError:
        return DAMAGED


def _staged_object(record: ChangedRecord) -> StagedObject:
    base = record.base
    return StagedObject(
        oid=record.oid,
        class_name=class_of(record),
        kind="new" if record.is_new else "removed" if record.data is None else "changed",
        tid=record.tid,
        base_tid=None if base is None else base.tid,
        changed_since=None if base is None else base.next_tid,
        is_lost=base is None and not record.is_new,
        size_bytes=len(record.data or b""),
    )


def difference(changes: Any, production: Any, oid: bytes) -> list[str]:
    """Return how the object `oid` differs from what it was in the snapshot, as lines.

    They are those of `perdure.tools.difference`; of a new object there are only
    lines with "+". A blob has its size in bytes as a line. Raises `POSKeyError` if
    the stage did not write the object.
    """
    mark = read_mark(changes)
    changes.history(oid)  # raises where the stage did not write it
    record = changed_record(changes, production, mark, oid)
    if record is None:
        return []
    base = record.base
    old = [] if base is None else _lines(production, oid, base.tid, base.data)
    new = [] if record.data is None else _lines(changes, oid, record.tid, record.data)
    # Behind the names of the files, which have none.
    return list(islice(difflib.unified_diff(old, new, lineterm="", n=3), 2, None))


def _lines(storage: Any, oid: bytes, tid: bytes, data: bytes) -> list[str]:
    try:
        shown = plain_record(data)
    except StateLoadError as error:
        return [f"({error})"]
    lines = json.dumps(shown, indent=2, ensure_ascii=False).splitlines()
    if is_blob(data) and capabilities_of(storage).blobs:
        try:
            lines.append(f"blob of {getsize(storage.loadBlob(oid, tid)):,} bytes")
        except POSKeyError:
            lines.append("blob that is missing")
    return lines
