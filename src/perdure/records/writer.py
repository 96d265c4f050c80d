"""From an object to its record: class metadata, state, and references in it.

One writer serves one connection, one record after the other. Whatever
persistent it meets inside a state becomes a reference; what has no oid yet gets
one, and is handed to the caller in `found`, to be stored too.

What is written for the class of an object is the same each time, so the writer
keeps it: the bytes, and the memo that a pickler has after writing them.
"""

import pickle
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, Protocol

from persistent import Persistent
from persistent.wref import WeakRef, WeakRefMarker
from transaction.interfaces import TransientError

from perdure import native
from perdure.errors import (
    InvalidObjectReference,
    POSError,
    RecordTooLargeError,
    UnpicklableError,
    dotted_name,
)
from perdure.ids import oid_repr
from perdure.records.broken import PersistentBroken
from perdure.records.codec import Memo, RecordPickler, trial
from perdure.records.names import OURS, with_stored_names
from perdure.records.paths import path_to
from perdure.records.reducing import global_of, has_slots, is_reduced_simply

__all__ = ["RecordWriter", "WriterJar"]


class WriterJar(Protocol):
    """What the writer asks of the connection it writes for."""

    def new_oid(self) -> bytes:
        """Return an oid for a new object."""

    def foreign_reference(self, obj: Any) -> tuple[str, bytes]:
        """Return the (database name, oid) by which an object of another connection is stored.

        Raises `InvalidObjectReference` if it must not be referred to.
        """


_PROTO: Final = b"\x80\x03"
_STOP: Final = b"."

_REFERABLE: Final = Persistent, type, WeakRef

# How the values of one class are stored.
_PLAIN: Final = "as a part of the state"
_BARE: Final = "as a reference without the class"
_WITH_CLASS: Final = "as a reference with the class"


