"""ZODB's names, on Perdure.

`DB` is a class and a submodule. The class is what `ZODB.DB` has to be, also after
the submodule was imported, which sets the attribute of its package; and it is
looked up late, because BTrees imports this package while it is being loaded itself.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import persistent.list
import persistent.mapping
import persistent.timestamp

if TYPE_CHECKING:
    from perdure.opening import DB
    from ZODB.DB import connection

__all__ = ["DB", "PersistentList", "PersistentMapping", "TimeStamp", "connection"]

PersistentList = sys.modules[f"{__name__}.PersistentList"] = persistent.list
PersistentMapping = sys.modules[f"{__name__}.PersistentMapping"] = persistent.mapping
TimeStamp = sys.modules[f"{__name__}.TimeStamp"] = persistent.timestamp


class _Package(ModuleType):
    @property
    def DB(self) -> Any:
        return vars(self).get("DB") or import_module("ZODB.DB").DB

    @DB.setter
    def DB(self, value: Any) -> None:
        # What the import of the submodule sets is left out; what a test patches is kept.
        if not isinstance(value, ModuleType):
            vars(self)["DB"] = value

    @DB.deleter
    def DB(self) -> None:
        del vars(self)["DB"]  # what a test had patched; the class comes back

    @property
    def connection(self) -> Any:
        return vars(self).get("connection") or import_module("ZODB.DB").connection

    @connection.setter
    def connection(self, value: Any) -> None:
        vars(self)["connection"] = value

    @connection.deleter
    def connection(self) -> None:
        del vars(self)["connection"]


sys.modules[__name__].__class__ = _Package
