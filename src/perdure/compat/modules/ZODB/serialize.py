"""`ZODB.serialize`: objects into records and back."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

from persistent import Persistent, PickleCache
from persistent.wref import WeakRef, WeakRefMarker
from transaction.interfaces import TransientError

from perdure.errors import InvalidObjectReference, POSError, StateLoadError
from perdure.records import RecordReader, RecordWriter, all_references, find_global, references
from ZODB._compat import PersistentPickler, PersistentUnpickler

__all__ = [
    "BytesIO",
    "InvalidObjectReference",
    "NewObjectIterator",
    "ObjectReader",
    "ObjectWriter",
    "POSError",
    "Persistent",
    "PersistentPickler",
    "PersistentUnpickler",
    "StateLoadError",
    "TransientError",
    "WeakRef",
    "WeakRefMarker",
    "binary",
    "get_refs",
    "myhasattr",
    "referencesf",
]

binary = bytes
_MISSING: Final = object()


def referencesf(p: bytes, oids: list[bytes] | None = None) -> list[bytes]:
    """Return the oids that a record refers to, weak references left out."""
    return references(p, oids)


def get_refs(a_pickle: bytes) -> list[tuple[bytes, Any]]:
    """Return (oid, class) for each reference in this database; the class as a pair of names.

    The class is None where the reference does not tell it.
    """
    return [
        (found.oid, _class_pair(found.class_name))
        for found in all_references(a_pickle)
        if not found.weak and found.database_name is None
    ]


def _class_pair(class_name: str | None) -> tuple[str, str] | None:
    if class_name is None:
        return None
    module, _, name = class_name.rpartition(".")
    return module, name


def myhasattr(obj: Any, name: str, _marker: Any = _MISSING) -> bool:
    """Return whether `obj` has an attribute, without hiding errors other than its absence."""
    return getattr(obj, name, _marker) is not _marker


class _NoConnection:
    """Stands where a writer has no connection: what it writes can refer to no object."""

    def new_oid(self) -> bytes:
        raise InvalidObjectReference("an object needs a connection to refer to another one")

    def foreign_reference(self, obj: Any) -> tuple[str, bytes]:
        raise InvalidObjectReference("an object needs a connection to refer to another one")


class ObjectWriter:
    """Makes records of an object and of the new objects that are found on the way.

    Iterating over it yields `obj` and, while each is serialized, the new ones.
    """

    def __init__(self, obj: Any = None) -> None:
        self._pending: list[Any] = [] if obj is None else [obj]
        jar = None if obj is None else obj._p_jar
        self._writer = RecordWriter(_NoConnection() if jar is None else jar)

    def serialize(self, obj: Any) -> bytes:
        """Return the record of `obj`."""
        record = self._writer.serialize(obj)
        self._pending.extend(self._writer.found)
        self._writer.found.clear()
        return record

    def persistent_id(self, obj: Any) -> Any:
        """Return what stands for `obj` in another object's record; None if it is no reference."""
        if isinstance(obj, type) or getattr(obj, "_p_oid", None) is None:
            return None
        return obj._p_oid, type(obj)

    def __iter__(self) -> "NewObjectIterator":
        return NewObjectIterator(self._pending)


class NewObjectIterator:
    """Yields objects from the end of `stack`, to which others may be added meanwhile."""

    def __init__(self, stack: list[Any]) -> None:
        self._stack = stack

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._stack:
            raise StopIteration
        return self._stack.pop()

    next = __next__


class ObjectReader:
    """Makes objects and states of records."""

    def __init__(
        self,
        conn: Any = None,
        cache: Any = None,
        factory: Callable[[Any, str, str], Any] | None = None,
    ) -> None:
        def find(module: str, name: str) -> Any:
            return find_global(module, name) if factory is None else factory(conn, module, name)

        self._find = find
        # Without a connection it reads what refers to nothing: states of Length, and the like.
        self._reader = RecordReader(conn, PickleCache(conn) if cache is None else cache, find)

    def getClassName(self, pickle: bytes) -> str:
        """Return "module.name" of the record's class."""
        return self._reader.class_name(pickle)

    def getGhost(self, pickle: bytes) -> Any:
        """Return a new object of the record's class, without its state."""
        return self._reader.ghost(pickle)

    def getState(self, pickle: bytes) -> Any:
        """Return the state in a record."""
        return self._reader.state(pickle)

    def setGhostState(self, obj: Any, pickle: bytes) -> None:
        """Give an object the state in a record."""
        self._reader.set_state(obj, pickle)
