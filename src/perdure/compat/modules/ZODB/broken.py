"""`ZODB.broken`: stand-ins for classes that are missing."""

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import Any

from perdure.compat.names import go_by
from perdure.records import Broken, BrokenModified, PersistentBroken, rebuild
from perdure.records import broken as _broken

__all__ = [
    "IMPORT_MAPPING",
    "NAME_MAPPING",
    "Broken",
    "BrokenModified",
    "PersistentBroken",
    "broken_cache",
    "find_global",
    "persistentBroken",
    "rebuild",
]

broken_cache = _broken._classes

go_by(__name__, Broken, BrokenModified, PersistentBroken)


def persistentBroken(class_: Any) -> Any:
    """Return the persistent class that belongs to a broken class."""
    return _broken.persistent_broken(class_)


def find_global(
    modulename: str,
    globalname: str,
    Broken: Any = Broken,
    type: Any = type,
) -> Any:
    """Return a global by its name, or a class that stands in for it.

    The stand-in is `Broken`'s own kind by default; another `Broken` is subclassed with
    `type`.
    """
    found = _broken.find_global(modulename, globalname)
    if Broken is _broken.Broken or not isinstance(found, _broken.BrokenClass):
        return found
    return type(globalname, (Broken,), {"__module__": modulename})
