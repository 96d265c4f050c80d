"""`ZODB.Connection`: connections, and the views of them that other packages take.

`_cache`, `_db` and `_resetCache` are the connection's own. What it names otherwise
is shown under ZODB's names by the properties below.
"""

from collections.abc import Callable
from shutil import rmtree as remove_committed_dir
from typing import Any

from persistent import PickleCache
from persistent.interfaces import IPersistentDataManager
from transaction.interfaces import IDataManagerSavepoint, ISavepointDataManager, ISynchronizer
from zope.interface import implementer

from perdure.blobs import SAVEPOINT_SUFFIX
from perdure.compat.names import go_by
from perdure.compat.objectviews import show_zodbs_names
from perdure.errors import (
    ConflictError,
    ConnectionStateError,
    InvalidObjectReference,
    ReadConflictError,
    ReadOnlyHistoryError,
    Unsupported,
)
from perdure.ids import p64, u64
from perdure.interfaces import TransactionMetaData
from perdure.objects.blob import Blob
from perdure.objects.connection import Connection, resetCaches
from perdure.objects.root import RootConvenience
from perdure.objects.savepoint import Savepoint
from ZODB._compat import dumps, loads
from ZODB.blob import rename_or_copy_blob
from ZODB.ExportImport import ExportImport
from ZODB.interfaces import IBlobStorage, IConnection, IStorageTransactionMetaData
from ZODB.mvccadapter import HistoricalStorageAdapter
from ZODB.serialize import ObjectReader, ObjectWriter
from ZODB.utils import oid_repr, z64

__all__ = [
    "SAVEPOINT_SUFFIX",
    "Blob",
    "ConflictError",
    "Connection",
    "ConnectionStateError",
    "ExportImport",
    "HistoricalStorageAdapter",
    "IBlobStorage",
    "IConnection",
    "IDataManagerSavepoint",
    "IPersistentDataManager",
    "ISavepointDataManager",
    "IStorageTransactionMetaData",
    "ISynchronizer",
    "InvalidObjectReference",
    "ObjectReader",
    "ObjectWriter",
    "PickleCache",
    "ReadConflictError",
    "ReadOnlyHistoryError",
    "RootConvenience",
    "Savepoint",
    "TransactionMetaData",
    "Unsupported",
    "className",
    "dumps",
    "implementer",
    "loads",
    "noop",
    "oid_repr",
    "overridable_property",
    "p64",
    "remove_committed_dir",
    "rename_or_copy_blob",
    "resetCaches",
    "u64",
    "z64",
]

go_by(__name__, TransactionMetaData)
show_zodbs_names()


def className(obj: Any) -> str:
    """Return "module.name" of the class of an object."""
    cls = type(obj)
    return f"{cls.__module__}.{cls.__name__}"


def noop() -> None:
    """Do nothing."""
    return


class overridable_property:
    """A property that an attribute of the instance goes before."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __get__(self, ob: Any, cls: type) -> Any:
        return self if ob is None else self.func(ob)
