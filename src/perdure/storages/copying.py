"""Copying transactions from one storage into another, with their tids.

Each transaction of the source becomes one of the target, so whatever
interrupts a copy leaves a target that is whole up to some transaction, and the
next call goes on from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from perdure.errors import StorageError
from perdure.ids import ZERO, after, tid_repr
from perdure.interfaces import (
    IterableStorage,
    RestoreableStorage,
    StoredTransaction,
    TransactionMetaData,
)

__all__ = ["CopyProgress", "copy_transactions"]


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy has come: what this call copied, and the tid copied last."""

    transactions: int = 0
    records: int = 0
    size_bytes: int = 0
    tid: bytes = ZERO


def copy_transactions(
    source: IterableStorage,
    target: RestoreableStorage,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyProgress:
    """Copy what `target` does not have yet of `source`; return what was copied.

    A target that is not empty must hold the beginning of the source: its last
    transaction is looked up there. `progress` is called after each transaction;
    an error that it raises stops the copy between two of them.

    Raises `StorageError` where the target holds something else.
    """
    last = target.lastTransaction()
    _check_that_it_goes_on(source, target, last)
    done = CopyProgress(tid=last)
    for transaction in source.iterator(None if last == ZERO else after(last)):
        done = _copy(transaction, target, done)
        if progress is not None:
            progress(done)
    return done


def _check_that_it_goes_on(
    source: IterableStorage, target: RestoreableStorage, last: bytes
) -> None:
    if last != ZERO and next(source.iterator(last, last), None) is None:
        raise StorageError(
            f"cannot go on copying into {target.getName()}: its last transaction is "
            f"{tid_repr(last)}, which the source does not have; copy into an empty storage"
        )


def _copy(
    transaction: StoredTransaction, target: RestoreableStorage, done: CopyProgress
) -> CopyProgress:
    records = 0
    size_bytes = 0
    metadata = TransactionMetaData(
        transaction.user, transaction.description, transaction.extension_bytes
    )
    target.tpc_begin(metadata, transaction.tid, transaction.status)
    try:
        for record in transaction:
            target.restore(record.oid, record.tid, record.data, "", record.data_txn, metadata)
            records += 1
            size_bytes += len(record.data or b"")
        target.tpc_vote(metadata)
        target.tpc_finish(metadata)
    except BaseException:
        target.tpc_abort(metadata)
        raise
    return replace(
        done,
        transactions=done.transactions + 1,
        records=done.records + records,
        size_bytes=done.size_bytes + size_bytes,
        tid=transaction.tid,
    )
