"""`ZODB.FileStorage`: the package; the class of the same name is in it, and so is a module."""

from ZODB.FileStorage.FileStorage import (
    FileIterator,
    FileStorage,
    Record,
    TransactionRecord,
    packed_version,
)

__all__ = [
    "FileIterator",
    "FileStorage",
    "Record",
    "RecordIterator",
    "TransactionRecord",
    "packed_version",
]

RecordIterator = TransactionRecord
