"""`ZODB.FileStorage.FileStorage`: the storage, its errors, and iterating over a file.

`_index`, `_quota` and `_is_read_only` show what the storage has under other names.
"""

import logging
import os
from base64 import decodebytes, encodebytes
from collections.abc import Iterator
from os import remove as remove_committed
from shutil import rmtree as remove_committed_dir
from struct import pack, unpack
from typing import IO, Any, Final

from persistent.timestamp import TimeStamp
from zc.lockfile import LockFile
from zope.interface import alsoProvides, implementer

from perdure.compat.fileviews import show_zodbs_names
from perdure.compat.names import go_by
from perdure.errors import (
    ConflictError,
    CorruptDataError,
    FileStorageError,
    FileStorageFormatError,
    FileStorageQuotaError,
    MultipleUndoErrors,
    POSKeyError,
    ReadOnlyError,
    StorageError,
    StorageSystemError,
    StorageTransactionError,
    UndoError,
)
from perdure.ids import p64, u64
from perdure.storages.file import FileStorage
from perdure.storages.file.format import MAGIC
from perdure.storages.file.iterate import FileTransaction
from ZODB._compat import Pickler, loads
from ZODB.BaseStorage import BaseStorage, DataRecord
from ZODB.blob import BlobStorageMixin, link_or_copy
from ZODB.ConflictResolution import ConflictResolvingStorage
from ZODB.FileStorage.format import (
    DATA_HDR,
    DATA_HDR_LEN,
    TRANS_HDR,
    TRANS_HDR_LEN,
    CorruptedDataError,
    CorruptedError,
    DataHeader,
    FileStorageFormatter,
    TxnHeader,
)
from ZODB.fsIndex import fsIndex
from ZODB.interfaces import (
    IBlobStorageRestoreable,
    IExternalGC,
    IStorage,
    IStorageCurrentRecordIteration,
    IStorageIteration,
    IStorageRestoreable,
    IStorageUndoable,
)
from ZODB.utils import as_bytes, as_text, cp, load_current, mktemp, z64

__all__ = [
    "DATA_HDR",
    "DATA_HDR_LEN",
    "FILESTORAGE_MAGIC",
    "TRANS_HDR",
    "TRANS_HDR_LEN",
    "BaseStorage",
    "BlobStorageMixin",
    "ConflictError",
    "ConflictResolvingStorage",
    "CorruptedDataError",
    "CorruptedError",
    "CorruptedFileStorageError",
    "CorruptedTransactionError",
    "DataHeader",
    "FileIterator",
    "FileStorage",
    "FileStorageError",
    "FileStorageFormatError",
    "FileStorageFormatter",
    "FileStorageQuotaError",
    "IBlobStorageRestoreable",
    "IExternalGC",
    "IStorage",
    "IStorageCurrentRecordIteration",
    "IStorageIteration",
    "IStorageRestoreable",
    "IStorageUndoable",
    "LockFile",
    "MultipleUndoErrors",
    "POSKeyError",
    "PackError",
    "Pickler",
    "ReadOnlyError",
    "Record",
    "RedundantPackWarning",
    "StorageError",
    "StorageSystemError",
    "StorageTransactionError",
    "TempFormatter",
    "TimeStamp",
    "TransactionRecord",
    "TxnHeader",
    "UndoError",
    "alsoProvides",
    "as_bytes",
    "as_text",
    "cp",
    "decodebytes",
    "encodebytes",
    "fsIndex",
    "fsync",
    "implementer",
    "link_or_copy",
    "load_current",
    "loads",
    "logger",
    "mktemp",
    "p64",
    "pack",
    "packed_version",
    "remove_committed",
    "remove_committed_dir",
    "u64",
    "unpack",
    "z64",
]

logger = logging.getLogger("ZODB.FileStorage")

FILESTORAGE_MAGIC: Final = MAGIC
packed_version: Final = MAGIC
fsync = os.fsync

CorruptedFileStorageError = CorruptDataError
PackError = FileStorageError
TransactionRecord = FileTransaction

go_by(__name__, FileStorageError, FileStorageFormatError, FileStorageQuotaError)
show_zodbs_names()


class CorruptedTransactionError(CorruptedFileStorageError):
    """A transaction of a data file is damaged (kept for its name)."""


class RedundantPackWarning(FileStorageError):
    """There is nothing to pack (kept for its name)."""


class TempFormatter(FileStorageFormatter):
    """Reads headers of the open file `afile`."""

    def __init__(self, afile: IO[bytes]) -> None:
        self._file = afile


class Record(DataRecord):
    """A record of a data file, at `pos`."""

    def __init__(
        self, oid: bytes, tid: bytes, data: bytes | None, prev: bytes | None, pos: int
    ) -> None:
        super().__init__(oid, tid, data, prev)
        self.pos = pos


class FileIterator:
    """The transactions of the file `filename`, from tid `start` to `stop`, both included.

    `pos` leaves out those that begin before it. The file is only read: a
    transaction that is not complete ends the iteration.
    """

    def __init__(
        self,
        filename: str,
        start: bytes | None = None,
        stop: bytes | None = None,
        pos: int = 4,
    ) -> None:
        self._storage: FileStorage | None = FileStorage(filename, read_only=True)
        transactions: Iterator[Any] = self._storage.iterator(start, stop)
        self._transactions = (each for each in transactions if each.position >= pos)

    def __len__(self) -> int:
        """Return 0: nobody knows, and `list` asks."""
        return 0

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> "FileIterator":
        return self

    def __next__(self) -> Any:
        if self._storage is None:
            raise OSError("iterator is closed")
        return next(self._transactions)

    next = __next__

    def iterator(self) -> "FileIterator":
        """Return itself, so that it passes for a storage whose transactions are copied."""
        return self

    def close(self) -> None:
        """Close the file. Harmless when done twice."""
        storage, self._storage = self._storage, None
        if storage is not None:
            storage.close()
