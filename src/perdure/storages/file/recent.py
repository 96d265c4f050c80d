"""Which transactions were committed lately, by their place in the file.

A transaction that changes an object compares the tid that it read with that of the
current record. Objects that change do so often, so that record mostly stands in a
transaction that was committed lately, and its tid is known without reading the file.
"""

from bisect import bisect_right
from typing import Final

__all__ = ["RecentTransactions"]

_LIMIT: Final = 4096
"""Transactions, of which the older half is forgotten when there are so many."""


class RecentTransactions:
    """The transactions that followed one another lately.

    Any number of threads ask while one adds. `known` are the positions where they begin,
    in order, and their tids; there may be a tid more.
    """

    __slots__ = ("_limit", "known")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self.known: tuple[list[int], list[bytes]] = [], []  # replaced together

    def add(self, position: int, tid: bytes) -> None:
        """Note the transaction that begins at `position`, behind all the others."""
        positions, tids = self.known
        if len(positions) >= self._limit:
            half = self._limit // 2
            positions, tids = self.known = positions[half:], tids[half:]
        # The tid first: whoever finds the position must already find it.
        tids.append(tid)
        positions.append(position)

    def tid_at(self, position: int) -> bytes | None:
        """Return the tid of the transaction in which `position` is; None if it is older.

        Only for positions of committed records.
        """
        positions, tids = self.known
        number = bisect_right(positions, position)
        return tids[number - 1] if number else None
