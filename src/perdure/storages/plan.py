"""A plan: what a transaction is about to write, and the committed records it is made against.

Committed records are named by *places*: a file storage's are positions, a
memory storage's the records themselves. Whoever plans knows places only through
`Revisions`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

__all__ = [
    "NOT_LOOKED_FOR",
    "HasBlob",
    "Kept",
    "Place",
    "Plan",
    "Planned",
    "Resolve",
    "Revisions",
    "StoredRecords",
    "Undone",
    "no_blobs",
    "record_of",
]

Place = TypeVar("Place")

StoredRecords = Sequence[tuple[bytes, bytes, bytes]]
"""Records that are stored together, each as its oid, the tid that was read, and its bytes.

They are not changed any more.
"""

Resolve = Callable[[bytes, bytes, bytes, bytes, bytes], bytes]
"""Called with oid, committed tid, tid read, new record, committed record (b"": load it).

Returns a record that merges both changes, or raises `ConflictError`.
"""

NOT_LOOKED_FOR: Final[Any] = object()


class Undone(NamedTuple, Generic[Place]):
    """One record of a transaction that is to be undone, and the one before it.

    `origin` is where the bytes are that the one before stands for, None if the object was
    gone or did not exist; `NOT_LOOKED_FOR` leaves that to `Revisions.origin`.
    """

    oid: bytes
    place: Place
    previous: Place | None
    origin: Any = NOT_LOOKED_FOR


class Kept(Protocol):
    """A record that is kept elsewhere until it is written."""

    def __len__(self) -> int:
        """Return its size in bytes."""

    def read(self) -> bytes:
        """Return it."""


Planned = tuple[bytes | Kept | None, Place | None, Place | None]
"""One record to be written: data, back, previous.

`data` is the record, or None where it says the same as the one at `back`; both
are None where the object ceases to exist. `previous` is the current revision,
which this one follows. (A plain tuple: one is made for each object stored.)
"""


class Plan(Protocol[Place]):
    """What is planned, by oid, in the order in which it came: what is used of a dictionary."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __contains__(self, oid: object, /) -> bool: ...
    def __getitem__(self, oid: bytes, /) -> Planned[Place]: ...
    def __setitem__(self, oid: bytes, planned: Planned[Place], /) -> None: ...
    def get(self, oid: bytes, /) -> Planned[Place] | None: ...
    def items(self) -> Iterable[tuple[bytes, Planned[Place]]]: ...
    def keys(self) -> Iterable[bytes]: ...
    def update(self, planned: "Plan[Place]", /) -> None: ...
    def clear(self) -> None: ...


class Revisions(Protocol[Place]):
    """The committed records of a storage, those included that are not visible yet."""

    def new_plan(self) -> "Plan[Place]":
        """Return an empty mapping for what is planned."""

    def newest(self, oid: bytes) -> tuple[Place | None, bytes]:
        """Return place and tid of the newest record of `oid`, (None, `ZERO`) if there is none."""

    def plan_unchanged(self, records: StoredRecords, number: int, planned: "Plan[Place]") -> int:
        """Plan the records from `number` on, up to one whose object was changed by others.

        Returns the number of that one; it may also stop earlier.
        """

    def place(self, oid: bytes) -> Place | None:
        """Return the place of the newest record of `oid`, None if there is none."""

    def origin(self, oid: bytes, place: Place) -> Place | None:
        """Return where the bytes are that the record at `place` stands for; None if gone."""

    def data_at(self, oid: bytes, place: Place) -> bytes:
        """Return the bytes of a record at its origin."""

    def content(self, oid: bytes, place: Place) -> bytes | None:
        """Return the bytes that the record at `place` stands for; None if gone."""

    def written_by(self, oid: bytes, tid: bytes) -> Place | None:
        """Return the place of the record that `tid` wrote for `oid`, None if there is none."""

    def plan_undone(self, tid: bytes) -> "Plan[Place] | None":
        """Return the plan that undoes a transaction whose objects nobody changed since.

        None for another transaction, and where that is not known so quickly. Raises
        `UndoError` if it cannot be undone.
        """

    def records_of(self, tid: bytes) -> Iterable[Undone[Place]]:
        """Return the records of a transaction, of each object one, that which counts.

        Raises `UndoError` if it cannot be undone.
        """


def record_of(data: bytes | Kept) -> bytes:
    """Return a planned record, wherever it is kept."""
    return data if isinstance(data, bytes) else data.read()


HasBlob = Callable[[bytes, Place], bool]
"""Called with an oid and the place of one of its records: whether that has a blob."""


def no_blobs(oid: bytes, place: object) -> bool:
    """The answer of a storage that keeps no blobs."""
    return False
