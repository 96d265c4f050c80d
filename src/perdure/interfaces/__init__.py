"""Contracts and the values that cross them; nothing here does any work."""

from perdure.interfaces.declared import INTERFACES, declares
from perdure.interfaces.storage import (
    BlobRestoreableStorage,
    BlobStorage,
    ExternalGCStorage,
    IterableStorage,
    MVCCStorage,
    PrefetchStorage,
    ReadVerifyingStorage,
    RecordIterableStorage,
    References,
    RestoreableStorage,
    Storage,
    StorageWrapper,
    StoredTransaction,
    UndoableStorage,
)
from perdure.interfaces.values import (
    HasMetaData,
    Loaded,
    Revision,
    StoredRecord,
    TransactionMetaData,
    dump_extension,
    load_extension,
)

__all__ = [
    "INTERFACES",
    "BlobRestoreableStorage",
    "BlobStorage",
    "ExternalGCStorage",
    "HasMetaData",
    "IterableStorage",
    "Loaded",
    "MVCCStorage",
    "PrefetchStorage",
    "ReadVerifyingStorage",
    "RecordIterableStorage",
    "References",
    "RestoreableStorage",
    "Revision",
    "Storage",
    "StorageWrapper",
    "StoredRecord",
    "StoredTransaction",
    "TransactionMetaData",
    "UndoableStorage",
    "declares",
    "dump_extension",
    "load_extension",
]
