"""What a transaction stores, from the connection to the bytes in the file."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

class Records(Sequence[tuple[bytes, bytes, bytes]]):
    """Records, each an oid, the tid that was read, and its bytes.

    Whoever has them handed over may rely on it that they stay as they are.
    """

    @property
    def size_bytes(self) -> int: ...
    def append(self, record: tuple[bytes, bytes, bytes], /) -> None:
        """Add a record.

        Raises `ValueError` if oid and tid do not have 8 bytes, or the record has none.
        """

    def oids(self) -> list[bytes]: ...
    def highest(self) -> bytes:
        """Return the highest oid, `ZERO` if there are no records."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, number: int) -> tuple[bytes, bytes, bytes]: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[tuple[bytes, bytes, bytes]]: ...

def oids_from(first: int, count: int, /) -> list[bytes]:
    """Return `count` oids in a row; `first` is the first of them, as a number."""

class Plan:
    """What a transaction is about to write; see `storages.changes.Changes.planned`.

    The same as a dictionary from oids to (data, back, previous), for what is used of it.
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __contains__(self, oid: object, /) -> bool: ...
    def __getitem__(self, oid: bytes, /) -> Any: ...
    def __setitem__(self, oid: bytes, planned: Any, /) -> None: ...
    def get(self, oid: bytes, otherwise: Any = None, /) -> Any: ...
    def keys(self) -> list[bytes]: ...
    def items(self) -> Iterator[tuple[bytes, Any]]: ...
    def update(self, planned: Any, /) -> None: ...
    def clear(self) -> None: ...

def plan_unchanged(
    records: Sequence[tuple[bytes, bytes, bytes]],
    number: int,
    pages: Any,
    plan: object,
    positions: list[int],
    tids: list[bytes],
    descriptor: int,
    /,
) -> int:
    """Plan the records from `number` on whose objects nobody changed since they were read.

    `records` are a tuple, or `Records`, and `plan` is a `Plan`: else `TypeError`. Returns
    the number of the first of which that is not certain. `positions` and `tids` are those
    of the transactions that were committed lately.
    """

def plan_undone(
    descriptor: int, transaction: int, first: int, end: int, pages: Any, /
) -> Plan | None:
    """Plan the undo of the transaction whose records stand from `first` to `end`.

    `pages` are those of the index, or None, if that transaction is the last one. Returns None
    where it must be looked at: an object was changed later, or a record is damaged.
    """

def encode_records(
    plan: Plan, tid: bytes, transaction: int, first: int, large_bytes: int, most_bytes: int, /
) -> tuple[bytes, dict[bytes, int]] | None:
    """Return the records of the transaction `tid`, and where each of them stands.

    The first stands at `first`, and behind the last is the length of the transaction that
    begins at `transaction`. None if there are no records, one is not in memory, one has
    `large_bytes`, or all of them together more than `most_bytes`.
    """
