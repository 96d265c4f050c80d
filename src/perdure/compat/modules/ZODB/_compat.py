"""`ZODB._compat`: the picklers' names, on the standard library's `pickle`.

Protocol 3, as in every record. Short strings of Python 2 are read as `bytes`.
"""

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import IO, Any, Final

__all__ = [
    "FILESTORAGE_MAGIC",
    "HIGHEST_PROTOCOL",
    "PersistentPickler",
    "PersistentUnpickler",
    "Pickler",
    "Unpickler",
    "ascii_bytes",
    "dump",
    "dumps",
    "loads",
]

HIGHEST_PROTOCOL: Final = 3
_protocol: Final = HIGHEST_PROTOCOL  # by this name it is what ZODB's test mix-ins import
FILESTORAGE_MAGIC: Final = b"FS30"


class Pickler(pickle.Pickler):
    """A pickler of protocol 3."""

    def __init__(self, f: IO[bytes], protocol: int | None = None) -> None:
        super().__init__(f, HIGHEST_PROTOCOL if protocol is None else protocol)


class Unpickler(pickle.Unpickler):
    """An unpickler whose `find_global(module, name)` may be set, to choose the classes."""

    find_global: Callable[[str, str], Any] | None = None

    def __init__(self, f: IO[bytes]) -> None:
        super().__init__(f, encoding="bytes")

    def find_class(self, modulename: str, name: str) -> Any:
        if self.find_global is None:
            return super().find_class(modulename, name)
        return self.find_global(modulename, name)


class _PersistentPickler(Pickler):
    persistent_id: Any  # set on the instance, which the C pickler honours


class _PersistentUnpickler(Unpickler):
    persistent_load: Any


def PersistentPickler(persistent_id: Any, *args: Any, **kwargs: Any) -> Pickler:
    """Return a pickler that asks `persistent_id` about each object."""
    pickler = _PersistentPickler(*args, **kwargs)
    pickler.persistent_id = persistent_id
    return pickler


def PersistentUnpickler(
    find_global: Any, load_persistent: Any, *args: Any, **kwargs: Any
) -> Unpickler:
    """Return an unpickler that asks for classes and persistent objects; either may be None."""
    unpickler = _PersistentUnpickler(*args, **kwargs)
    if find_global is not None:
        unpickler.find_global = find_global
    if load_persistent is not None:
        unpickler.persistent_load = load_persistent
    return unpickler


def dump(o: Any, f: IO[bytes], protocol: int | None = None) -> None:
    """Write the pickle of `o` to the file `f`."""
    Pickler(f, protocol).dump(o)


def dumps(o: Any, protocol: int | None = None) -> bytes:
    """Return the pickle of `o`."""
    return pickle.dumps(o, HIGHEST_PROTOCOL if protocol is None else protocol)


def loads(s: bytes) -> Any:
    """Return what the pickle `s` holds."""
    return Unpickler(BytesIO(s)).load()


def ascii_bytes(x: str | bytes) -> bytes:
    """Return text as ASCII; bytes as they are."""
    return x.encode("ascii") if isinstance(x, str) else x
