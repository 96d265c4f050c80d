"""Two-phase commit in one call, and what a storage shows from outside.

`commit` is how every suite writes: it aborts when anything is raised, so that a
test that expects an error leaves the storage free for the next transaction.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from perdure.capabilities import capabilities_of
from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import (
    BatchStorage,
    BindingStorage,
    ExternalGCStorage,
    HasMetaData,
    IterableStorage,
    MeasuredStorage,
    ReadVerifyingStorage,
    RecordIterableStorage,
    RestoreableStorage,
    Revision,
    TransactionMetaData,
    UndoableStorage,
)

__all__ = [
    "AnyStorage",
    "Outcome",
    "commit",
    "contents",
    "current",
    "revisions",
    "serial_of",
    "transactions",
    "undo",
    "undo_id",
    "write",
]


class AnyStorage(
    UndoableStorage,
    RestoreableStorage,
    RecordIterableStorage,
    ExternalGCStorage,
    ReadVerifyingStorage,
    IterableStorage,
    MeasuredStorage,
    BindingStorage,
    BatchStorage,
    Protocol,
):
    """Every call there is; a suite makes those of its capability."""


@dataclass(frozen=True)
class Outcome:
    """What a commit came to: its tid, and the oids of conflicts that were resolved."""

    tid: bytes
    resolved: frozenset[bytes]


def commit(
    storage: AnyStorage,
    work: Callable[[TransactionMetaData], object],
    metadata: TransactionMetaData | None = None,
) -> Outcome:
    """Run `work` between `tpc_begin` and `tpc_vote`, then finish; abort on any error."""
    metadata = TransactionMetaData() if metadata is None else metadata
    storage.tpc_begin(metadata)
    try:
        work(metadata)
        resolved = frozenset(storage.tpc_vote(metadata) or ())
        return Outcome(storage.tpc_finish(metadata), resolved)
    except BaseException:
        storage.tpc_abort(metadata)
        raise


def write(
    storage: AnyStorage,
    records: Mapping[bytes, bytes],
    serials: Mapping[bytes, bytes] | None = None,
    metadata: TransactionMetaData | None = None,
) -> Outcome:
    """Commit these records by oid, each made from its serial, by default the current one."""
    read = {oid: serial_of(storage, oid) for oid in records} | dict(serials or {})

    def work(transaction: HasMetaData) -> None:
        for oid, data in records.items():
            storage.store(oid, read[oid], data, "", transaction)

    return commit(storage, work, metadata)


def undo_id(storage: AnyStorage) -> bytes:
    """Return what `undo` calls the newest transaction."""
    newest: bytes = storage.undoLog(0, 1)[0]["id"]
    return newest


def undo(storage: AnyStorage, *ids: bytes, metadata: TransactionMetaData | None = None) -> Outcome:
    """Undo these transactions, in this order, in one that is new."""

    def work(transaction: HasMetaData) -> None:
        for transaction_id in ids:
            storage.undo(transaction_id, transaction)

    return commit(storage, work, metadata)


def current(storage: AnyStorage, oid: bytes) -> Revision | None:
    """Return the current revision of an object, None if there is none."""
    try:
        revision = storage.loadBefore(oid, MAX_TID)
    except KeyError:
        return None
    return None if revision is None else Revision(*revision)


def serial_of(storage: AnyStorage, oid: bytes) -> bytes:
    """Return the tid of the current revision, `ZERO` for an object that is new."""
    revision = current(storage, oid)
    return ZERO if revision is None else revision.tid


def revisions(storage: AnyStorage, oid: bytes) -> list[Revision]:
    """Return all revisions that `loadBefore` can find from the newest down, newest first."""
    found: list[Revision] = []
    bound = MAX_TID
    while True:
        try:
            revision = storage.loadBefore(oid, bound)
        except KeyError:
            return found
        if revision is None:
            return found
        found.append(Revision(*revision))
        bound = found[-1].tid


def transactions(
    storage: AnyStorage, start: bytes | None = None, stop: bytes | None = None
) -> list[tuple[Any, ...]]:
    """Return what an iteration yields, as plain tuples that compare."""
    return [
        (
            transaction.tid,
            transaction.status,
            transaction.user,
            transaction.description,
            transaction.extension,
            [(r.oid, r.tid, r.data, r.data_txn) for r in transaction],
        )
        for transaction in storage.iterator(start, stop)
    ]


def contents(storage: AnyStorage, oids: Iterable[bytes]) -> list[Any]:
    """Return all that can be seen of these objects, to compare before with after."""
    seen: list[Any] = [storage.lastTransaction()]
    for oid in oids:
        try:
            history = [(entry["tid"], entry["size"]) for entry in storage.history(oid, 1000)]
        except KeyError:
            history = []
        seen.append((oid, revisions(storage, oid), history))
    if capabilities_of(storage).iteration:
        seen.append(transactions(storage))
    return seen
