"""A record read without its classes: every class becomes an inert one, nothing is run.

The C unpickler does the reading, so it is fast. What it asks for by name it gets
as a class made here, which knows its name on disk; calling it, making an
instance of it or setting a state only takes note of that. So a record can be
looked at that comes from anywhere, for which there is no code, or whose code
must not run. What stands for a persistent reference, the caller says.
"""

import copyreg
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from perdure.errors import StateLoadError
from perdure.records.codec import PersistentLoad, Pickles, unpickler_of
from perdure.records.opcodes import memo_overflow
from perdure.records.transforms import is_plain, written_by_layer

__all__ = ["Inert", "InertClass", "class_name_of", "load_inert", "text"]


class InertClass(type):
    """A class of which only the name on disk is known: `stored` is (module, name).

    `outer` is the class it stands in, if it is inside another. `reference` is what
    stands for the reference, where the class is a persistent object itself.
    """

    stored: tuple[str, str]
    outer: "InertClass | None"
    reference: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.stored == _GETATTR and len(args) == 2 and isinstance(args[0], InertClass):
            return _inner_class(*args)
        made: Any = type.__call__(cls, *args, **kwargs)
        made.called = True
        return made


_GETATTR: Final = ("builtins", "getattr")


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
    outer = None
    reference = None

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

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, fact) == getattr(other, fact) for fact in Inert.__slots__
        )

    # As a key each is its own: what it stands for may not even be hashable.
    __hash__ = object.__hash__

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


@lru_cache(maxsize=512)
def _inner_class(outer: InertClass, name: Any) -> InertClass:
    """Return what `getattr(outer, name)` is: picklers write a class inside another like that."""
    stored = outer.stored[0], f"{outer.stored[1]}.{text(name)}"
    return InertClass("Inert", (Inert,), {"__slots__": (), "stored": stored, "outer": outer})


def _class_by_reference(reference: Any) -> InertClass:
    return InertClass("Inert", (Inert,), {"__slots__": (), "reference": reference})


def load_inert(
    record: bytes, reference_from: Callable[[Any], Any], pickles: int = 2
) -> tuple[list[Any], list[Any]]:
    """Return the first `pickles` values in a record, and the references in them, in order.

    The values are the class metadata, then the state. `reference_from` gets each
    reference as it was stored, with inert classes in it, and returns what is to
    stand for it in the values and in the list; it may be called several times
    for one. Raises `StateLoadError` if the record is damaged.
    """
    references: list[Any] = []

    def reference(stored: Any) -> Any:
        references.append(reference_from(stored))
        return references[-1]

    if memo_overflow(record, pickles):
        raise StateLoadError(reason="the record is damaged: it numbers objects that it cannot have")
    problem: Exception | None = None
    for unpickler in _ways_to_read(record, reference):
        references.clear()
        try:
            return [unpickler.load() for _ in range(pickles)], references
        except StateLoadError:
            raise
        except Exception as error:
            problem = problem or error
    if not is_plain(record):
        raise StateLoadError(reason=written_by_layer(record)) from problem
    raise StateLoadError(reason=f"the record is damaged: {problem!r}") from problem


def _ways_to_read(record: bytes, reference: PersistentLoad) -> Iterator[Any]:
    """Yield unpicklers, from the one that is right for nearly all records to the patient one."""
    # For extension codes the C unpickler would hand out the real objects.
    if not (_extensions() and _EXTENSION_CODE.search(record)):
        yield unpickler_of(Pickles(record), _inert_class, reference)

        def class_by_reference(stored: Any) -> InertClass:
            return _class_by_reference(reference(stored))

        # An instance of a class that is a persistent object: the reference has to be a class.
        yield unpickler_of(Pickles(record), _inert_class, class_by_reference)
    if _EXTENSION_CODE.search(record):
        yield _SlowUnpickler(record, reference)


_EXTENSION_CODE: Final = re.compile(b"[\x82-\x84]")


def _extensions() -> dict[int, tuple[str, str]]:
    return copyreg._inverted_registry  # type: ignore[attr-defined, no-any-return]


class _SlowUnpickler(pickle._Unpickler):
    """Python's own unpickler, which lets us look up extension codes."""

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


def class_name_of(value: Any) -> str | None:
    """Return "module.name" of a class in a record: inert, real, or a pair of names; else None."""
    if isinstance(value, InertClass):
        return ".".join(value.stored) if value.reference is None else None
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, tuple) and len(value) == 2:
        return f"{text(value[0])}.{text(value[1])}"
    return None


def text(name: Any) -> str:
    """Return a name in a record as text; Python 2 wrote names as bytes."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
