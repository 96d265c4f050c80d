"""A connection as far as records are concerned: objects by oid, records in a dictionary."""

from typing import Any

from persistent import PickleCache

from perdure.errors import InvalidObjectReference, POSKeyError
from perdure.ids import p64
from perdure.records import RecordReader, RecordWriter, find_global

__all__ = ["Jar"]


class Jar:
    """Stores with `store`, loads on demand; `reopened` has the same records and no objects."""

    def __init__(
        self,
        database_name: str = "main",
        records: dict[bytes, bytes] | None = None,
        connections: "dict[str, Jar] | None" = None,
        find: Any = find_global,
    ) -> None:
        self.database_name = database_name
        self.records: dict[bytes, bytes] = {} if records is None else records
        self.connections: dict[str, Jar] = {} if connections is None else connections
        self.connections[database_name] = self
        self.registered: list[Any] = []
        self._cache = PickleCache(self, 1000, 0)
        self._find = find
        self._last_oid = len(self.records)
        self.reader = RecordReader(self, self._cache, find)
        self.writer = RecordWriter(self)

    def reopened(self) -> "Jar":
        return Jar(self.database_name, self.records, find=self._find)

    def store(self, obj: Any) -> bytes:
        """Store an object, and the new ones found through it; return its record."""
        if obj._p_oid is None:
            obj._p_oid = self.new_oid()
            obj._p_jar = self
        pending = [obj]
        while pending:
            current = pending.pop()
            self.records[current._p_oid] = self.writer.serialize(current)
            pending += self.writer.found
            self.writer.found.clear()
            if self._cache.get(current._p_oid) is None:
                self._cache[current._p_oid] = current
            current._p_changed = False
        return self.records[obj._p_oid]

    # What the writer and the reader ask for

    def new_oid(self) -> bytes:
        self._last_oid += 1
        return p64(self._last_oid)

    def foreign_reference(self, obj: Any) -> tuple[str, bytes]:
        other = obj._p_jar
        if other is None or self.connections.get(other.database_name) is not other:
            raise InvalidObjectReference("an object of another connection", obj, self)
        return other.database_name, obj._p_oid

    def get(self, oid: bytes) -> Any:
        obj = self._cache.get(oid)
        if obj is None:
            if oid not in self.records:
                raise POSKeyError(oid)
            ghost = self.reader.ghost(self.records[oid])
            obj = self._cache.get(oid)  # classes that refer to one another load one another
            if obj is None:
                self._cache.new_ghost(oid, ghost)
                obj = ghost
        return obj

    __getitem__ = get

    def get_connection(self, database_name: str) -> "Jar":
        return self.connections[database_name]

    # What ZODB's writer asks for besides

    xrefs = True

    @property
    def databases(self) -> "dict[str, Jar]":
        return self.connections

    def _implicitlyAdding(self, oid: bytes) -> bool:
        return False

    # What persistent objects ask for

    def db(self) -> "Jar":
        return self

    def setstate(self, obj: Any) -> None:
        if obj._p_oid not in self.records:
            raise POSKeyError(obj._p_oid)
        self.reader.set_state(obj, self.records[obj._p_oid])
        obj._p_serial = p64(1)

    def register(self, obj: Any) -> None:
        self.registered.append(obj)
