"""`ZODB.utils`: oids, tids, locks, and small things that storages share."""

import os
import shutil
from binascii import hexlify, unhexlify
from collections.abc import Callable
from functools import partial, update_wrapper
from io import BytesIO
from tempfile import mkstemp
from threading import Condition, Lock, RLock
from types import MethodType
from typing import IO, Any, Final

from persistent.timestamp import TimeStamp

from perdure import clock
from perdure.ids import MAX_TID, ZERO, after, p64, u64
from ZODB._compat import Unpickler, ascii_bytes

__all__ = [
    "U64",
    "BytesIO",
    "Condition",
    "Lock",
    "Locked",
    "RLock",
    "TimeStamp",
    "Unpickler",
    "as_bytes",
    "as_text",
    "ascii_bytes",
    "at2before",
    "before2at",
    "byte_chr",
    "byte_ord",
    "check_precondition",
    "cp",
    "get_pickle_metadata",
    "hexlify",
    "load_current",
    "locked",
    "maxtid",
    "mkstemp",
    "mktemp",
    "newTid",
    "oid_repr",
    "p64",
    "readable_tid_repr",
    "repr_to_oid",
    "serial_repr",
    "tid_repr",
    "u64",
    "unhexlify",
    "z64",
]

z64: Final = ZERO
maxtid: Final = MAX_TID
U64 = u64


def byte_ord(byte: int) -> int:
    """Return `byte`, an item of `bytes`, as a number."""
    return byte


def byte_chr(int: int) -> bytes:
    """Return one byte."""
    return bytes((int,))


def as_bytes(obj: str | bytes) -> bytes:
    """Return text as UTF-8; bytes as they are."""
    return obj.encode() if isinstance(obj, str) else obj


def as_text(bytes: bytes) -> str:
    """Return UTF-8 as text."""
    return bytes.decode()


def oid_repr(oid: Any) -> str:
    """Return 8 bytes as ZODB shows them: hexadecimal, an even number of digits."""
    if isinstance(oid, bytes) and len(oid) == 8:
        return "0x" + (oid.lstrip(b"\0") or b"\0").hex()
    return repr(oid)


serial_repr = oid_repr
tid_repr = serial_repr


def repr_to_oid(repr: str) -> bytes:
    """Return the oid that `oid_repr` has shown."""
    return unhexlify(repr.removeprefix("0x")).rjust(8, b"\0")


def readable_tid_repr(tid: Any) -> str:
    """Return a tid and the moment that it stands for."""
    text = tid_repr(tid)
    if isinstance(tid, bytes) and len(tid) == 8:
        text += f" {TimeStamp(tid)}"
    return text


def newTid(old: bytes | None) -> bytes:
    """Return a tid for now that is later than `old`."""
    return clock.next_tid(ZERO if old is None else old)


def at2before(at: bytes) -> bytes:
    """Return the tid before which is what `at` includes."""
    return after(at)


def before2at(before: bytes) -> bytes:
    """Return the last tid that is before `before`."""
    return p64(u64(before) - 1)


def cp(f1: IO[bytes], f2: IO[bytes], length: int | None = None, bufsize: int = 64 * 1024) -> None:
    """Copy `length` bytes, by default the rest, from where `f1` stands to where `f2` stands."""
    if length is None:
        shutil.copyfileobj(f1, f2, bufsize)
        return
    while length > 0:
        piece = f1.read(min(bufsize, length))
        if not piece:
            return
        f2.write(piece)
        length -= len(piece)


def mktemp(dir: str | None = None, prefix: str = "tmp") -> str:
    """Return the path of a new, empty temporary file."""
    handle, filename = mkstemp(dir=dir, prefix=prefix)
    os.close(handle)
    return filename


def get_pickle_metadata(data: bytes) -> tuple[str, str]:
    """Return module and name of the class in a record, without importing it."""
    from perdure.errors import StateLoadError
    from perdure.records import class_metadata

    try:
        name = class_metadata(data).class_name or ""
    except StateLoadError:
        name = ""
    module, _, cls = name.rpartition(".")
    return module, cls


def load_current(storage: Any, oid: bytes, version: str = "") -> tuple[bytes, bytes]:
    """Return the current record of `oid` and its tid; `POSKeyError` if there is none."""
    from perdure.errors import POSKeyError

    found = storage.loadBefore(oid, maxtid)
    if found is None:
        raise POSKeyError(oid)
    return found[0], found[1]


def check_precondition(precondition: Callable[[], Any]) -> None:
    """Raise `AssertionError`, with what the condition is about, if it does not hold."""
    if not precondition():
        raise AssertionError("Failed precondition: ", (precondition.__doc__ or "").strip())


class Locked:
    """A method that runs under its object's `_lock`, after its preconditions were checked."""

    def __init__(
        self,
        func: Callable[..., Any],
        inst: Any = None,
        class_: type | None = None,
        preconditions: tuple[Callable[[Any], Any], ...] = (),
    ) -> None:
        self.preconditions = preconditions
        self._func = func if inst is None else MethodType(func, inst)
        self._plain = func
        update_wrapper(self, func)

    def __get__(self, inst: Any, class_: type) -> "Locked":
        return Locked(self._plain, inst, class_, self.preconditions)

    def __call__(self, *args: Any, **kw: Any) -> Any:
        inst = getattr(self._func, "__self__", None)
        if inst is None:
            inst = args[0]
        with inst._lock:
            for precondition in self.preconditions:
                check_precondition(_bound(precondition, inst))
            return self._func(*args, **kw)


def _bound(precondition: Callable[[Any], Any], inst: Any) -> Callable[[], Any]:
    bound = partial(precondition, inst)
    bound.__doc__ = precondition.__doc__
    return bound


class locked:
    """Decorates a method to be `Locked`; alone, or with preconditions as arguments."""

    def __init__(self, *preconditions: Callable[..., Any]) -> None:
        self.preconditions = preconditions

    def __get__(self, inst: Any, class_: type) -> Locked:
        # Used without arguments, the one "precondition" is the method itself.
        (func,) = self.preconditions
        return Locked(func, inst, class_)

    def __call__(self, func: Callable[..., Any]) -> Any:
        return Locked(func, preconditions=self.preconditions)
