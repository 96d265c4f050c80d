"""Resolving a write conflict from three records: the one read, the one committed, the new one.

The class of an object can offer `_p_resolveConflict(old, committed, new)`: three
states in, the merged state out. No object is loaded for it. References in the
states are `PersistentReference`s, the same one for the same reference in all
three, which go back into the merged record as they were.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from persistent import Persistent
from transaction.interfaces import TransientError

from perdure.errors import BTreesConflictError, ConflictError, POSKeyError, StateLoadError
from perdure.records.broken import Broken, BrokenClass, find_global
from perdure.records.classes import is_steady
from perdure.records.classmeta import class_and_arguments, class_at_head, class_name, plain_head
from perdure.records.codec import (
    LARGE,
    PROTOCOL,
    FindGlobal,
    Memo,
    Pickles,
    RecordPickler,
    StateUnpickler,
    memo_behind,
    unpickler_of,
)
from perdure.records.names import OURS, with_stored_names
from perdure.records.references import parse_reference

__all__ = ["PersistentReference", "RecordMerger", "resolve_conflict"]

logger = logging.getLogger("perdure.records.conflict")

_Resolve = Callable[[Any, Any, Any], Any]
"""What `_p_resolveConflict` is: old, committed and new state in, the merged one out."""


class PersistentReference:
    """A reference to an object, as `_p_resolveConflict` sees it.

    `oid` and `database_name` (None for the same database) say to what, `weak`
    whether it keeps that alive; `klass` is the class if the reference tells it,
    and `data` the reference as it is stored.

    Two are equal if they lead to the same object and neither is weak. Whether
    different ones are equal only the objects could tell, so comparing them in any
    way raises `ValueError`.
    """

    __slots__ = ("data", "database_name", "klass", "oid", "weak")

    def __init__(self, data: Any) -> None:
        facts = parse_reference(data)
        self.oid = facts.oid
        self.database_name = facts.database_name
        self.weak = facts.weak
        self.data, self.klass = _with_class_by_name(data)

    def _same(self, other: object) -> bool:
        """Return True where `other` is equal; raise where that is unknown."""
        if self is other:
            return True
        if (
            isinstance(other, PersistentReference)
            and not (self.weak or other.weak)
            and (self.oid, self.database_name) == (other.oid, other.database_name)
        ):
            return True
        raise ValueError("different references cannot be compared: only their objects could be")

    def __eq__(self, other: object) -> bool:
        return self._same(other)

    def __ne__(self, other: object) -> bool:
        return not self._same(other)

    def __lt__(self, other: object) -> bool:
        return not self._same(other)

    __gt__ = __lt__

    def __le__(self, other: object) -> bool:
        return self._same(other)

    __ge__ = __le__

    # Equal references are not always known to be; so they cannot be keys either.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PersistentReference can be stored only in the place of its object")

    def __repr__(self) -> str:
        return f"<PersistentReference {self.data!r}>"


def _with_class_by_name(data: Any) -> tuple[Any, Any]:
    """Return a stored reference and the class in it; a missing class as module and name."""
    if isinstance(data, tuple):
        oid, cls = data
        named = _name_if_broken(cls)
        return (oid, named), named
    if isinstance(data, list) and len(data) == 2 and len(data[1]) == 3:
        kind, (database_name, oid, cls) = data
        named = _name_if_broken(cls)
        return [kind, (database_name, oid, named)], named
    return data, None


def _name_if_broken(cls: Any) -> Any:
    return (cls.__module__, cls.__qualname__) if isinstance(cls, BrokenClass) else cls


class _Unresolvable(Exception):
    """Why this conflict cannot be resolved."""


class _Head(NamedTuple):
    """How the records of a class begin.

    It is plain where that says no more than the name of the class, `names`; otherwise
    `unpickler` has read it, and goes on with the state.
    """

    data: bytes
    names: tuple[str, str]
    unpickler: Any  # None where it is plain
    cls: Any
    arguments: tuple[Any, ...]
    unpickler_memo: Any  # to go on behind it
    pickler_memo: Memo | None  # the same


class _Merger:
    """Merges one conflict after the other; for one thread at a time.

    Nearly all records of an object begin with the same plain head: then what stands
    behind is read alone, by an unpickler that is used again. When a record cannot be
    read, this is of no more use.
    """

    def __init__(self, find_global: FindGlobal) -> None:
        self._find_global = find_global
        self._is_steady = is_steady(find_global)
        self._load_reference = self._reference
        self._states = StateUnpickler(find_global, self._load_reference)
        self._pickler = RecordPickler(_persistent_id)
        self._heads: dict[bytes, _Head] = {}
        # In all states of one object, the same references.
        self._known: dict[Any, PersistentReference] = {}

    def head_of(self, record: bytes) -> _Head:
        """Return how a record begins."""
        data = plain_head(record)
        if data is None or data[1] > PROTOCOL:
            # From protocol 4 on, opcodes count on what an unpickler has memorised itself.
            return self._read_head(record, None)
        head = self._heads.get(data)
        if head is None or not self._is_found(head):
            names = class_at_head(data)
            if names is None:
                return self._read_head(record, None)
            head = self._heads[data] = self._read_head(data, names)
        return head

    def _is_found(self, head: _Head) -> bool:
        """Return whether the class is still what is found under its name."""
        # Asked each time: it may have been imported anew.
        module, name = head.names
        if self._is_steady and getattr(sys.modules.get(module), name, None) is head.cls:
            return True
        return self._find_global(module, name) is head.cls

    def _read_head(self, record: bytes, names: tuple[str, str] | None) -> _Head:
        source, unpickler = self._reader_of(record)
        cls, arguments = class_and_arguments(unpickler.load(), self._find_global)
        data, behind = record[: source.position], memo_behind(unpickler)
        if names is None:
            return _Head(data, ("", ""), unpickler, cls, arguments, None, behind)
        return _Head(data, names, None, cls, arguments, unpickler.memo, behind)

    def merge(
        self, head: _Head, resolve: _Resolve, old: bytes, committed: bytes, new: bytes
    ) -> bytes:
        """Return the record that merges three; `head` is that of the new one."""
        state_of = self._state
        old_state, committed_state = state_of(head, old), state_of(head, committed)
        new_state = head.unpickler.load() if head.unpickler else state_of(head, new)
        self._known.clear()  # the states keep theirs
        merged = self._pickler.dump_behind(
            head.pickler_memo, resolve(old_state, committed_state, new_state)
        )
        return head.data + (merged if OURS not in merged else with_stored_names(merged))

    def _reader_of(self, record: bytes) -> tuple[Pickles, Any]:
        """Return the record as a file, and an unpickler that reads it."""
        source = Pickles(record)
        return source, unpickler_of(source, self._find_global, self._load_reference)

    def _state(self, head: _Head, record: bytes) -> Any:
        data = head.data
        if head.unpickler or not record.startswith(data) or len(record) >= LARGE:
            _, unpickler = self._reader_of(record)
            unpickler.load()
            return unpickler.load()
        states = self._states
        state = states.load(record[len(data) :], head.unpickler_memo)
        read_behind = states.read_behind
        if read_behind(1):  # as `is_reusable` says, for one call less
            self._states = StateUnpickler(self._find_global, self._load_reference)
        return state

    def _reference(self, stored: Any) -> PersistentReference:
        key = tuple(stored) if isinstance(stored, list) else stored
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = PersistentReference(stored)
        return known


def _persistent_id(value: Any) -> Any:
    if type(value) is PersistentReference:
        return value.data
    if isinstance(value, Persistent):
        raise _Unresolvable(f"the resolved state holds an object, not a reference: {value!r}")
    if isinstance(value, Broken | BrokenClass):
        raise _Unresolvable(f"the state has something in it that cannot be imported: {value!r}")
    return None


def _as_it_is(data: bytes) -> bytes:
    return data


class RecordMerger:
    """Resolves conflicts. For any number of threads.

    `find_global` finds the classes. `untransform` makes pickles of what is stored,
    `transform` the reverse; both apply to every record here.
    """

    def __init__(
        self,
        find_global: FindGlobal = find_global,
        untransform: Callable[[bytes], bytes] = _as_it_is,
        transform: Callable[[bytes], bytes] = _as_it_is,
    ) -> None:
        self._find_global = find_global
        self._untransform = untransform
        self._transform = transform
        self._idle: list[_Merger] = []

    def resolve(
        self,
        load_serial: Callable[[bytes, bytes], bytes],
        oid: bytes,
        committed_tid: bytes,
        read_tid: bytes,
        new_data: bytes,
        committed_data: bytes | None = None,
    ) -> bytes:
        """Return and raise what `resolve_conflict` does."""

        untransform = self._untransform
        new: bytes | None = None
        try:
            new = untransform(new_data)
            # Taken out while it is in use: others resolve at the same time.
            try:
                merger = self._idle.pop()
            except IndexError:
                merger = _Merger(self._find_global)
            head = merger.head_of(new)
            resolve = _resolver(head, new)
            try:
                old = load_serial(oid, read_tid)
                committed = committed_data or load_serial(oid, committed_tid)
            except POSKeyError as error:
                reason = "a revision that it takes is gone, probably packed away"
                raise _Unresolvable(reason) from error
            merged = merger.merge(head, resolve, untransform(old), untransform(committed), new)
            self._idle.append(merger)
            return self._transform(merged)
        except Exception as error:
            reason = _reason(error)
            name = _name_in(new)
            if not (isinstance(error, _Unresolvable | TransientError) or _is_from_btrees(error)):
                logger.exception("resolving a conflict on class %s failed", name)
            raise ConflictError(
                f"database conflict error, not resolved: {reason}",
                oid=oid,
                serials=(committed_tid, read_tid),
                class_name=name,
            ) from error


def resolve_conflict(
    load_serial: Callable[[bytes, bytes], bytes],
    oid: bytes,
    committed_tid: bytes,
    read_tid: bytes,
    new_data: bytes,
    committed_data: bytes | None = None,
    *,
    find_global: FindGlobal = find_global,
    untransform: Callable[[bytes], bytes] = _as_it_is,
    transform: Callable[[bytes], bytes] = _as_it_is,
) -> bytes:
    """Return the record to store instead of `new_data`, made from all three.

    `load_serial(oid, tid)` returns the revision `read_tid` that `new_data` was
    made from, and `committed_tid` unless it is given. `untransform` makes pickles
    of what is stored, `transform` the reverse; both apply to every record here.

    Raises `ConflictError` with the reason, oid, class and both tids if the class
    offers no resolution, or if it fails; an exception other than a conflict in it
    is logged.
    """
    merger = RecordMerger(find_global, untransform, transform)
    return merger.resolve(load_serial, oid, committed_tid, read_tid, new_data, committed_data)


def _name_in(record: bytes | None) -> str | None:
    """Return the class of a record, for an error; None if there is no telling."""
    try:
        return None if record is None else class_name(record)
    except StateLoadError:
        return None


def _resolver(head: _Head, record: bytes) -> _Resolve:
    cls = head.cls
    if issubclass(cls, Broken):
        raise _Unresolvable(f"the class {class_name(record)} cannot be imported here")
    if getattr(cls, "_p_resolveConflict", None) is None:
        raise _Unresolvable(f"{class_name(record)} has no _p_resolveConflict")
    resolve: _Resolve = cls.__new__(cls, *head.arguments)._p_resolveConflict
    return resolve


def _reason(error: Exception) -> str:
    if isinstance(error, _Unresolvable):
        return str(error)
    if _is_from_btrees(error):
        return str(BTreesConflictError(*error.args))
    return f"{type(error).__name__}: {error}"


def _is_from_btrees(error: Exception) -> bool:
    # ZODB's class, or where ZODB is not installed one of BTrees' own, with the same arguments.
    return type(error).__name__ == "BTreesConflictError" and len(error.args) == 4
