"""Records of a data file: planned and encoded."""

from typing import Any, Protocol

class Pages(Protocol):
    """The pages of an index: those of `_pages`, or a dictionary of buckets."""

    def get(self, prefix: bytes, /) -> Any: ...

def plan_unchanged(
    records: tuple[tuple[bytes, bytes, bytes], ...],
    number: int,
    pages: Pages,
    planned: dict[bytes, Any],
    positions: list[int],
    tids: list[bytes],
    descriptor: int,
    /,
) -> int:
    """Plan the records from `number` on whose objects nobody changed since they were read.

    Returns the number of the first of which that is not certain. `positions` and `tids`
    are those of the transactions that were committed lately.
    """

def plan_undone(
    descriptor: int, transaction: int, first: int, end: int, pages: Pages, /
) -> dict[bytes, tuple[None, int | None, int]] | None:
    """Plan the undo of the transaction whose records stand from `first` to `end`.

    None where that must be looked at: an object was changed later, or a record is damaged.
    """

def history(
    descriptor: int, oid: bytes, position: int, most: int, /
) -> tuple[list[dict[str, Any]], int]:
    """Describe up to `most` revisions of an object, the newest being at `position`.

    Returns also where the next one is, 0 if there is none; it may stop early, at one that
    must be looked at.
    """

def encode_records(
    planned: dict[bytes, Any],
    tid: bytes,
    transaction: int,
    first: int,
    large_bytes: int,
    most_bytes: int,
    /,
) -> tuple[bytes, dict[bytes, int]] | None:
    """Return the records of the transaction `tid`, and where each of them stands.

    The first stands at `first`, and behind the last is the length of the transaction that
    begins at `transaction`. None if there are no records, one is not in memory, one has
    `large_bytes`, or all of them together more than `most_bytes`.
    """
