"""A storage that can be read and not written, over any other.

What is committed below shows at once. What would write raises `ReadOnlyError`
before anything is looked at.
"""

from typing import Any, NoReturn

from zope.interface import alsoProvides

from perdure.capabilities import capabilities_of
from perdure.errors import ReadOnlyError
from perdure.interfaces import (
    INTERFACES,
    BlobStorage,
    HasMetaData,
    IterableStorage,
    RecordIterableStorage,
    SealedBlobStorage,
    Storage,
    UndoableStorage,
    declares,
)
from perdure.storages.asbelow import ReadsAsBelow, RefusesWrites
from perdure.storages.below import sync_of

__all__ = ["ReadOnlyStorage"]


@declares(Storage)
class ReadOnlyStorage(ReadsAsBelow, RefusesWrites):
    """Shows `storage`; declares of its capabilities those that read, and its undo log.

    Closing it closes `storage` too, unless `close_base` is false.
    """

    def __init__(self, storage: Any, *, close_base: bool = True) -> None:
        self.base = storage
        self._close_base = close_base
        below = capabilities_of(storage)
        if below.iteration:
            alsoProvides(self, INTERFACES[IterableStorage])
        if below.record_iteration:
            alsoProvides(self, INTERFACES[RecordIterableStorage])
        if below.blobs:
            alsoProvides(self, INTERFACES[BlobStorage])
        if below.sealed_blobs:
            alsoProvides(self, INTERFACES[SealedBlobStorage])
        if below.undo:
            alsoProvides(self, INTERFACES[UndoableStorage])
        self._undo = below.undo
        self._sync_below = sync_of(storage)

    def close(self) -> None:
        if self._close_base:
            self.base.close()

    def getName(self) -> str:
        return f"ReadOnlyStorage({self.base.getName()})"

    def supportsUndo(self) -> bool:
        return self._undo

    def _refuse(self) -> NoReturn:
        raise ReadOnlyError(f"{self.getName()} only reads; write to the storage below it")

    def undo(self, transaction_id: bytes, transaction: HasMetaData) -> tuple[None, list[bytes]]:
        self._refuse()
