"""Records of a data file: planned, encoded, entered in the index."""

from collections.abc import Callable
from typing import Any

def plan_unchanged(
    records: tuple[tuple[bytes, bytes, bytes], ...],
    number: int,
    pages: dict[bytes, Any],
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
    descriptor: int, transaction: int, first: int, end: int, pages: dict[bytes, Any], /
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

def enter(pages: dict[bytes, Any], positions: dict[bytes, int], page: Callable[[], Any], /) -> None:
    """Enter positions by oid in the pages of an index; `page` makes a new one."""
