"""Is a storage a copy of another one, as far as it goes, so that it can be continued?"""

from typing import Any

from perdure.errors import ReplicaDivergedError
from perdure.ids import ZERO
from perdure.interfaces import StoredTransaction

__all__ = ["check_kinship"]


def check_kinship(primary: Any, replica: Any) -> None:
    """Raise `ReplicaDivergedError` unless `replica` holds the beginning of `primary`, or nothing.

    Its last transaction is looked up in the primary. It may be gone there, packed
    away; then the one that precedes it in the primary must be in the replica.
    """
    last = replica.lastTransaction()
    if last == ZERO:
        return
    if last > primary.lastTransaction():
        raise _diverged(primary, replica, last, "it goes on to transaction")
    ours = next(primary.iterator(last, last), None)
    if ours is None:
        ours = _last_before(primary, last)
        if ours is None or ours.status != "p":
            raise _diverged(primary, replica, last, "only it has transaction")
    theirs = next(replica.iterator(ours.tid, ours.tid), None)
    if theirs is None or not _fits(ours, theirs):
        raise _diverged(primary, replica, ours.tid, "they do not have the same in transaction")


def _last_before(primary: Any, tid: bytes) -> StoredTransaction | None:
    found = None
    for transaction in primary.iterator(None, tid):
        found = transaction
    return found


def _fits(ours: StoredTransaction, theirs: StoredTransaction) -> bool:
    """Return whether both are one transaction, from which packing may have taken records."""
    records, others = ({r.oid: r.data for r in t} for t in (ours, theirs))
    packed = ours.status == "p" or theirs.status == "p"
    if not packed and records.keys() != others.keys():
        return False
    return all(records[oid] == others[oid] for oid in records.keys() & others.keys())


def _diverged(primary: Any, replica: Any, tid: bytes, found: str) -> ReplicaDivergedError:
    return ReplicaDivergedError(replica.getName(), primary.getName(), tid, found)
