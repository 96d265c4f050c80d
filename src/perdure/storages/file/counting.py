"""What the transactions of a file up to a moment contain, counted; and what was current then."""

from collections.abc import Iterator
from typing import Final

from perdure import native
from perdure.errors import CorruptDataError
from perdure.ids import MAX_TID, ZERO, after
from perdure.storages.file.format import MAGIC
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound

__all__ = ["Count", "transactions"]

_STEP: Final = 32 << 20
_TRANSACTIONS_IN_A_STEP: Final = 1 << 12


def transactions(view: View, position: int, end: int) -> Iterator[Transaction]:
    """Yield the transactions from `position` to `end`; `CorruptDataError` where one is damaged.

    Their checksums are not looked at.
    """
    scanner = Scanner(view.file, end)
    while position < end:
        found = scanner.structure(position)
        if isinstance(found, Unsound):
            raise CorruptDataError(view.file.path, found.position, found.found, found.expected)
        yield found
        position = found.end


class Count:
    """Counts what is in the transactions up to tid `stop`, those before `end` of the file.

    With `enter` it remembers where the current record of each object is; 8 bytes for each.
    Native code goes ahead as far as all is as it should be.
    """

    def __init__(self, view: View, end: int, stop: bytes, enter: bool) -> None:
        self._view = view
        self._end = end
        self._stop = stop
        self._enter = enter
        self._index = PositionIndex()
        self._records = self._record_bytes = self._transactions = 0
        self.boundary = self.last = len(MAGIC)
        if native.filescan:
            self._positions = native.filescan.Positions()
            self._sweep = native.filescan.Sweep(
                view.file.descriptor,
                self.boundary,
                end,
                ZERO,
                after(stop) if stop < MAX_TID else MAX_TID,
                self._positions if enter else None,
                None,
                False,
                False,
            )
        else:
            self._all = transactions(view, self.boundary, end)

    @property
    def records(self) -> int:
        """How many records there are; a transaction without any counts as one, which goes."""
        swept = self._sweep.records + self._sweep.empty if native.filescan else 0
        return self._records + swept

    @property
    def record_bytes(self) -> int:
        """What the records take."""
        return self._record_bytes + (self._sweep.bytes if native.filescan else 0)

    @property
    def transactions(self) -> int:
        """How many transactions there are."""
        return self._transactions + (self._sweep.transactions if native.filescan else 0)

    def go_on(self) -> bool:
        """Count some more; return whether that was not all."""
        if not native.filescan:
            return self._count(self._all, _TRANSACTIONS_IN_A_STEP)
        before = self._sweep.transactions
        sound = self._sweep.run(_STEP)
        if self._sweep.transactions > before:
            self.boundary, self.last = self._sweep.position, self._sweep.last
        if sound:
            return self.boundary < self._end
        more = self._count(transactions(self._view, self.boundary, self._end), 1)
        self._sweep.resume(self.boundary, ZERO)
        return more

    def current(self) -> PositionIndex:
        """Return where the current records are; to be asked once, in the end."""
        if native.filescan:
            found = self._positions
            self._index.take_in((first[:6], found.page(first)) for first in found.prefixes())
        return self._index

    def _count(self, found: Iterator[Transaction], most: int) -> bool:
        for transaction in found:
            header = transaction.header
            if header.tid > self._stop:
                return False
            if header.status != b"u":
                if self._enter:
                    self._remember(transaction.records)
                self._records += len(transaction.records)
                self._record_bytes += header.length - header.size
            if not transaction.records and transaction.end < self._end:
                self._records += 1  # all of it goes
            self._transactions += 1
            self.last, self.boundary = transaction.position, transaction.end
            most -= 1
            if not most:
                return True
        return False

    def _remember(self, records: dict[bytes, int]) -> None:
        if native.filescan:
            for oid, position in records.items():
                self._positions.put(oid, position)
        else:
            self._index.update(records)
