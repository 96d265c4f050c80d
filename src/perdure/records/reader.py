"""From a record to an object: a ghost from the class metadata, then its state.

References in a state become the objects in the connection's cache, or new
ghosts in it: a reference that tells the class needs no look at its record.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from types import BuiltinMethodType
from typing import Any, Final, Protocol

from persistent.wref import WeakRef
from transaction.interfaces import TransientError

from perdure import native
from perdure.errors import ConnectionStateError, POSError, StateLoadError, dotted_name
from perdure.records.broken import Broken, PersistentBroken, persistent_broken
from perdure.records.classes import is_steady
from perdure.records.classmeta import class_and_arguments, class_at_head, class_name
from perdure.records.codec import (
    LARGE,
    PROTOCOL,
    FindGlobal,
    Pickles,
    StateUnpickler,
    memo_behind,
    unpickler_of,
)
from perdure.records.inert import text
from perdure.records.opcodes import memo_overflow
from perdure.records.references import oid_in
from perdure.records.transforms import is_plain, written_by_layer

__all__ = ["ReaderJar", "RecordReader"]


_Head = tuple[bytes, Any, int]
"""How the records of a class begin, the memo of an unpickler behind that, and its size."""

_NO_HEAD: Final[_Head] = b"\0", None, 0
"""No record begins like this."""


class ReaderJar(Protocol):
    """What the reader asks of the connection it reads for; the names are ZODB's."""

    @property
    def _cache(self) -> Any: ...

    def get(self, oid: bytes) -> Any:
        """Return the object with this oid."""

    def get_connection(self, database_name: str) -> Any:
        """Return the connection to another database that goes with this one."""


