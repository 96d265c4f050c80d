"""Beginning a stage, or going on with it: which moment, of which database, with which changes."""

from dataclasses import replace
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.errors import (
    AlreadyAppliedError,
    POSKeyError,
    SnapshotError,
    StagingError,
    Unsupported,
    WrongDatabaseError,
)
from perdure.ids import ROOT_OID, ZERO, after, tid_repr
from perdure.storages import BeforeStorage, DemoStorage
from perdure.tools.stage.mark import Mark, holds_mark, read_mark, write_mark
from perdure.tools.transactions import transactions

__all__ = ["check_database", "open_stage", "prepare"]

_LANDMARKS: Final = 16


def open_stage(
    production: Any,
    changes: Any,
    at: bytes | None = None,
    *,
    address: str = "",
    close_production: bool = True,
) -> DemoStorage:
    """Return a storage that shows a snapshot of `production`, and writes into `changes` only.

    It is what `prepare` prepared, whose arguments and errors it has. Closing it
    closes `changes`, and `production` too unless `close_production` is false.
    """
    mark = prepare(production, changes, at, address=address)
    snapshot = BeforeStorage(production, mark.before, close_base=close_production)
    return DemoStorage(base=snapshot, changes=changes)


def prepare(production: Any, changes: Any, at: bytes | None = None, *, address: str = "") -> Mark:
    """Mark the storage `changes` as changes over a snapshot of `production`; return the mark.

    The snapshot is as of the tid `at`, that transaction included, by default of
    the newest one. Where `changes` are marked already, the snapshot stays what it
    is. `address` is where `production` can be found again.

    Raises `StagingError` where `changes` hold something else, or are of another
    moment than `at`; `AlreadyAppliedError`; `WrongDatabaseError`; `SnapshotError`
    where there is no such moment, or where packing took it away; and `Unsupported` if
    `production` cannot be iterated.
    """
    if not capabilities_of(production).iteration:
        raise Unsupported(
            f"{production.getName()} cannot list its transactions, by which a stage knows it"
        )
    if holds_mark(changes):
        mark = _continued(production, changes, at, address)
    else:
        mark = _begun(production, changes, at, address)
    return mark


def _continued(production: Any, changes: Any, at: bytes | None, address: str) -> Mark:
    mark, name = read_mark(changes), changes.getName()
    if mark.applied is not None:
        raise AlreadyAppliedError(name, mark.applied_to, mark.applied)
    check_database(mark, changes, production)
    snapshot = BeforeStorage(production, mark.before, close_base=False)
    next(snapshot.iterator())  # a pack is noticed here, rather than amid the work
    if at is not None and _newest(production, at) != mark.last:
        raise StagingError(
            name,
            f"it was begun over the moment before {tid_repr(mark.before)}, and goes on from there; "
            "discard it, or give another name, to stage over another moment",
        )
    if address and address != mark.address:
        mark = replace(mark, address=address)
        write_mark(changes, mark, "the database has moved")
    return mark


def _begun(production: Any, changes: Any, at: bytes | None, address: str) -> Mark:
    if changes.lastTransaction() != ZERO:
        raise StagingError(
            changes.getName(), "it is a database, and holds no staged changes; name a new file"
        )
    newest = production.lastTransaction()
    bound = after(newest if at is None else min(at, newest))
    if newest == ZERO:
        reason = "it has no transactions yet, and there is nothing to stand on"
        raise SnapshotError(production.getName(), bound, reason)
    # Raises where the moment is before the first transaction.
    snapshot = BeforeStorage(production, bound, close_base=False)
    landmarks = [found.tid for found in transactions(snapshot, limit=_LANDMARKS)]
    first = next(snapshot.iterator()).tid
    mark = Mark(
        before=bound,
        last=landmarks[0],
        landmarks=tuple(dict.fromkeys([*landmarks, first])),
        database=production.getName(),
        address=address,
    )
    write_mark(changes, mark, f"staged over {production.getName()}", _root(snapshot))
    return mark


def _root(snapshot: BeforeStorage) -> bytes | None:
    try:
        return snapshot.load(ROOT_OID).data
    except POSKeyError:
        return None  # it was never opened as a database


def check_database(mark: Mark, changes: Any, production: Any) -> None:
    """Raise `WrongDatabaseError` unless the changes marked so were staged over `production`."""
    newest = production.lastTransaction()
    if newest < mark.last:
        reason = f"it ends with {tid_repr(newest)}, and the snapshot with {tid_repr(mark.last)}"
    elif _has(production, mark.last):
        return
    elif not _is_packed_since(mark, production):
        reason = f"it does not have the transaction {tid_repr(mark.last)} of the snapshot"
    elif not any(_has(production, tid) for tid in mark.landmarks):
        reason = "it is another one, or nothing is left of the snapshot since it was packed"
    else:
        return
    raise WrongDatabaseError(changes.getName(), production.getName(), reason)


def _newest(storage: Any, at: bytes) -> bytes | None:
    """Return the tid of the newest transaction as of the tid `at`."""
    return next((found.tid for found in transactions(storage, until=at, limit=1)), None)


def _has(storage: Any, tid: bytes) -> bool:
    return next(storage.iterator(tid, tid), None) is not None


def _is_packed_since(mark: Mark, production: Any) -> bool:
    """Return whether a pack may have taken the last transaction of the snapshot."""
    later = next(production.iterator(mark.last), None)
    return later is not None and later.status == "p"
