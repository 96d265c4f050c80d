"""`ZODB.ExportImport`: objects out to a file and in again."""

from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, Final

from perdure.errors import ExportError
from perdure.ids import p64, u64
from perdure.objects import transfer
from perdure.objects.blob import Blob
from perdure.records import EXPORT_END
from ZODB._compat import PersistentPickler, Unpickler
from ZODB.interfaces import IBlobStorage
from ZODB.serialize import referencesf
from ZODB.utils import cp, mktemp

__all__ = [
    "Blob",
    "BytesIO",
    "ExportError",
    "ExportImport",
    "IBlobStorage",
    "PersistentPickler",
    "TemporaryFile",
    "Unpickler",
    "blob_begin_marker",
    "cp",
    "export_end_marker",
    "mktemp",
    "p64",
    "referencesf",
    "u64",
]

export_end_marker: Final = EXPORT_END
blob_begin_marker: Final = b"\0BLOBSTART"


class ExportImport:
    """What a connection does; here for classes that inherit it and have `_storage` and `get`."""

    def exportFile(
        self, oid: bytes, f: str | IO[bytes] | None = None, bufsize: int = 65536
    ) -> IO[bytes]:
        """Write an object and all that it refers to; see `Connection.exportFile`."""
        owner: Any = self
        return transfer.export(owner._storage, oid, f)

    def importFile(self, f: str | IO[bytes], clue: object = "", customImporters: Any = None) -> Any:
        """Add the objects of an export; see `Connection.importFile`."""
        owner: Any = self
        return transfer.import_into(owner, f, clue, customImporters)