class RecordReader:
    """Reads records for one connection.

    `cache` is the connection's `PickleCache`. `find_global` is called with module
    and name of every class and function that a record mentions. `examine` is called with
    the oid of an object whose record makes no sense: it may know why, and raise that.
    """

    def __init__(
        self,
        jar: ReaderJar,
        cache: Any,
        find_global: FindGlobal,
        examine: Callable[[bytes], object] | None = None,
    ) -> None:
        self._jar = jar
        self._examine = examine
        self._cached = cache.get
        self._new_ghost = cache.new_ghost
        self._find_global = find_global
        self._hits = 0
        # Classes whose instances are made by C code, without arguments.
        self._plainly_made: set[type] = set()
        self._load_reference = self._make_load_reference()
        # Persistent classes while they load, which they do before they are in the cache.
        self._loading: dict[bytes, Any] = {}
        self._heads: dict[type, _Head] = {}
        self._set_state = self._make_set_state()
        self.set_state = self._set_state
        """Give an object the state in a record: ``set_state(obj, record)``.

        Raises `StateLoadError` if the record cannot be read or the object refuses
        its state, with the error that was met as its cause; a `POSError` or a
        transient error met on the way passes as it is.
        """
        self._decoder = None
        if native.decoder:
            self._decoder = native.decoder.Decoder(
                cache=cache,
                find_global=find_global,
                steady=is_steady(find_global),
                load_reference=self._load_reference,
                broken=Broken,
                hand_over=self._read_anew,
                explain=self._explain,
                refused=self._refused,
            )
            self.set_state = self._decoder.set_state

    @property
    def hits(self) -> int:
        """How many references led to an object in the cache."""
        return self._hits + (self._decoder.hits if self._decoder else 0)

    # Reading

    def class_name(self, record: bytes) -> str:
        """Return "module.name" of the class as the record has it; imports nothing."""
        return class_name(record)

    def ghost(self, record: bytes) -> Any:
        """Return a new object of the record's class, without state, oid or connection.

        Raises `StateLoadError` if the object cannot be made.
        """
        arguments: tuple[Any, ...] = ()
        try:
            names = class_at_head(record)
            if names is not None:
                cls = self._find_global(*names)
            else:
                metadata = self._unpickler(Pickles(record)).load()
                cls, arguments = class_and_arguments(metadata, self._find_global)
            if issubclass(cls, Broken):
                cls = persistent_broken(cls)
            return cls.__new__(cls, *arguments)
        except (POSError, TransientError):
            raise
        except Exception as error:
            raise StateLoadError(None, _class_name_in(record), _reason(error, record)) from error

    def state(self, record: bytes) -> Any:
        """Return the state in a record; references in it become objects of the connection.

        Raises `StateLoadError` if it cannot be read.
        """
        return self._state_for(None, record)

    def _make_set_state(self) -> Callable[[Any, bytes], None]:
        """Return `set_state` without native code: called for each object, so made of locals."""
        head_of, state_for = self._heads.get, self._state_for
        explain, refused = self._explain, self._refused
        find_global, load_reference = self._find_global, self._load_reference
        spare: StateUnpickler | None = None

        def set_state(obj: Any, record: bytes) -> None:
            nonlocal spare
            head, memo, size = head_of(type(obj), _NO_HEAD)
            if record.startswith(head):
                try:
                    if len(record) < LARGE:
                        # Taken out while it is in use: loading one object may load another.
                        states, spare = spare, None
                        if states is None:
                            states = StateUnpickler(find_global, load_reference)
                        # What `states.load` does.
                        if memo is not states.memo:
                            states.unpickler.memo = states.memo = memo
                        data = record[size:]
                        fill_ahead, fill_behind = states.fill_ahead, states.fill_behind
                        read, read_behind = states.read, states.read_behind
                        fill_ahead(data)
                        fill_behind(data)
                        state = read()
                        states.unpickler.memo = memo
                        if not read_behind(1):  # as `is_reusable` says
                            spare = states
                    else:
                        source = Pickles(record, size)
                        state = unpickler_of(source, find_global, load_reference, memo).load()
                except BaseException as error:
                    explain(error, obj, record)
                    raise
            else:
                state = state_for(obj, record)
            try:
                if type(state) is not dict:
                    refuse_childless_tree(obj, state)
                obj.__setstate__(state)
            except BaseException as error:
                refused(error, obj, record)
                raise

        return set_state

    def _read_anew(self, obj: Any, record: bytes) -> None:
        """Give `obj` the state in a record that the decoder does not know how to read."""
        # The unpickler makes room for every number up to the largest one that it meets.
        if _is_out_of_bounds(record):
            reason = "its record is damaged: it numbers objects that it cannot have"
            raise self._state_load_error(obj._p_oid, _name_of(obj), reason)
        if self._decoder and self._learns_from(obj, record):
            self._decoder.set_state(obj, record)
        else:
            self._set_state(obj, record)

    def _learns_from(self, obj: Any, record: bytes) -> bool:
        """Have the decoder learn how such records begin; return whether that was news to it."""
        head = self._heads.get(type(obj), _NO_HEAD)[0]
        if isinstance(obj, Broken | type) or record.startswith(head):
            return False
        try:
            if class_at_head(record) is None:
                return False
            source = Pickles(record)
            metadata = self._unpickler(source).load()
            return self._learn(obj, metadata, record[: source.position])
        except BaseException as error:
            self._explain(error, obj, record)
            raise

    def _state_for(self, obj: Any, record: bytes) -> Any:
        """Return the state, reading the class metadata too."""
        is_class = issubclass(type(obj), type)
        if is_class:
            self._loading[obj._p_oid] = obj
        try:
            return self._whole_state_for(obj, record)
        except BaseException as error:
            self._explain(error, obj, record)
            raise
        finally:
            if is_class:
                self._loading.pop(obj._p_oid, None)

    def _explain(self, error: BaseException, obj: Any, record: bytes) -> None:
        """Raise a better error than what was met while reading, or return to let it pass."""
        if isinstance(error, Exception) and not isinstance(error, POSError | TransientError):
            oid = None if obj is None else obj._p_oid
            name = _class_name_in(record) if obj is None else _name_of(obj)
            raise self._state_load_error(oid, name, _reason(error, record)) from error

    def _refused(self, error: BaseException, obj: Any, record: bytes) -> None:
        """Raise a better error than what `__setstate__` raised, or return to let it pass."""
        if isinstance(error, Exception) and not isinstance(error, POSError | TransientError):
            reason = f"its __setstate__ raised {error!r}"
            raise self._state_load_error(obj._p_oid, _name_of(obj), reason) from error

    def _state_load_error(self, oid: bytes | None, name: str | None, reason: str) -> StateLoadError:
        """Return the error for a record that makes no sense; raises what `examine` knows."""
        if oid is not None and self._examine is not None:
            self._examine(oid)
        return StateLoadError(oid, name, reason)

    def _whole_state_for(self, obj: Any, record: bytes) -> Any:
        source = Pickles(record)
        unpickler = self._unpickler(source)
        metadata = unpickler.load()
        head = record[: source.position]
        if isinstance(obj, PersistentBroken):
            self._keep_head(obj, metadata, head, unpickler)
        else:
            self._learn(obj, metadata, head)
        return unpickler.load()

    def _learn(self, obj: Any, metadata: Any, head: bytes) -> bool:
        """Keep how records of a class begin, if the next one need not be read from there."""
        # From protocol 4 on, opcodes count on what an unpickler has put into its memo itself.
        if metadata is not type(obj) or head[1] > PROTOCOL or class_at_head(head) is None:
            return False
        before_state = self._unpickler(Pickles(head))
        before_state.load()
        self._heads[metadata] = head, before_state.memo, len(head)
        if self._decoder:
            (number,) = before_state.memo.copy() or (-1,)
            self._decoder.learn(metadata, head, number)
        return True

    def _unpickler(self, source: Pickles) -> Any:
        return unpickler_of(source, self._find_global, self._load_reference)

    def _keep_head(self, obj: Any, metadata: Any, head: bytes, unpickler: Any) -> None:
        """Note on a broken object how it was stored, so that it can be stored like that."""
        _, arguments = class_and_arguments(metadata, self._find_global)
        obj.__dict__["__Broken_newargs__"] = arguments
        obj.__dict__["__Broken_head__"] = (head, memo_behind(unpickler))

    # References

    def _make_load_reference(self) -> Callable[[Any], Any]:
        """Return the unpicklers' `persistent_load`: called for each reference, so of locals."""
        cached, new_ghost, plainly_made = self._cached, self._new_ghost, self._plainly_made
        reference = self._reference

        def load_reference(stored: Any) -> Any:
            if type(stored) is tuple:
                oid, cls = stored
                obj = cached(oid)
                if obj is not None:
                    self._hits += 1
                    return obj
                if cls in plainly_made and type(oid) is bytes and len(oid) == 8:
                    try:
                        ghost = cls.__new__(cls)
                    except TypeError:
                        return reference(oid, cls)  # it takes arguments by now
                    # Its allocation may have run the garbage collector, and that may have
                    # loaded it; `new_ghost` must not meet one: persistent 6 frees that then.
                    obj = cached(oid)
                    if obj is not None:
                        return obj
                    new_ghost(oid, ghost)
                    return ghost
                return reference(oid, cls)
            if isinstance(stored, list):
                return self._special_reference(stored)
            return self._by_oid(oid_in(stored))

        return load_reference

    def _by_oid(self, oid: bytes) -> Any:
        obj = self._cached(oid)
        if obj is None:
            obj = self._loading.get(oid)
        return self._jar.get(oid) if obj is None else obj

    def _reference(self, oid: Any, cls: Any) -> Any:
        """Return a new ghost in the cache for an object that is not there yet."""
        if type(oid) is not bytes or len(oid) != 8:
            oid = oid_in(oid)
            obj = self._cached(oid)
            if obj is not None:
                return obj
        if isinstance(cls, tuple):
            cls = self._find_global(*map(text, cls))
        if issubclass(cls, Broken):
            cls = persistent_broken(cls)
        try:
            ghost = cls.__new__(cls)
        except TypeError:
            # It takes arguments by now; its own record has them.
            return self._jar.get(oid)
        # Making it may have run code, and that may have loaded it.
        obj = self._cached(oid)
        if obj is not None:
            return obj
        self._new_ghost(oid, ghost)
        if type(cls.__new__) is BuiltinMethodType:
            self._plainly_made.add(cls)
        return ghost

    def _special_reference(self, stored: list[Any]) -> Any:
        if len(stored) == 1:
            return self._weak_reference(stored[0])
        kind, args = stored
        kind = text(kind)
        if kind == "w":
            return self._weak_reference(*args)
        if kind == "n":
            database_name, oid = args
            return self._reader_of(database_name)._by_oid(oid_in(oid))
        if kind == "m":
            database_name, oid, cls = args
            return self._reader_of(database_name)._load_reference((oid, cls))
        raise StateLoadError(reason=f"found a reference of unknown kind {kind!r}")

    def _reader_of(self, database_name: Any) -> "RecordReader":
        other = self._jar.get_connection(text(database_name))
        return RecordReader(other, other._cache, self._find_global)

    def _weak_reference(self, oid: Any, database_name: Any = None) -> WeakRef:
        reference = WeakRef.__new__(WeakRef)
        reference.oid = oid_in(oid)
        if database_name is None:
            reference.dm = self._jar
            return reference
        reference.database_name = text(database_name)
        # Without that database it leads nowhere, as if the object were gone.
        with suppress(KeyError, ConnectionStateError):
            reference.dm = self._jar.get_connection(reference.database_name)
        return reference


