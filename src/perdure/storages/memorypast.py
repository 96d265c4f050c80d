"""The past of a storage in memory, described: revisions, transactions, what can be undone."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from perdure.clock import time_of
from perdure.errors import POSKeyError
from perdure.interfaces import StoredRecord
from perdure.storages import undolog
from perdure.storages.iterated import IteratedTransaction
from perdure.storages.revisions import MemoryRevisions, MemoryTransaction

__all__ = ["forward", "recent", "revisions_of", "undoable"]


def revisions_of(history: MemoryRevisions, oid: bytes) -> Iterator[dict[str, Any]]:
    """Yield the revisions of an object, newest first; `POSKeyError` if there is none."""
    if oid not in history.by_oid:
        raise POSKeyError(oid)
    for transaction, record in history.history_of(oid):
        yield {
            **undolog.items_of(transaction.extension),
            "time": time_of(record.tid),
            "user_name": transaction.user,
            "description": transaction.description,
            "tid": record.tid,
            "size": len(record.data or b""),
        }


def undoable(history: MemoryRevisions) -> Iterator[dict[str, Any]]:
    """Yield the transactions that can be undone, newest first."""
    for transaction in reversed(history.transactions):
        if transaction.status == "p":
            return
        yield undolog.describe(
            transaction.tid,
            transaction.user,
            transaction.description,
            undolog.items_of(transaction.extension),
            transaction.size_bytes,
        )


def forward(
    history: MemoryRevisions, start: bytes | None, stop: bytes | None
) -> Iterator[IteratedTransaction]:
    """Yield the transactions from `start` to `stop`, oldest first."""
    for transaction in history.between(start, stop):
        yield IteratedTransaction(
            transaction.tid,
            transaction.status,
            transaction.user,
            transaction.description,
            transaction.extension,
            partial(_stored_records, transaction),
        )


def recent(history: MemoryRevisions, count: int) -> list[tuple[bytes, list[bytes]]]:
    """Return (tid, oids) of the last `count` transactions, oldest first."""
    found = history.transactions[-count:] if count > 0 else []
    return [(each.tid, [record.oid for record in each.records]) for each in found]


def _stored_records(transaction: MemoryTransaction) -> Iterator[StoredRecord]:
    for record in transaction.records:
        source_tid = None if record.source is None else record.source.tid
        yield StoredRecord(record.oid, record.tid, record.content, source_tid)
