"""The one place that touches `pickle`: how picklers and unpicklers are made.

A record is two pickles of protocol 3 in a row. One pickler writes both and one
unpickler reads both, because the memo may run from the first into the second:
a state that mentions the object's own class refers to it by the number that
the first pickle gave it.

Strings that Python 2 wrote (and `zodbpickle.binary`, which stands for bytes) are
read as `bytes`: text was Unicode there, and bytes lose nothing.
"""

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

__all__ = [
    "LARGE",
    "PROTOCOL",
    "FindGlobal",
    "Memo",
    "PersistentId",
    "PersistentLoad",
    "Pickles",
    "RecordPickler",
    "StateUnpickler",
    "memo_behind",
    "trial",
    "unpickler_of",
]

PROTOCOL: Final = 3
"""What ZODB writes and reads; a higher one would shut ZODB out."""

FindGlobal = Callable[[str, str], Any]
PersistentId = Callable[[Any], Any]
PersistentLoad = Callable[[Any], Any]

Memo = dict[int, tuple[int, Any]]
"""A pickler's: the number under which an object can be had again, and the object, by id."""


LARGE: Final = 1 << 16
"""From this many bytes on, what is read is not copied any more."""


class Pickles:
    """Pickles in a row, as the file that an unpickler reads.

    `peek` offers everything there is. With it the C unpickler fetches its input
    once; without it, opcode by opcode. `position` counts the bytes of the
    pickles that were read to their end.
    """

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position

    def peek(self, size: int) -> Any:
        return self._part(self.position, len(self._data))

    def read(self, size: int) -> Any:
        start = self.position
        self.position = min(start + size, len(self._data))
        return self._part(start, self.position)

    def _part(self, start: int, end: int) -> Any:
        # The unpickler reads once what is left, and once to skip it: large records in place.
        if end - start < LARGE:
            return self._data[start:end]
        return memoryview(self._data)[start:end]

    def readline(self) -> Any:
        end = self._data.find(b"\n", self.position) + 1
        return self.read((end or len(self._data)) - self.position)


# Subclasses only so that these can be set on an instance, which is faster than a method.


class _Pickler(pickle.Pickler):
    persistent_id: Any
    memo: Any


class _Unpickler(pickle.Unpickler):
    find_class: Any
    persistent_load: Any
    memo: Any


def unpickler_of(
    source: Pickles,
    find_global: FindGlobal,
    persistent_load: PersistentLoad,
    memo: Any = None,
) -> _Unpickler:
    """Return an unpickler for one record; each `load` reads the next pickle of it.

    `memo` is the `memo` of another unpickler, one that has read what stands in
    front of `source`; it is copied.
    """
    unpickler = _Unpickler(source, encoding="bytes")
    unpickler.find_class = find_global
    unpickler.persistent_load = persistent_load
    if memo is not None:
        # Never a dictionary: CPython 3.11 loses its contents, and crashes on an empty one.
        unpickler.memo = memo
    return unpickler


class _Parts:
    """A file whose methods are those of other objects, in C: calling them costs little."""

    __slots__ = ("peek", "read", "readline")

    def __init__(self, ahead: BytesIO, behind: BytesIO) -> None:
        self.peek = ahead.read
        self.read = behind.read
        self.readline = behind.readline


