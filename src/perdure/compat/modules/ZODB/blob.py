"""`ZODB.blob`: blobs, and their directory."""

import logging
import os
import shutil
import stat
from base64 import decodebytes
from io import BytesIO, FileIO
from os import remove as remove_committed
from shutil import rmtree as remove_committed_dir
from typing import Any, Final

from perdure.blobs import BLOB_SUFFIX, SAVEPOINT_SUFFIX
from perdure.blobs.layout import MARKER
from perdure.compat.blobdirectory import (
    LAYOUTS,
    BushyLayout,
    FilesystemHelper,
    LawnLayout,
    NoBlobsFileSystemHelper,
    auto_layout_select,
)
from perdure.compat.blobwrapping import BlobStorage, BlobStorageMixin, move_into_place
from perdure.compat.names import go_by
from perdure.errors import BlobError, POSKeyError
from perdure.objects.blob import Blob, BlobFile
from perdure.records import is_blob
from perdure.storages.copying import copy_transactions
from ZODB._compat import PersistentUnpickler, ascii_bytes

__all__ = [
    "BLOB_SUFFIX",
    "LAYOUTS",
    "LAYOUT_MARKER",
    "NO_WRITE",
    "READ_PERMS",
    "SAVEPOINT_SUFFIX",
    "Blob",
    "BlobError",
    "BlobFile",
    "BlobStorage",
    "BlobStorageError",
    "BlobStorageMixin",
    "BushyLayout",
    "BytesIO",
    "FileIO",
    "FilesystemHelper",
    "LawnLayout",
    "NoBlobsFileSystemHelper",
    "POSKeyError",
    "PersistentUnpickler",
    "ascii_bytes",
    "auto_layout_select",
    "copied",
    "copyTransactionsFromTo",
    "decodebytes",
    "find_global_Blob",
    "is_blob_record",
    "link_or_copy",
    "log",
    "logger",
    "remove_committed",
    "remove_committed_dir",
    "rename_or_copy_blob",
    "set_not_writable",
    "valid_modes",
]

logger = logging.getLogger("ZODB.blob")
copied = logging.getLogger("ZODB.blob.copied").debug

LAYOUT_MARKER: Final = MARKER
NO_WRITE: Final = ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
READ_PERMS: Final = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
valid_modes: Final = ("r", "w", "r+", "a", "c")

link_or_copy = os.link if hasattr(os, "link") else shutil.copy

go_by(__name__, Blob, BlobFile, BlobStorage, BlobStorageMixin)
go_by(__name__, BushyLayout, LawnLayout, FilesystemHelper, NoBlobsFileSystemHelper)


def rename_or_copy_blob(f1: str, f2: str, chmod: bool = True) -> None:
    """Move a file, by its name if possible; with `chmod`, nobody may write it afterwards."""
    move_into_place(f1, f2, chmod)


class BlobStorageError(Exception):
    """A blob storage's error (its base is `Exception`, as in ZODB)."""


def log(msg: str, level: int = logging.INFO, subsys: str = "", exc_info: bool = False) -> None:
    """Write `msg` to the log; `subsys` is ignored."""
    logger.log(level, msg, exc_info=exc_info)


def set_not_writable(path: str) -> None:
    """Take away everybody's right to write a file."""
    os.chmod(path, os.stat(path).st_mode & NO_WRITE)


def find_global_Blob(module: str, class_: str) -> Any:
    """Return `Blob` for its name, None for any other."""
    return Blob if (module, class_) == ("ZODB.blob", "Blob") else None


def is_blob_record(record: bytes) -> bool:
    """Return whether this is the record of a blob."""
    return bool(record) and is_blob(record)


def copyTransactionsFromTo(source: Any, destination: Any) -> None:
    """Copy the transactions of a storage into another one, blobs included."""
    copy_transactions(source, destination)
