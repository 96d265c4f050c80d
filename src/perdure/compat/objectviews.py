"""What other packages take of connections and databases under ZODB's private names, as views.

Like `fileviews`, these are properties set on Perdure's classes while ZODB's names are
in use. `Connection._cache`, `_db` and `_resetCache`, `RootConvenience._root` and the
`_p_blob_…` of blobs are there without that.
"""

from typing import Any

from perdure.compat.views import renamed, show
from perdure.interfaces import TransactionMetaData
from perdure.mvcc.native import NativeSnapshot
from perdure.objects.connection import Connection
from perdure.objects.database import Database

__all__ = ["show_zodbs_names"]


def _records(self: Any) -> Any:
    """Return what the connection reads: its snapshot, or the savepoints over it.

    Of a storage that makes its own snapshots it is the storage's object, without ours.
    """
    storage = self._loader.storage
    return storage._instance if isinstance(storage, NativeSnapshot) else storage


def _registered(self: Any) -> Any:
    return self._changes.registered


def _extension(self: Any) -> Any:
    return self.extension


def _set_extension(self: Any, extension: Any) -> None:
    self.extension = extension


def _untouched(self: Any, data: bytes) -> bytes:
    """Return a record as it is: a database transforms nothing."""
    return data


def show_zodbs_names() -> None:
    """Give the classes the names that are private by their spelling, but in use."""
    show(Connection, "_storage", property(_records))
    show(Connection, "_registered_objects", property(_registered))
    show(Database, "_storage", property(lambda self: self.storage))
    show(Database, "klass", Connection)
    show(Database, "transform_record_data", _untouched)
    show(Database, "untransform_record_data", _untouched)
    show(TransactionMetaData, "_extension", property(_extension, _set_extension))
    for cls, old, new, get in (
        (Connection, "_normal_storage", "db().storage", lambda self: self._snapshot),
        (Connection, "_added", "the objects that you added", lambda self: self._changes.added),
        (Database, "_cache_size", "getCacheSize()", lambda self: self.getCacheSize()),
        (Database, "_mvcc_storage", "DB.storage", lambda self: self._snapshots),
    ):
        show(cls, old, renamed(cls, old, new, get))