class RecordWriter:
    """Writes the records of one connection's objects.

    `found` lists the new objects met since the caller last emptied it: each has
    got an oid and the connection, and is to be stored too. They stay in it when
    `serialize` fails, for the caller to take the oids back.
    """

    def __init__(self, jar: WriterJar) -> None:
        self.found: list[Any] = []
        self._jar = jar
        self._new_oid = jar.new_oid
        self._pickler = RecordPickler(self._make_persistent_id())
        self._heads: dict[type, tuple[bytes, Memo | None]] = {}
        self.serialize: Callable[[Any], bytes] = self._make_serialize()
        """Return the record of an object as it is now: ``serialize(obj)``.

        Raises `UnpicklableError` (`RecordTooLargeError` for a string over 4 GiB)
        where its state cannot be stored, `InvalidObjectReference` where it refers
        to an object that it must not; both say where. What its `__getstate__`
        raises passes through.
        """
        self._encoder = None
        if native.encoder:
            self._encoder = native.encoder.Encoder(
                jar=jar,
                found=self.found,
                classify=self._classify,
                global_of=global_of,
                reference_to=self._reference_to,
                hand_over=self._dump,
                write_anew=self.serialize,
            )
            self.serialize = self._encoder.serialize

    def _make_serialize(self) -> Callable[[Any], bytes]:
        """Return `serialize` without native code: called for each object, so made of locals."""
        head_of, anew, explain = self._heads.get, self._serialize, self._explain
        pickler, chunks = self._pickler.pickler, self._pickler.chunks
        dump, clear, clear_memo = pickler.dump, chunks.clear, pickler.clear_memo

        def serialize(obj: Any) -> bytes:
            head = head_of(type(obj))
            if head is None:
                return anew(obj)
            start, memo = head
            state = obj.__getstate__()
            # What `dump_behind` does.
            if memo is not None:
                pickler.memo = memo
            try:
                dump(state)
                if len(chunks) > 1:
                    return _large_record(start, chunks)
                data = chunks[0]
            except BaseException as error:
                explain(error, obj, state)
                raise
            finally:
                clear()
                clear_memo()
            # Not `in`: with bytes, that fails to take them for a number first.
            return start + (data if data.find(OURS) < 0 else with_stored_names(data))

        return serialize

    def _serialize(self, obj: Any) -> bytes:
        start, memo, state = self._head_and_state(obj, type(obj))
        return self._dump(obj, state, (start, memo))

    def _dump(self, obj: Any, state: Any, head: tuple[bytes, Memo | None] | None = None) -> bytes:
        """Return the record of an object that has this state; `head` is that of its class."""
        start, memo = head or self._heads[type(obj)]
        try:
            data = self._pickler.dump_behind(memo, state)
        except BaseException as error:
            self._explain(error, obj, state)
            raise
        return start + with_stored_names(data)

    # Class metadata

    def _head_and_state(self, obj: Any, cls: type) -> tuple[bytes, Memo | None, Any]:
        if isinstance(obj, PersistentBroken):
            state = obj.__getstate__()  # first, for a ghost learns of its head by loading
            return *_broken_head(obj, self._pickler), state
        get_arguments = getattr(obj, "__getnewargs__", None)
        arguments = None if get_arguments is None else get_arguments()
        state = obj.__getstate__()
        by_name = _is_persistent_class(cls) and bool(cls.__module__)
        metadata: Any = (cls.__module__, cls.__name__) if by_name else cls
        if by_name or get_arguments is not None:
            metadata = metadata, arguments
        try:
            self._pickler.start()
            start = with_stored_names(self._pickler.dump(metadata))
            memo = self._pickler.memo()
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            reason = f"its class, or what __getnewargs__ returned, cannot be pickled: {error}"
            raise UnpicklableError(obj._p_oid, _name_of(obj), reason) from error
        finally:
            self._pickler.forget()
        if metadata is cls and not _is_persistent_class(cls):
            self._heads[cls] = start, memo
            if self._encoder and memo == {id(cls): (0, cls)}:
                self._encoder.learn(cls, start, has_slots(cls))
        return start, memo, state

    def _classify(self, obj: Any) -> int:
        """Return what the encoder is told of the objects of a class; see its stub."""
        cls = type(obj)
        kind = _kind_of(obj, cls)
        if kind is _BARE or kind is _WITH_CLASS:
            return 1 if kind is _BARE else 2
        if kind is _PLAIN and issubclass(cls, type):
            return 4
        return 3 if kind is _PLAIN and is_reduced_simply(cls) else 0

    # References

    def _make_persistent_id(self) -> Any:
        """Return the pickler's `persistent_id`: called for every value, so made of locals."""
        plain: set[type] = {type}
        bare: dict[type, bool] = {}
        jar, new_oid, found = self._jar, self._new_oid, self.found
        reference_to = self._reference_to

        def persistent_id(obj: Any) -> Any:
            if type(obj) in plain:
                return None
            cls = type(obj)
            by_oid = bare.get(cls)
            if by_oid is None:
                kind = _kind_of(obj, cls)
                if kind is None:
                    return reference_to(obj)
                if kind is _PLAIN:
                    plain.add(cls)
                    return None
                by_oid = bare[cls] = kind is _BARE
            oid = obj._p_oid
            if oid is None:  # as `_adopt` does
                oid = obj._p_oid = new_oid()
                obj._p_jar = jar
                found.append(obj)
            elif obj._p_jar is not jar:
                return reference_to(obj)
            return oid if by_oid else (oid, cls)

        return persistent_id

    def _reference_to(self, obj: Any) -> Any:
        """Return the persistent id of a value that needs a closer look, None for a plain one."""
        if not _can_be_referred_to(obj):
            return None
        try:
            oid = obj._p_oid
        except AttributeError:
            return None
        if oid is WeakRefMarker:
            return self._weak_reference_to(obj)
        if not (oid is None or isinstance(oid, bytes)):
            return None  # a class whose instances are persistent: this is their descriptor
        database_name = None
        if oid is None:
            oid = self._adopt(obj)
        elif obj._p_jar is not self._jar:
            database_name, oid = self._jar.foreign_reference(obj)
        cls = type(obj)
        if hasattr(cls, "__getnewargs__"):
            # They can change, and asking for them would load the object.
            return oid if database_name is None else ["n", (database_name, oid)]
        return (oid, cls) if database_name is None else ["m", (database_name, oid, cls)]

    def _adopt(self, obj: Any) -> bytes:
        oid = obj._p_oid = self._new_oid()
        obj._p_jar = self._jar
        self.found.append(obj)
        return oid

    def _weak_reference_to(self, reference: Any) -> Any:
        target = reference.__dict__.get("_v_ob")
        if target is not None:
            # Not what the reference remembers: an abort may have taken that oid back.
            # A new target is stored even if nothing else refers to it, as in ZODB.
            oid = self._adopt(target) if target._p_oid is None else target._p_oid
            if reference.oid != oid or reference.__dict__.get("dm") is not target._p_jar:
                reference.oid = oid
                reference.dm = target._p_jar
                reference.__dict__.pop("database_name", None)
        if reference.oid is None:
            raise InvalidObjectReference("a weak reference that refers to nothing")
        if reference.__dict__.get("dm") is self._jar:
            return ["w", (reference.oid,)]
        if "database_name" not in reference.__dict__:
            reference.database_name = reference.dm.db().database_name
        return ["w", (reference.oid, reference.database_name)]

    # Errors

    def _explain(self, error: BaseException, obj: Any, state: Any) -> None:
        """Raise a better error than the pickler's, or let `error` pass with a note."""
        oid, class_name = obj._p_oid, _name_of(obj)
        if isinstance(error, InvalidObjectReference):
            error.found_in(oid, class_name, path_to(state, self._refuses, self._is_plain)[0])
        elif isinstance(error, RecursionError):
            raise UnpicklableError(oid, class_name, "its state is nested too deeply") from error
        elif isinstance(error, OverflowError) and "4 GiB" in str(error):
            reason = f"{_place(*path_to(state, self._fails, self._is_plain))} has 4 GiB or more"
            raise RecordTooLargeError(oid, class_name, reason) from error
        elif isinstance(error, pickle.PicklingError | TypeError | AttributeError):
            reason = (
                f"{_place(*path_to(state, self._fails, self._is_plain))} cannot be pickled: {error}"
            )
            raise UnpicklableError(oid, class_name, reason) from error
        elif isinstance(error, Exception) and not isinstance(error, POSError | TransientError):
            where = _place(*path_to(state, self._fails, self._is_plain))
            error.add_note(f"raised while storing oid {oid_repr(oid)} ({class_name}): {where}")

    def _fails(self, value: Any) -> bool:
        """Return whether `value` cannot be pickled; nothing gets an oid by this."""
        return trial(value, lambda obj: None if self._is_plain(obj) else b"")

    def _refuses(self, value: Any) -> bool:
        """Return whether there is a reference in `value` that is not allowed."""

        def persistent_id(obj: Any) -> Any:
            if self._is_plain(obj):
                return None
            if isinstance(obj, WeakRef) or obj._p_oid is None or obj._p_jar is self._jar:
                return b""
            return self._jar.foreign_reference(obj)

        return trial(value, persistent_id)

    def _is_plain(self, obj: Any) -> bool:
        if not _can_be_referred_to(obj):
            return True
        oid = getattr(obj, "_p_oid", _PLAIN)
        return not (oid is None or oid is WeakRefMarker or isinstance(oid, bytes))


