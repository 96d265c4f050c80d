"""`ZODB.FileStorage.fspack`: the error of packing; packing itself is `FileStorage.pack`."""

from perdure.errors import FileStorageError
from perdure.ids import p64, u64
from ZODB.FileStorage.format import (
    TRANS_HDR_LEN,
    CorruptedDataError,
    DataHeader,
    FileStorageFormatter,
)
from ZODB.utils import z64

__all__ = [
    "TRANS_HDR_LEN",
    "CorruptedDataError",
    "DataHeader",
    "FileStorageFormatter",
    "PackError",
    "p64",
    "u64",
    "z64",
]

PackError = FileStorageError
