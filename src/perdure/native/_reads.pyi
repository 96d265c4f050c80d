"""Records of a data file: looked back at, undone."""

from typing import Any, Protocol

class Pages(Protocol):
    """The pages of an index: those of `_pages`, or a dictionary of buckets."""

    def get(self, prefix: bytes, /) -> Any: ...

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
