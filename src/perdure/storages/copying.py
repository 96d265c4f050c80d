"""Copying transactions from one storage into another, with their tids.

Each transaction of the source becomes one of the target, so whatever
interrupts a copy leaves a target that is whole up to some transaction, and the
next call goes on from there. Blobs are copied with their records, as files.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any

from perdure.blobs import copy_stream, unused_path
from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, StorageError, Unsupported
from perdure.fileops import FileOperations
from perdure.ids import ZERO, after, oid_repr, tid_repr
from perdure.interfaces import (
    HasMetaData,
    IterableStorage,
    RestoreableStorage,
    StoredRecord,
    StoredTransaction,
    TransactionMetaData,
)
from perdure.records.exporting import is_blob

__all__ = ["CopyProgress", "copy_later", "copy_transactions"]

log = logging.getLogger("perdure.storages")

_Restore = Callable[[StoredRecord, HasMetaData], None]


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
    *,
    without_blobs: bool = True,
) -> CopyProgress:
    """Copy what `target` does not have yet of `source`; return what was copied.

    A target that is not empty must hold the beginning of the source: its last
    transaction is looked up there. `progress` is called after each transaction;
    an error that it raises stops the copy between two of them. A blob that is not to be found
    is copied as a record without one, with a warning; so are all of a source that keeps
    none, unless `without_blobs` is false: that is refused then, in front of the first.

    Raises `StorageError` where the target holds something else, and
    `Unsupported` at the first blob if the target keeps none, or the source does not.
    """
    _check_that_it_goes_on(source, target, target.lastTransaction())
    return copy_later(source, target, progress, without_blobs=without_blobs)


def copy_later(
    source: IterableStorage,
    target: RestoreableStorage,
    progress: Callable[[CopyProgress], object] | None = None,
    *,
    without_blobs: bool = True,
) -> CopyProgress:
    """Copy what is later than the last transaction of `target`; whoever calls knows that it fits.

    The rest is as in `copy_transactions`.
    """
    restore = _restore(source, target, without_blobs)
    last = target.lastTransaction()
    done = CopyProgress(tid=last)
    for transaction in source.iterator(None if last == ZERO else after(last)):
        done = _copy(transaction, target, restore, done)
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


def _restore(source: Any, target: Any, without_blobs: bool) -> _Restore:
    """Return what restores one record of `source` in `target`, with its blob if it has one."""

    def restore(record: StoredRecord, transaction: HasMetaData) -> None:
        target.restore(record.oid, record.tid, record.data, "", record.data_txn, transaction)

    def restore_blob(record: StoredRecord, transaction: HasMetaData) -> None:
        blob = _blob_of(source, record, without_blobs)
        if blob is None:
            restore(record, transaction)
            return
        if not blobs_fit:
            blob.close()
            raise Unsupported(
                f"{target.getName()} does not keep blobs, and oid {oid_repr(record.oid)} of "
                f"{source.getName()} is one; copy into a storage with a blob directory"
            )
        with blob:
            copy = unused_path(target.temporaryDirectory(), "copy-", "")
            copy_stream(FileOperations(), blob, copy)
        target.restoreBlob(
            record.oid, record.tid, record.data, str(copy), record.data_txn, transaction
        )

    blobs_fit = capabilities_of(target).blob_restore
    # Wrappers that others wrote declare less than they have. Whoever keeps blobs asks for them.
    may_have = blobs_fit or not without_blobs or capabilities_of(source).blobs
    return restore_blob if may_have else restore


def _blob_of(source: Any, record: StoredRecord, without_blobs: bool) -> IO[bytes] | None:
    if record.data is None or not is_blob(record.data):
        return None
    try:
        blob: IO[bytes] = source.openCommittedBlobFile(record.oid, record.tid)
    except (POSKeyError, Unsupported, AttributeError) as error:
        # The last: what has transactions to iterate over need not have this method.
        if not without_blobs and not isinstance(error, POSKeyError):
            raise Unsupported(
                f"{source.getName()} was opened without its blobs, and oid {oid_repr(record.oid)} "
                f"is one; open it with its blob_dir, or copy without blobs"
            ) from error
        text = "oid %s of transaction %s is copied without its blob: %s"
        log.warning(text, oid_repr(record.oid), tid_repr(record.tid), error)
        return None
    return blob


def _copy(
    transaction: StoredTransaction,
    target: RestoreableStorage,
    restore: _Restore,
    done: CopyProgress,
) -> CopyProgress:
    records = 0
    size_bytes = 0
    metadata = TransactionMetaData(
        transaction.user, transaction.description, transaction.extension_bytes
    )
    target.tpc_begin(metadata, transaction.tid, transaction.status)
    try:
        for record in transaction:
            restore(record, metadata)
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
