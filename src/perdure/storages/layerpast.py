"""The past of a transforming layer: transactions, history and undo log, turned back."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from perdure.ids import ZERO
from perdure.interfaces import StoredRecord, StoredTransaction
from perdure.records.transforms import RecordTransform
from perdure.storages import undolog
from perdure.storages.iterated import IteratedTransaction
from perdure.storages.sealedmetadata import SealedMetadata

__all__ = ["LayerPast"]


class LayerPast:
    """What `base` tells of the past, as it was before `transform` and `metadata` sealed it."""

    def __init__(
        self, base: Any, transform: RecordTransform, metadata: SealedMetadata | None
    ) -> None:
        self._base = base
        self._transform = transform
        self._metadata = metadata

    def transactions(self, start: bytes | None, stop: bytes | None) -> Iterator[StoredTransaction]:
        """Yield those from the tid `start` to `stop`, their records turned back."""
        for transaction in self._base.iterator(start, stop):
            told = transaction.user, transaction.description, transaction.extension_bytes
            if self._metadata is not None:
                told = self._metadata.opened(transaction.tid, *told)
            records = partial(self._records_of, transaction)
            yield IteratedTransaction(transaction.tid, transaction.status, *told, records)

    def _records_of(self, transaction: StoredTransaction) -> Iterator[StoredRecord]:
        for record in transaction:
            oid, tid, stored, source = record.oid, record.tid, record.data, record.data_txn
            data = None
            if stored is not None:
                data = self._transform.untransform(oid, tid, stored)
                facts = self._transform.facts(stored)
                source = source if facts.source == ZERO else facts.source
            yield StoredRecord(oid, tid, data, source)

    def history(self, oid: bytes, size: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest `size` revisions of an object, as `history` of a storage does."""
        entries: Sequence[Mapping[str, Any]] = self._base.history(oid, size)
        if self._metadata is None:
            return entries
        return [self._metadata.described(entry, entry["tid"]) for entry in entries]

    def undo_log(
        self, first: int, last: int, chosen: undolog.Filter | None
    ) -> Sequence[Mapping[str, Any]]:
        """Return what can be undone, of it what is `chosen`, as `undoLog` of a storage does."""
        if self._metadata is not None:
            return undolog.choose(self._metadata.undo_log(self._base), first, last, chosen)
        log: Sequence[Mapping[str, Any]] = self._base.undoLog(first, last, chosen)
        return log