def _large_record(head: bytes, chunks: list[bytes]) -> bytes:
    """Return the record of what a pickler wrote in several chunks, behind the class's `head`.

    Every second one is a large text as it is. Only the others, which the pickler has put
    together, have opcodes in them: looking for names in a text would take long.
    """
    record = b"".join((head, *chunks))
    return with_stored_names(record) if any(OURS in each for each in chunks[::2]) else record


def _can_be_referred_to(obj: Any) -> bool:
    # By the class it claims to be: a proxy counts as what it wraps.
    return isinstance(obj, _REFERABLE)


def _kind_of(obj: Any, cls: Any) -> str | None:
    """Return how values of a class are stored, None where each needs a closer look.

    The answer holds for every value of the class, so that it can be kept.
    """
    if issubclass(cls, type):
        return _PLAIN if getattr(cls, "_p_oid", None) is None else None
    if issubclass(cls, Persistent):
        if cls._p_oid is not Persistent._p_oid:
            return None
        return _BARE if hasattr(cls, "__getnewargs__") else _WITH_CLASS
    if _can_be_referred_to(obj) or obj.__class__ is not cls:
        return None
    return _PLAIN


def _is_persistent_class(cls: type) -> bool:
    return isinstance(getattr(cls, "_p_oid", 0), bytes | NoneType)


def _broken_head(broken: PersistentBroken, pickler: RecordPickler) -> tuple[bytes, Memo | None]:
    """Return class metadata, and the memo behind it, for an object without a class."""
    if broken.__Broken_head__ is not None:
        return broken.__Broken_head__
    cls = type(broken)
    name = b"c%s\n%s\nq\x00" % (cls.__module__.encode(), cls.__name__.encode())
    memo: Memo = {id(cls): (0, cls)}
    if not broken.__Broken_newargs__:
        return _PROTO + name + _STOP, memo
    pickler.start(memo)
    arguments = pickler.dump(broken.__Broken_newargs__)
    # The two pickles become one: (class, arguments).
    return _PROTO + name + arguments[len(_PROTO) : -len(_STOP)] + b"\x86" + _STOP, pickler.memo()


def _name_of(obj: Any) -> str:
    return dotted_name(obj if isinstance(obj, type) else type(obj))


def _place(path: str, value: Any) -> str:
    return f"{path or 'its state'} (of class {dotted_name(type(value))})"
