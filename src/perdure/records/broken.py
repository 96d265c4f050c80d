"""Stand-ins for objects whose class is gone, or must not be loaded.

A record can be read without its classes: each missing one is replaced by a
class of the same name below `Broken`. Its instances hold what the record said
(arguments, state, items), show it, refuse to be changed, and are written back
as they were: a persistent one under its own class name, with the metadata it was
read with; a value inside a state as a call of ``ZODB.broken.rebuild``, which
makes the real object as soon as the class can be imported again.
"""

import copyreg
import reprlib
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

from persistent import Persistent

from perdure.errors import dotted_name
from perdure.records.codec import Memo
from perdure.records.names import local_name, stored_name

__all__ = [
    "Broken",
    "BrokenClass",
    "BrokenModified",
    "PersistentBroken",
    "broken_class",
    "find_global",
    "persistent_broken",
    "rebuild",
]


class BrokenModified(TypeError):
    """A broken object was to be changed."""


class BrokenClass(type):
    """The class of broken classes, so that they can be pickled although they are nowhere."""


class Broken(metaclass=BrokenClass):
    """An instance of a class that is not there.

    `__Broken_newargs__` are the arguments of its `__new__`, `__Broken_initargs__`
    those of a call of the class (None where it was not called), `__Broken_state__`
    is what `__setstate__` was given. `__Broken_items__` and `__Broken_pairs__` are
    the contents of what was a list, set or dictionary.
    """

    __Broken_state__: Any = None
    __Broken_initargs__: tuple[Any, ...] | None = None
    __Broken_newargs__: tuple[Any, ...] = ()
    __Broken_items__: Sequence[Any] = ()
    __Broken_pairs__: Sequence[tuple[Any, Any]] = ()

    def __new__(cls, *args: Any) -> Any:
        broken = object.__new__(cls)
        broken.__dict__["__Broken_newargs__"] = args
        return broken

    def __init__(self, *args: Any) -> None:
        self.__dict__["__Broken_initargs__"] = args

    def __reduce__(self) -> tuple[Any, ...]:
        make: tuple[Any, tuple[Any, ...]]
        cls = type(self)
        if self.__Broken_initargs__ is None:
            make = rebuild, (cls.__module__, cls.__name__, *self.__Broken_newargs__)
        else:
            make = cls, self.__Broken_initargs__
        items = iter(self.__Broken_items__) if self.__Broken_items__ else None
        pairs = iter(self.__Broken_pairs__) if self.__Broken_pairs__ else None
        return *make, self.__Broken_state__, items, pairs

    def __setstate__(self, state: Any) -> None:
        self.__dict__["__Broken_state__"] = state

    # How an unpickler fills a list, a set and a dictionary; the state comes last.

    def append(self, item: Any) -> None:
        self.extend((item,))

    add = append

    def extend(self, items: Iterable[Any]) -> None:
        self._refuse_once_loaded()
        self.__dict__.setdefault("__Broken_items__", []).extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._refuse_once_loaded()
        self.__dict__.setdefault("__Broken_pairs__", []).append((key, value))

    def _refuse_once_loaded(self) -> None:
        if "__Broken_state__" in self.__dict__:
            raise BrokenModified(_REFUSAL)

    def __setattr__(self, name: str, value: Any) -> None:
        raise BrokenModified(_REFUSAL)

    def __delattr__(self, name: str) -> None:
        raise BrokenModified(_REFUSAL)

    def __repr__(self) -> str:
        return f"<broken {dotted_name(type(self))} instance{_contents(self)}>"


class PersistentBroken(Broken, Persistent):
    """A persistent object whose class is not there.

    `__Broken_head__` is the class metadata it was loaded with, as a record has
    it, and the memo with which a pickler goes on; None where it was not loaded.
    """

    __Broken_head__: tuple[bytes, Memo | None] | None = None

    def __new__(cls, *args: Any) -> Any:
        broken = Persistent.__new__(cls)
        broken.__dict__["__Broken_newargs__"] = args
        return broken

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.__Broken_newargs__

    def __getstate__(self) -> Any:
        return self.__Broken_state__

    def __reduce__(self) -> Any:
        raise BrokenModified(f"{self!r} can be stored only as an object of its own")

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_p_"):
            raise BrokenModified(_REFUSAL)
        Persistent.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_p_"):
            raise BrokenModified(_REFUSAL)
        Persistent.__delattr__(self, name)

    def __repr__(self) -> str:
        # A ghost stays one: who prints it should not load it.
        contents = "" if self._p_changed is None else _contents(self)
        return f"<persistent broken {dotted_name(type(self))} instance {self._p_oid!r}{contents}>"


_REFUSAL: Final = "the class of this object is missing, so it cannot be changed, only read"


def _contents(broken: Broken) -> str:
    facts = broken.__dict__
    shown = (
        f"{word} {reprlib.repr(facts[name])}"
        for word, name in (
            ("state", "__Broken_state__"),
            ("items", "__Broken_items__"),
            ("pairs", "__Broken_pairs__"),
        )
        if facts.get(name) is not None
    )
    return "".join(f", {fact}" for fact in shown)


_classes: dict[tuple[str, str], type[Broken]] = {}


def broken_class(module: str, name: str) -> type[Broken]:
    """Return the broken class of this name, always the same one."""
    try:
        return _classes[module, name]
    except KeyError:
        made = _make(module, name, (Broken,))
        # Two threads may get here at once; both must leave with the same class.
        return _classes.setdefault((module, name), made)


def persistent_broken(cls: type[Broken]) -> type[Broken]:
    """Return the persistent class that belongs to a broken class, always the same one."""
    if issubclass(cls, PersistentBroken):
        return cls
    found: type[Broken] | None = cls.__dict__.get("__Broken_Persistent__")
    if found is None:
        found = _make(cls.__module__, cls.__name__, (PersistentBroken, cls))
        type.__setattr__(cls, "__Broken_Persistent__", found)
    return found


def _make(module: str, name: str, bases: tuple[type, ...]) -> type[Broken]:
    made: Any = BrokenClass(name, bases, {"__module__": module, "__qualname__": name})
    return made  # type: ignore[no-any-return]


def find_global(module: str, name: str) -> Any:
    """Return the global that a record calls `module` and `name`, imported if need be.

    Where it cannot be imported or is not there, a broken class stands in for it.
    An error other than `ImportError` while importing passes through.
    """
    module, name = local_name(module, name)
    try:
        return getattr(sys.modules[module], name)
    except (AttributeError, KeyError):
        return _import_global(module, name)


def _import_global(module: str, name: str) -> Any:
    try:
        return attrgetter(name)(import_module(module))
    except (ImportError, AttributeError):
        pass  # not there: it is broken
    except (TypeError, ValueError):
        if module and not module.startswith("."):
            raise  # raised by the module itself, not by its name
    return broken_class(module, name)


def rebuild(module: str, name: str, *args: Any) -> Any:
    """Return an object that was stored while its class was missing: real again, or broken."""
    cls = find_global(module, name)
    return cls.__new__(cls, *args)


def _reduce_class(cls: type) -> tuple[Any, ...]:
    return find_global, stored_name(cls.__module__, cls.__name__)


copyreg.pickle(BrokenClass, _reduce_class)
