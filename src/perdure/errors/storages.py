"""Errors of every kind of storage: its transactions, its layers, its state."""

from perdure.errors.root import POSError, tid_and_time
from perdure.ids import tid_repr


class StorageError(POSError):
    """A storage refuses or fails."""


class StorageTransactionError(StorageError):
    """A two-phase call came with the wrong transaction or at the wrong time."""


class TransactionTooLargeError(StorageTransactionError):
    """A transaction exceeds what the storage can take in one."""


class StorageSystemError(StorageError):
    """A storage's own machinery failed: the disk, the network, a lock."""


class MountedStorageError(StorageError):
    """A mounted storage cannot be reached."""


class StorageClosedError(StorageError):
    """A storage was used after it was closed, or after a fault that closed it for good."""


class BaseChangedError(StorageError):
    """The storage below a layer changed, which the layer relies on not to happen.

    `base` names the storage, `found` is its newest tid, and `expected` the last that it
    may have: that which it had when the layer was made, or one before the first change.
    """

    def __init__(self, base: str, expected: bytes, found: bytes) -> None:
        super().__init__(base, expected, found)
        self.base = base
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"the base {self.base} changed below its layer: found transaction "
            f"{tid_repr(self.found)}, expected none after {tid_repr(self.expected)}; "
            "put the layer on a BeforeStorage over the base, which stays as it is"
        )


class SnapshotError(StorageError):
    """A moment of the past cannot be shown.

    `storage` names the storage, `before` is the tid that bounds the moment,
    `reason` says what is in the way.
    """

    def __init__(self, storage: str, before: bytes, reason: str) -> None:
        super().__init__(storage, before, reason)
        self.storage = storage
        self.before = before
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.storage} cannot be shown as before {tid_and_time(self.before)}: {self.reason}"
        )


class PackCancelledError(StorageError):
    """A pack was told to end before it was done; the database is as it was."""


class ReadOnlyError(StorageError):
    """A write to a storage, or through a connection, that only reads."""


class StorageStopIteration(IndexError, StopIteration):
    """The end of an iteration over a storage (ZODB's bases)."""