class StateUnpickler:
    """An unpickler that is used for one state after the other.

    An unpickler takes what it reads from `peek`, all at once, and then calls
    `read` for as many bytes as the pickle had. Two streams over the same bytes
    are enough for both, with no function in Python between.

    Who cannot afford a call of `load` does what that does, with the parts of it.
    """

    __slots__ = ("fill_ahead", "fill_behind", "memo", "read", "read_behind", "unpickler")

    def __init__(self, find_global: FindGlobal, persistent_load: PersistentLoad) -> None:
        ahead, behind = BytesIO(), BytesIO()
        self.unpickler = _Unpickler(_Parts(ahead, behind), encoding="bytes")
        self.unpickler.find_class = find_global
        self.unpickler.persistent_load = persistent_load
        self.memo: Any = None
        # Kept, since making a bound method costs as much as calling it.
        self.read: Callable[[], Any] = self.unpickler.load
        # Filled anew: a new stream costs more than this, which copies nothing.
        self.fill_ahead: Callable[[bytes], object] = ahead.__init__  # type: ignore[misc]
        self.fill_behind: Callable[[bytes], object] = behind.__init__  # type: ignore[misc]
        self.read_behind: Callable[[int], bytes] = behind.read
        """Return up to so many bytes that stand behind the pickle that was read."""

    def load(self, data: bytes, memo: Any) -> Any:
        """Return what the pickle `data` makes; `memo` is the one behind what stands before it.

        The unpickler is fit for use again only if `is_reusable` says so afterwards.
        """
        if memo is not self.memo:
            self.unpickler.memo = self.memo = memo
        # By a name: to call what an attribute holds as if it were a method takes twice as long.
        fill_ahead, fill_behind, read = self.fill_ahead, self.fill_behind, self.read
        fill_ahead(data)
        fill_behind(data)
        value = read()
        # Lets go of what the state has numbered.
        self.unpickler.memo = memo
        return value

    def is_reusable(self) -> bool:
        """Return whether the last pickle was read to its end, and nothing stands behind it."""
        return not self.read_behind(1)


def memo_behind(unpickler: _Unpickler) -> Memo | None:
    """Return the memo with which a pickler goes on behind what `unpickler` has read.

    None where it cannot: a pickler numbers without gaps from 0, and would give a
    number away twice if another one had numbered differently.
    """
    numbered = unpickler.memo.copy()
    if sorted(numbered) != list(range(len(numbered))):
        return None
    return {id(value): (number, value) for number, value in numbered.items()}


class _Chunks:
    """What a pickler writes to: `write` is a list's `append`, without a Python frame."""

    __slots__ = ("chunks", "write")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.write: Callable[[bytes], object] = self.chunks.append


class RecordPickler:
    """A pickler that is used for one record after the other.

    `start` begins a record with an empty memo, or with one that stands for what
    the caller writes in front; each `dump` returns the bytes of one more pickle
    of that record. `forget` ends it, and lets go of all that the memo holds.

    Who cannot afford a call of `dump_behind` does what that does, with the parts of it.
    """

    __slots__ = ("chunks", "pickler")

    def __init__(self, persistent_id: PersistentId) -> None:
        sink = _Chunks()
        self.chunks = sink.chunks
        self.pickler = _Pickler(sink, PROTOCOL)
        self.pickler.persistent_id = persistent_id

    def start(self, memo: Memo | None = None) -> None:
        if memo is None:
            self.pickler.clear_memo()
        else:
            self.pickler.memo = memo

    def dump(self, value: Any) -> bytes:
        try:
            self.pickler.dump(value)
            return b"".join(self.chunks)
        finally:
            self.chunks.clear()

    def dump_behind(self, memo: Memo | None, value: Any) -> bytes:
        """Return the bytes of a pickle that goes behind what `memo` stands for; all in one."""
        pickler, chunks = self.pickler, self.chunks
        if memo is not None:
            pickler.memo = memo
        try:
            pickler.dump(value)
            return b"".join(chunks)
        finally:
            chunks.clear()
            pickler.clear_memo()

    def memo(self) -> Memo:
        """Return a copy of the memo."""
        memo: Memo = self.pickler.memo.copy()
        return memo

    def forget(self) -> None:
        self.pickler.clear_memo()


class _Nowhere:
    __slots__ = ()

    def write(self, data: bytes) -> None: ...


def trial(value: Any, persistent_id: PersistentId) -> bool:
    """Return whether pickling `value` fails; what it would give is not kept."""
    pickler = _Pickler(_Nowhere(), PROTOCOL)
    pickler.persistent_id = persistent_id
    try:
        pickler.dump(value)
    except Exception:
        return True
    return False
