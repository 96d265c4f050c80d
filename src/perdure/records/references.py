"""The references in a record: which kinds there are, and finding them without classes.

A persistent object inside a state is stored as a persistent id, in one of these forms:

    oid                             in this database; class unknown or irrelevant
    (oid, class)                    in this database
    ["w", (oid,)]                   weak, in this database
    ["w", (oid, database name)]     weak, in another one
    ["n", (database name, oid)]     in another database
    ["m", (database name, oid, class)]
    [oid]                           weak, as ZODB wrote it once

A class is a global, or a pair of module and name. An oid is 8 bytes; Python 2
stored it as a short string.

Finding those that keep objects alive exists twice: `pure_references` has the unpickler
read the record, `perdure.native.scanner` steps through its opcodes, and leaves
whatever is unusual to the pure function.
"""

from dataclasses import dataclass
from typing import Any, Final

from perdure import native
from perdure.errors import StateLoadError
from perdure.records.codec import LARGE, PROTOCOL, Pickles, StateUnpickler, unpickler_of
from perdure.records.inert import class_name_of, load_inert, text
from perdure.records.opcodes import memo_overflow

__all__ = [
    "Reference",
    "ReferenceFinder",
    "all_references",
    "oid_in",
    "parse_reference",
    "pure_references",
    "references",
]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference from one object to another.

    `class_name` is "module.name" or None where the reference does not say;
    `database_name` is None for the referring object's own database.
    """

    oid: bytes
    class_name: str | None = None
    database_name: str | None = None
    weak: bool = False


def oid_in(value: Any) -> bytes:
    """Return the oid of a reference, which some writers stored as text."""
    oid = value.encode("latin-1") if isinstance(value, str) else value
    if type(oid) is bytes and len(oid) == 8:
        return oid
    raise StateLoadError(reason=f"found {value!r} in a reference, expected an oid of 8 bytes")


def parse_reference(stored: Any) -> Reference:
    """Return what a persistent id says.

    Raises `StateLoadError` if it has none of the known forms.
    """
    try:
        if isinstance(stored, tuple):
            oid, cls = stored
            return Reference(oid_in(oid), class_name_of(cls))
        if not isinstance(stored, list):
            return Reference(oid_in(stored))
        if len(stored) == 1:
            return Reference(oid_in(stored[0]), weak=True)
        kind, args = stored
        match text(kind), *args:
            case "w", oid:
                return Reference(oid_in(oid), weak=True)
            case "w", oid, database_name:
                return Reference(oid_in(oid), None, text(database_name), weak=True)
            case "n", database_name, oid:
                return Reference(oid_in(oid), None, text(database_name))
            case "m", database_name, oid, cls:
                return Reference(oid_in(oid), class_name_of(cls), text(database_name))
    except (TypeError, ValueError, UnicodeError):
        pass  # no form we know: said below
    raise StateLoadError(reason=f"found {stored!r}, expected one of the forms of a reference")


class _Anything:
    """Stands for every class while only references matter; one instance is enough."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Anything":
        return _ANYTHING

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> "_Anything":
        return self

    def ignore(self, *args: Any) -> None: ...

    __setstate__ = append = extend = add = __setitem__ = ignore


_ANYTHING = object.__new__(_Anything)


def _find_anything(module: str, name: str) -> type[_Anything]:
    return _Anything


def pure_references(record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
    """Return the oids that keep objects of this database alive, in order, with repetitions.

    Weak references and those to other databases do not count. The oids are
    appended to `oids` if that is given. Raises `StateLoadError` if the record is
    damaged.
    """
    stored: list[Any] = []
    unpickler = unpickler_of(Pickles(record), _find_anything, stored.append)
    try:
        unpickler.load()
        unpickler.load()
    except Exception:
        # Damaged, or something that only the careful way can read.
        stored = load_inert(record, _as_stored)[1]
    return _strong(stored, [] if oids is None else oids)


def _strong(stored: list[Any], oids: list[bytes]) -> list[bytes]:
    for reference in stored:
        if type(reference) is tuple and reference:
            reference = reference[0]
        elif type(reference) is list:
            continue
        usual = type(reference) is bytes and len(reference) == 8
        oids.append(reference if usual else oid_in(reference))
    return oids


_Head = tuple[bytes, Any, int]
"""The first pickle of records, the memo of an unpickler that has read it, and its size."""

_NO_HEAD: Final[_Head] = b"\0", None, 0
"""No pickle begins like this."""

_MOST_HEADS: Final = 10_000


class ReferenceFinder:
    """Finds what `pure_references` finds, one record after the other, in less time.

    The records of a class mostly begin alike, with the same first pickle. Where that has
    no references, only what stands behind it is read. For one thread.
    """

    def __init__(self) -> None:
        self._stored: list[Any] = []
        self._states = StateUnpickler(_find_anything, self._stored.append)
        self._heads: dict[bytes, _Head] = {}
        self._head = _NO_HEAD

    def find(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        """Return what `pure_references` does."""
        if len(record) >= LARGE:
            return pure_references(record, oids)
        stored, states, (head, memo, size) = self._stored, self._states, self._head
        try:
            if not record.startswith(head):
                head, memo, size = self._head = self._head_of(record)
                if memo is None:
                    return pure_references(record, oids)
            # What `states.load` does, and `is_reusable` says: called for each record of a pack.
            if memo is not states.memo:
                states.unpickler.memo = states.memo = memo
            data = record[size:]
            fill_ahead, fill_behind = states.fill_ahead, states.fill_behind
            read, read_behind = states.read, states.read_behind
            fill_ahead(data)
            fill_behind(data)
            read()
            states.unpickler.memo = memo
            if read_behind(1):
                self._states = StateUnpickler(_find_anything, stored.append)
            found = [] if oids is None else oids
            return _strong(stored, found) if stored else found
        except Exception:
            self._states = StateUnpickler(_find_anything, stored.append)
            return pure_references(record, oids)
        finally:
            stored.clear()

    def _head_of(self, record: bytes) -> _Head:
        """Return how a record begins; `_NO_HEAD` where nothing is gained by it."""
        class_end = record.find(b"\n", record.find(b"\n") + 1)
        head = self._heads.get(record[:class_end], _NO_HEAD)
        if record.startswith(head[0]):
            return head
        source = Pickles(record)
        unpickler = unpickler_of(source, _find_anything, self._stored.append)
        unpickler.load()
        # From protocol 4 on, opcodes count on what an unpickler has put into its memo itself.
        if self._stored or record[1] > PROTOCOL or len(self._heads) > _MOST_HEADS:
            return _NO_HEAD
        end = source.position
        head = self._heads[record[:class_end]] = record[:end], unpickler.memo, end
        return head


def _as_stored(stored: Any) -> Any:
    return stored


if native.scanner:
    _scanned = native.scanner.references

    def references(record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        """Return the oids that keep objects of this database alive, in order, with repetitions.

        Weak references and those to other databases do not count. The oids are
        appended to `oids` if that is given. Raises `StateLoadError` if the record is
        damaged.
        """
        found = _scanned(record)
        if found is None:
            # Unusual, or damaged: and damage can make the unpickler take all memory.
            if memo_overflow(record, 2):
                raise StateLoadError(reason="the record is damaged: it numbers too many objects")
            found = pure_references(record)
        if oids is None:
            return found
        oids += found
        return oids

else:
    references = pure_references


def all_references(record: bytes) -> list[Reference]:
    """Return every reference in a record, in order, with repetitions.

    Raises `StateLoadError` if the record is damaged.
    """
    return load_inert(record, parse_reference)[1]
