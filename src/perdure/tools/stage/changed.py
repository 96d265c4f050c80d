"""The objects that staged changes touch, each beside what it was in the snapshot.

What an object was, is asked of the database itself, as of before the snapshot's
bound: a pack since then takes away only what was changed since then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from filecmp import cmp
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, Unsupported
from perdure.ids import MAX_TID
from perdure.interfaces import Revision
from perdure.records.exporting import is_blob
from perdure.tools.stage.mark import FIRST_NEW_OID, MARK_OID, Mark

__all__ = [
    "ChangedRecord",
    "changed_oids",
    "changed_record",
    "changed_records",
    "transaction_count",
]


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """One object as the changes leave it, and as the snapshot had it.

    `tid` wrote `data`, which is None where the stage deleted it. `base` is None where
    it is not known what it was: because it `is_new`, or because that is not in the
    database any more. `base.next_tid` is what changed it there since, or None.
    """

    oid: bytes
    tid: bytes
    data: bytes | None
    base: Revision | None

    @property
    def is_new(self) -> bool:
        """Whether it was made on the stage."""
        return self.base is None and self.oid >= FIRST_NEW_OID


def changed_oids(changes: Any) -> set[bytes]:
    """Return the oids of the objects that `changes` wrote."""
    if not capabilities_of(changes).iteration:
        raise Unsupported(f"{changes.getName()} cannot list its transactions")
    return set().union(*_written(changes))


def transaction_count(changes: Any) -> int:
    """Return how many transactions were committed on the stage."""
    return sum(1 for _ in _written(changes))


def _written(changes: Any) -> Iterator[set[bytes]]:
    """Yield the oids that each transaction wrote, but for those that wrote the mark."""
    for transaction in changes.iterator():
        oids = {record.oid for record in transaction}
        if MARK_OID not in oids:
            yield oids


def changed_records(changes: Any, production: Any, mark: Mark) -> Iterator[ChangedRecord]:
    """Yield each object that is not in `changes` what it was in the snapshot, by oid."""
    for oid in sorted(changed_oids(changes)):
        record = changed_record(changes, production, mark, oid)
        if record is not None:
            yield record


def changed_record(changes: Any, production: Any, mark: Mark, oid: bytes) -> ChangedRecord | None:
    """Return an object that `changes` wrote; None if it is what it was in the snapshot."""
    revision = _revision(changes, oid, MAX_TID)
    base = _revision(production, oid, mark.before)
    if revision is None:
        # Made on the stage and gone again, or gone from the stage.
        return None if base is None else ChangedRecord(oid, MAX_TID, None, base)
    if (
        base is not None
        and revision.data == base.data
        and (not is_blob(base.data) or _same_blob(changes, production, oid, revision, base))
    ):
        return None
    return ChangedRecord(oid, revision.tid, revision.data, base)


def _revision(storage: Any, oid: bytes, before: bytes) -> Revision | None:
    try:
        revision = storage.loadBefore(oid, before)
    except POSKeyError:
        return None
    return None if revision is None else Revision(*revision)


def _same_blob(
    changes: Any, production: Any, oid: bytes, revision: Revision, base: Revision
) -> bool:
    if not (capabilities_of(changes).blobs and capabilities_of(production).blobs):
        return False
    try:
        paths = changes.loadBlob(oid, revision.tid), production.loadBlob(oid, base.tid)
    except POSKeyError:
        return False
    return cmp(*paths, shallow=False)
