"""Names of classes on disk: what older Pythons and ZODB call the classes we have.

A record names a class by module and name. Three kinds of names differ from the
ones that are imported:

- Python 2 modules that have moved (``copy_reg`` is now `copyreg`);
- ZODB's own classes, which are Perdure's here (``ZODB.blob.Blob``);
- aliases for classes of `persistent` (``ZODB.PersistentMapping``).

Reading translates all three. Writing translates back only ZODB's own classes,
so that ZODB opens what Perdure wrote. The pickler knows no other name for a
class than its own, so the names are exchanged in the finished pickle; the
search for them costs one scan of the record and finds nothing in nearly all.
"""

import pathlib
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import Final

from perdure.records.opcodes import globals_in

__all__ = ["OURS", "local_name", "stored_name", "with_stored_names"]

Name = tuple[str, str]

# Written under ZODB's names, read under both.
_STORED: Final[dict[Name, Name]] = {
    ("perdure.objects.blob", "Blob"): ("ZODB.blob", "Blob"),
    ("perdure.objects.persistentclass", "PersistentMetaClass"): (
        "ZODB.persistentclass",
        "PersistentMetaClass",
    ),
    ("perdure.records.broken", "Broken"): ("ZODB.broken", "Broken"),
    ("perdure.records.broken", "PersistentBroken"): ("ZODB.broken", "PersistentBroken"),
    ("perdure.records.broken", "find_global"): ("ZODB.broken", "find_global"),
    ("perdure.records.broken", "rebuild"): ("ZODB.broken", "rebuild"),
}

_LOCAL: Final[dict[Name, Name]] = {
    **{stored: local for local, stored in _STORED.items()},
    ("ZODB.PersistentList", "PersistentList"): ("persistent.list", "PersistentList"),
    ("ZODB.PersistentMapping", "PersistentMapping"): ("persistent.mapping", "PersistentMapping"),
    ("ZODB.TimeStamp", "TimeStamp"): ("persistent.timestamp", "TimeStamp"),
    ("persistent.TimeStamp", "TimeStamp"): ("persistent.timestamp", "TimeStamp"),
    ("persistent.dict", "PersistentDict"): ("persistent.mapping", "PersistentMapping"),
    ("zodbpickle", "binary"): ("builtins", "bytes"),
    # Python 3.13 moved them, and 3.14 moved them back.
    **{("pathlib._local", name): ("pathlib", name) for name in pathlib.__all__},
}


# Nearly every class is in none of these, which is all that needs to be known of it.
_TRANSLATED: Final = frozenset(
    [module for module, _ in _LOCAL] + [module for module, _ in NAME_MAPPING] + [*IMPORT_MAPPING]
)


def local_name(module: str, name: str) -> Name:
    """Return the module and name to import for what a record calls `module` and `name`."""
    if module not in _TRANSLATED:
        return module, name
    found = _LOCAL.get((module, name))
    if found is not None:
        return found
    moved = NAME_MAPPING.get((module, name))
    if moved is not None:
        return moved
    return IMPORT_MAPPING.get(module, module), name


def stored_name(module: str, name: str) -> Name:
    """Return the module and name under which a class of ours stands in a record."""
    return _STORED.get((module, name), (module, name))


def _opcode(name: Name) -> bytes:
    return b"c%s\n%s\n" % (name[0].encode(), name[1].encode())


OURS: Final = b"cperdure."
"""What stands in every pickle that names a class of ours; in nearly all it does not."""

_EXCHANGE: Final = {_opcode(local): _opcode(stored) for local, stored in _STORED.items()}
_CANDIDATE: Final = re.compile(b"|".join(map(re.escape, _EXCHANGE)))


def with_stored_names(pickle: bytes) -> bytes:
    """Return `pickle`, one or several in a row, with ZODB's names for ZODB's classes."""
    if OURS not in pickle:
        return pickle
    candidates = [found.start() for found in _CANDIDATE.finditer(pickle)]
    if not candidates:
        return pickle
    # It looks like one; only the opcodes tell it from the same bytes in a string.
    parts: list[bytes] = []
    copied = 0
    for start, end in globals_in(pickle):
        stored = _EXCHANGE.get(pickle[start:end])
        if stored is not None:
            parts += (pickle[copied:start], stored)
            copied = end
        if start >= candidates[-1]:
            break
    parts.append(pickle[copied:])
    return b"".join(parts)
