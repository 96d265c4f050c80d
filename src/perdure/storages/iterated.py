"""A stored transaction as an iteration yields it."""

from collections.abc import Callable, Iterator

from perdure.interfaces import StoredRecord, TransactionMetaData

__all__ = ["IteratedTransaction"]


class IteratedTransaction(TransactionMetaData):
    """Metadata, and the records when iterated: as often as one likes.

    It is metadata in full, so that it can begin a transaction in another
    storage. `status` is " ", or "p" for a packed one.
    """

    def __init__(
        self,
        tid: bytes,
        status: str,
        user: bytes,
        description: bytes,
        extension: bytes,
        records: Callable[[], Iterator[StoredRecord]],
    ) -> None:
        super().__init__(user, description, extension)
        self.tid = tid
        self.status = status
        self._records = records

    def __iter__(self) -> Iterator[StoredRecord]:
        return self._records()
