"""Verifying what is loaded: a transaction's checksum, the first time one of its records is.

Checksums are those of transactions, so a record cannot be verified alone. Once is enough to
notice what a disk has done to a file before it was read; what happens in memory later is not
the business of a file.
"""

from typing import Final

from perdure.errors import CorruptDataError
from perdure.storages.file.format import NUMBER, RECORD_HEADER
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound

__all__ = ["LARGEST_BYTES", "Verifier", "check_record"]

LARGEST_BYTES: Final = 16 << 20
"""Transactions that are larger are not read for the sake of one record."""

_REMEMBERED: Final = 100_000


def check_record(view: View, oid: bytes, tid: bytes) -> None:
    """Verify once the transaction `tid`, which wrote `oid`, and what it points back to.

    Raises `CorruptDataError`.
    """
    Verifier(view).verify(oid, tid)


class Verifier:
    """Remembers which transactions of `view` were found sound. For any number of threads.

    `largest_bytes` is the size of the largest transaction that is read.
    """

    def __init__(self, view: View, largest_bytes: int = LARGEST_BYTES) -> None:
        self._view = view
        self._largest_bytes = largest_bytes
        self._tids: set[bytes] = set()
        self._positions: set[int] = set()

    def verify(self, oid: bytes, tid: bytes) -> None:
        """Verify all of the transaction `tid`, which wrote `oid`, and what it points back to.

        Raises `CorruptDataError`, again each time.
        """
        if tid in self._tids:
            return
        view = self._view
        position = view.find(oid, view.index.get(oid), tid)
        if not position:
            return  # newer than what was looked up just now; it is verified the next time
        todo = [view.header(oid, position).transaction]
        while todo:
            start = todo.pop()
            if start not in self._positions:
                todo += self._verify_at(start, oid)
                self._remember(start)
        self._tids.add(tid)

    def _remember(self, position: int) -> None:
        if len(self._positions) >= _REMEMBERED:
            self._positions.clear()
            self._tids.clear()
        self._positions.add(position)

    def _verify_at(self, start: int, oid: bytes) -> list[int]:
        """Verify one transaction; return the positions of those that it takes data from."""
        file = self._view.file
        scanner = Scanner(file, self._view.end)
        header = scanner.header(start)
        if not isinstance(header, Unsound) and header.length > self._largest_bytes:
            return []
        found = scanner.examine(start)
        if isinstance(found, Unsound):
            raise CorruptDataError(file.path, found.position, found.found, found.expected, oid)
        return self._sources(found)

    def _sources(self, transaction: Transaction) -> list[int]:
        view = self._view
        found = []
        ends = [*list(transaction.records.values())[1:], transaction.end - NUMBER.size]
        for (oid, position), end in zip(transaction.records.items(), ends, strict=True):
            if end - position == RECORD_HEADER.size + NUMBER.size:  # perhaps a pointer
                origin = view.origin(oid, position)
                if origin and origin != position:
                    found.append(view.header(oid, origin).transaction)
        return found
