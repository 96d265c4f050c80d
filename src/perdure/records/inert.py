"""A record read without its classes: every class becomes an inert one, nothing is run.

The C unpickler does the reading, so it is fast. What it asks for by name it gets
as a class made here, which knows its name on disk; calling it, making an
instance of it or setting a state only takes note of that. So a record can be
looked at that comes from anywhere, for which there is no code, or whose code
must not run. Persistent references become `Reference`s.
"""

import copyreg
import pickle
import re
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from perdure.errors import StateLoadError
from perdure.records.codec import PersistentLoad, Pickles, unpickler_of

__all__ = ["Inert", "InertClass", "class_name_of", "global_name", "load_inert"]


class InertClass(type):
    """A class of which only the name on disk is known: `stored` is (module, name)."""

    stored: tuple[str, str]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = type.__call__(cls, *args, **kwargs)
        made.called = True
        return made


class Inert(metaclass=InertClass):
    """What a record wanted to make: the class is `type(self)`.

    `args` and `kwargs` are those of the call, if `called`, else those of `__new__`.
    `function` is set where a made object was called itself. `state` is what
    `__setstate__` got, in a tuple, or () where it was not called.
    """

    __slots__ = ("args", "called", "function", "items", "kwargs", "pairs", "state")

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    called: bool
    function: Any
    state: tuple[Any, ...]
    items: list[Any]
    pairs: list[tuple[Any, Any]]

    stored = ("", "")

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = object.__new__(cls)
        made.args = args
        made.kwargs = kwargs
        made.called = False
        made.function = None
        made.state = ()
        made.items = []
        made.pairs = []
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = Inert(*args, **kwargs)
        made.function = self
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = (state,)

    def append(self, item: Any) -> None:
        self.items.append(item)

    add = append

    def extend(self, items: Iterable[Any]) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))


@lru_cache(maxsize=4096)
def _inert_class(module: str, name: str) -> InertClass:
    return InertClass("Inert", (Inert,), {"__slots__": (), "stored": (module, name)})


class _SlowUnpickler(pickle._Unpickler):
    """For records with extension codes: the C unpickler would hand out the real objects."""

    def __init__(self, record: bytes, persistent_load: PersistentLoad) -> None:
        super().__init__(BytesIO(record), encoding="bytes")
        self._load_reference = persistent_load

    def persistent_load(self, pid: Any) -> Any:
        return self._load_reference(pid)

    def find_class(self, module: str, name: str) -> Any:
        return _inert_class(module, name)

    def get_extension(self, code: int) -> None:
        module, name = _extensions().get(code, ("copyreg extension", str(code)))
        self.append(_inert_class(module, name))  # type: ignore[attr-defined]  # set by load()


_EXTENSION_CODE: Final = re.compile(b"[\x82-\x84]")


def _extensions() -> dict[int, tuple[str, str]]:
    return copyreg._inverted_registry  # type: ignore[attr-defined, no-any-return]


def load_inert(record: bytes, persistent_load: PersistentLoad, pickles: int = 2) -> list[Any]:
    """Return the first `pickles` values in a record: class metadata, then state.

    `persistent_load` is called with each reference as it was stored, in which
    classes are inert. Raises `StateLoadError` if the record is damaged.
    """
    slow = bool(_extensions()) and _EXTENSION_CODE.search(record) is not None
    try:
        if not slow:
            unpickler: Any = unpickler_of(Pickles(record), _inert_class, persistent_load)
            try:
                return [unpickler.load() for _ in range(pickles)]
            except ValueError:
                if _EXTENSION_CODE.search(record) is None:
                    raise
        unpickler = _SlowUnpickler(record, persistent_load)
        return [unpickler.load() for _ in range(pickles)]
    except StateLoadError:
        raise
    except Exception as error:
        raise StateLoadError(reason=f"the record is damaged: {error!r}") from error


def global_name(value: Any) -> tuple[str, str] | None:
    """Return the module and name of what an inert value stands for, None if it is no global.

    A class inside another is stored as a call of `getattr`; its name is dotted.
    """
    if isinstance(value, InertClass):
        return value.stored
    if isinstance(value, Inert) and value.called and type(value).stored == ("builtins", "getattr"):
        outer = global_name(value.args[0])
        if outer is not None and isinstance(value.args[1], str):
            return outer[0], f"{outer[1]}.{value.args[1]}"
    return None


def class_name_of(value: Any) -> str | None:
    """Return "module.name" of a class in a record: inert, real, or a pair of names; else None."""
    names = global_name(value)
    if names is None and isinstance(value, tuple) and len(value) == 2:
        names = text(value[0]), text(value[1])
    if names is None and isinstance(value, type):
        names = value.__module__, value.__qualname__
    return None if names is None else ".".join(names)


def text(name: Any) -> str:
    """Return a name in a record as text; Python 2 wrote names as bytes."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
