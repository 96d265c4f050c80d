"""The error tree: ZODB's names and bases, with Perdure's own errors inside it.

Every error is a `POSError`. It carries its facts as attributes (oid, tids,
class, path, position) and prints where, what was found, what was expected and
what to do next. Retry what is a `transaction.interfaces.TransientError`: the
conflicts. Everything below `StorageError` is the storage's: its bytes, its
locks, its state.
"""

from perdure.errors.conflicts import BTreesConflictError, ConflictError, ReadConflictError
from perdure.errors.files import (
    CorruptDataError,
    FileAccessError,
    FileLockedError,
    FileMissingError,
    FileReplacedError,
    FileStorageError,
    FileStorageFormatError,
    FileStorageQuotaError,
    FileStorageSpaceError,
)
from perdure.errors.layers import (
    DamagedRecordError,
    KeySourceError,
    MisplacedRecordError,
    MissingExtraError,
    ReplicaAwayError,
    ReplicaDivergedError,
    TransformError,
    UnknownDictionaryError,
    UnknownKeyError,
    UnknownMarkerError,
)
from perdure.errors.missing import DanglingReferenceError, MissingBlobError, POSKeyError
from perdure.errors.objects import (
    BlobError,
    ConnectionStateError,
    ExportError,
    InvalidObjectReference,
    OpenBlobError,
    ReadOnlyHistoryError,
    RecordTooLargeError,
    StateLoadError,
    UnpicklableError,
)
from perdure.errors.operating import AddressError, BackupError, PathError
from perdure.errors.root import POSError, dotted_name
from perdure.errors.staging import (
    AlreadyAppliedError,
    StagedConflict,
    StagedConflictsError,
    StagingError,
    WrongDatabaseError,
)
from perdure.errors.storages import (
    BaseChangedError,
    MountedStorageError,
    PackCancelledError,
    ReadOnlyError,
    SnapshotError,
    StorageClosedError,
    StorageError,
    StorageStopIteration,
    StorageSystemError,
    StorageTransactionError,
    TransactionTooLargeError,
)
from perdure.errors.undoing import MultipleUndoErrors, UndoError, Unsupported
from perdure.errors.versions import VersionCommitError, VersionError, VersionLockError

__all__ = [
    "AddressError",
    "AlreadyAppliedError",
    "BTreesConflictError",
    "BackupError",
    "BaseChangedError",
    "BlobError",
    "ConflictError",
    "ConnectionStateError",
    "CorruptDataError",
    "DamagedRecordError",
    "DanglingReferenceError",
    "ExportError",
    "FileAccessError",
    "FileLockedError",
    "FileMissingError",
    "FileReplacedError",
    "FileStorageError",
    "FileStorageFormatError",
    "FileStorageQuotaError",
    "FileStorageSpaceError",
    "InvalidObjectReference",
    "KeySourceError",
    "MisplacedRecordError",
    "MissingBlobError",
    "MissingExtraError",
    "MountedStorageError",
    "MultipleUndoErrors",
    "OpenBlobError",
    "POSError",
    "POSKeyError",
    "PackCancelledError",
    "PathError",
    "ReadConflictError",
    "ReadOnlyError",
    "ReadOnlyHistoryError",
    "RecordTooLargeError",
    "ReplicaAwayError",
    "ReplicaDivergedError",
    "SnapshotError",
    "StagedConflict",
    "StagedConflictsError",
    "StagingError",
    "StateLoadError",
    "StorageClosedError",
    "StorageError",
    "StorageStopIteration",
    "StorageSystemError",
    "StorageTransactionError",
    "TransactionTooLargeError",
    "TransformError",
    "UndoError",
    "UnknownDictionaryError",
    "UnknownKeyError",
    "UnknownMarkerError",
    "UnpicklableError",
    "Unsupported",
    "VersionCommitError",
    "VersionError",
    "VersionLockError",
    "WrongDatabaseError",
    "dotted_name",
]
