"""Classes that live in the database themselves, and not in a module.

A class made by `PersistentMetaClass` is a persistent object: it has an oid and a
connection, is stored when it is reachable, and its attributes can be changed in
a transaction like those of any other. All it holds must be picklable, functions
by the name of a module they are in. It cannot be a ghost: it loads as soon as it
is known which one it is, and again when another transaction changed it.

For records of instances to find their class, `DB(class_factory=...)` has to look
up the module name that these classes carry, in the database.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any, Final

__all__ = ["PersistentMetaClass"]

_UNSTORED: Final = "__global_persistent_class_not_stored_in_DB__"
"""An attribute that keeps one class out of the database, although made by the metaclass."""

# What every class has that is no part of its state.
_BUILT_IN: Final = ("__dict__", "__weakref__")


class _Fact:
    """A persistent attribute of the class itself, kept in its `_p_facts`.

    These have to be data descriptors of the metaclass: a class that inherits from
    `Persistent` has attributes of the same names for its instances, and they
    would come first.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, cls: Any, metaclass: type) -> Any:
        if cls is None:
            return self
        if _UNSTORED in vars(cls):
            raise AttributeError(self._name)
        return cls._p_facts.get(self._name)

    def __set__(self, cls: Any, value: Any) -> None:
        cls._p_facts[self._name] = value

    def __delete__(self, cls: Any) -> None:
        cls._p_facts.pop(self._name, None)


class _Identity(_Fact):
    """The oid and the connection: once both are known, the class can load."""

    def __set__(self, cls: Any, value: Any) -> None:
        facts = cls._p_facts
        if facts.get(self._name) == value:
            return
        facts[self._name] = value
        jar = facts.get("_p_jar")
        if jar is not None and facts.get("_p_oid") is not None and facts["_p_changed"] is None:
            jar.setstate(cls)


class _Changed(_Fact):
    """True, False, or None until the state is loaded; deleting it loads the state anew."""

    def __get__(self, cls: Any, metaclass: type) -> Any:
        return self if cls is None else cls._p_facts["_p_changed"]

    def __set__(self, cls: Any, value: Any) -> None:
        if value is not None:  # which would mean a ghost
            cls._p_facts["_p_changed"] = bool(value)

    def __delete__(self, cls: Any) -> None:
        cls._p_invalidate()


class _Method:
    """A method of the class itself that the classes it inherits from cannot hide."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, cls: Any, metaclass: type) -> Any:
        return self if cls is None else MethodType(self._function, cls)

    def __set__(self, cls: Any, value: Any) -> None:
        raise AttributeError(f"{self._function.__name__} of a persistent class cannot be set")


class PersistentMetaClass(type):
    """The class of persistent classes."""

    _p_facts: dict[str, Any]

    _p_jar = _Identity("_p_jar")
    _p_oid = _Identity("_p_oid")
    _p_changed = _Changed("_p_changed")
    _p_serial = _Fact("_p_serial")

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        changed: bool | None = False,
    ) -> "PersistentMetaClass":
        """Make a class; with None for `changed`, one that is still to be loaded."""
        own = {key: value for key, value in namespace.items() if not key.startswith("_p_")}
        own["_p_facts"] = {"_p_changed": changed}
        return super().__new__(cls, name, bases, own)

    def __setattr__(cls, name: str, value: Any) -> None:
        cls._note_change(name)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        cls._note_change(name)
        super().__delattr__(name)

    def _note_change(cls, name: str) -> None:
        facts = cls._p_facts
        if name.startswith(("_p_", "_v_")) or facts["_p_changed"] is not False:
            return
        jar = facts.get("_p_jar")
        if jar is not None and facts.get("_p_oid") is not None:
            facts["_p_changed"] = True
            jar.register(cls)

    @_Method
    def __getnewargs__(cls: Any) -> tuple[Any, ...]:
        return cls.__name__, cls.__bases__, {}, None

    @_Method
    def __getstate__(cls: Any) -> tuple[tuple[type, ...], dict[str, Any]]:
        return cls.__bases__, _state_of(cls)

    @_Method
    def __setstate__(cls: Any, state: tuple[tuple[type, ...], dict[str, Any]]) -> None:
        bases, attributes = state
        if cls.__bases__ != bases:
            type.__setattr__(cls, "__bases__", bases)
        new = {key: value for key, value in attributes.items() if not key.startswith("_p_")}
        for key in list(vars(cls)):
            if key not in new and key not in _BUILT_IN and not key.startswith("_p_"):
                type.__delattr__(cls, key)
        for key, value in new.items():
            type.__setattr__(cls, key, value)
        cls._p_facts["_p_changed"] = False

    @_Method
    def _p_activate(cls: Any) -> None:
        if cls._p_jar is not None and cls._p_changed is None:
            cls._p_jar.setstate(cls)

    @_Method
    def _p_deactivate(cls: Any) -> None:
        """Do nothing: a class cannot be a ghost."""

    @_Method
    def _p_invalidate(cls: Any) -> None:
        cls._p_facts["_p_changed"] = None
        if cls._p_jar is not None:
            cls._p_jar.setstate(cls)


def _state_of(cls: type) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(cls).items()
        if key not in _BUILT_IN and not key.startswith(("_p_", "_v_"))
    }