def refuse_childless_tree(obj: Any, state: Any) -> None:
    """Raise `ValueError` for the state of a tree, not a bucket, that has no children.

    No tree has such a state, but a damaged record may; BTrees ends the process at it,
    by an assertion (`_BTree_setstate` in its `BTreeTemplate.c`).
    """
    if not (isinstance(state, tuple) and state and isinstance(state[0], tuple) and not state[0]):
        return
    if getattr(type(obj), "_bucket_type", None) is not None:
        raise ValueError("the state of a tree without children")


def _is_out_of_bounds(record: bytes) -> bool:
    # The scan knows nearly all records, and none of those; the search takes 20 times as long.
    known = native.scanner and native.scanner.references(record) is not None
    return not known and memo_overflow(record, 2)


def _name_of(obj: Any) -> str:
    return dotted_name(obj if isinstance(obj, type) else type(obj))


def _class_name_in(record: bytes) -> str | None:
    try:
        return class_name(record)
    except StateLoadError:
        return None


def _reason(error: Exception, record: bytes) -> str:
    if not is_plain(record):
        return written_by_layer(record)
    if isinstance(error, EOFError | pickle.UnpicklingError | UnicodeDecodeError):
        return f"its record is damaged: {error!r}"
    return f"reading it raised {error!r}"
