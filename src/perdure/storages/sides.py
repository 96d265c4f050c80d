"""The two sides of a seam, one by one: who has a blob, and what an undo brings back from the base.

To the changes an object of the base is gone once its first change is undone; then
what the base has is stored again, as one more change.
"""

from collections.abc import Iterable
from typing import Any

from perdure.blobs import copy_stream, unused_path
from perdure.errors import POSKeyError, Unsupported
from perdure.fileops import FileOperations
from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import HasMetaData, PlainRevision
from perdure.records.exporting import is_blob
from perdure.storages.seam import Seam

__all__ = ["Sides"]


class Sides:
    """`base` and `changes`; `below` and `above` say whether they have blobs."""

    def __init__(self, base: Any, changes: Any, seam: Seam, *, below: bool, above: bool) -> None:
        self._base = base
        self._changes = changes
        self._seam = seam
        self._below = below
        self._above = above

    def with_blob(self, oid: bytes, serial: bytes) -> Any:
        """Return the storage that has the blob of a revision; `POSKeyError` if none can."""
        below = serial <= self._seam.base_tid
        if not (self._below if below else self._above):
            raise POSKeyError(oid)
        return self._base if below else self._changes

    def check_blobs_above(self) -> None:
        """Raise `Unsupported` if the changes cannot take a blob."""
        if not self._above:
            raise Unsupported(
                f"{self._changes.getName()}, which holds the changes, does not keep blobs; "
                "give it a blob directory"
            )

    def bring_back(self, oids: Iterable[bytes], undone: bytes, transaction: HasMetaData) -> None:
        """Store what the base has of those objects that the transaction `undone` changed first."""
        for oid in oids:
            if self._seam.first_in_changes(oid) == undone and (revision := self._in_base(oid)):
                serial = self._seam.newest_in_changes(oid) or ZERO
                self._store_again(oid, serial, revision, transaction)

    def _in_base(self, oid: bytes) -> PlainRevision | None:
        try:
            return self._seam.load_from_base(oid, MAX_TID)
        except POSKeyError:
            return None

    def _store_again(
        self, oid: bytes, serial: bytes, revision: PlainRevision, transaction: HasMetaData
    ) -> None:
        data = revision[0]
        if is_blob(data) and self._below and self._above:
            second = unused_path(self._changes.temporaryDirectory(), "again-", "")
            with self._base.openCommittedBlobFile(oid, revision[1]) as blob:
                copy_stream(FileOperations(), blob, second)
            self._changes.storeBlob(oid, serial, data, str(second), "", transaction)
        else:
            self._changes.store(oid, serial, data, "", transaction)
