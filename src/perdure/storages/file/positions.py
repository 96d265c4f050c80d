"""Where the current record of each object is, while a file is looked at: with some marks.

`native.filescan.Positions` is the same in C, at 8 bytes an object. Positions count bytes
from the start of the file; 0 stands for an object that is not there.
"""

from typing import Protocol

from perdure.storages.file.index import PositionIndex

__all__ = ["Positions", "PurePositions", "index_of"]


class Positions(Protocol):
    """Positions by oid; an object can be gone, or a blob."""

    def get(self, oid: bytes, /) -> int: ...
    def put(self, oid: bytes, position: int, /) -> None: ...
    def set_gone(self, oid: bytes, gone: bool, /) -> None: ...
    def is_gone(self, oid: bytes, /) -> bool: ...
    def set_blob(self, oid: bytes, blob: bool, /) -> None: ...
    def is_blob(self, oid: bytes, /) -> bool: ...
    def count(self) -> int:
        """Return how many objects there are; those that are gone do not count."""

    def prefixes(self) -> list[bytes]:
        """Return the first possible oid of each page, in no order."""

    def page(self, first: bytes, /) -> bytes:
        """Return the page that begins with an oid, as the index file has it."""


class PurePositions:
    """Positions in an index, and sets for what is rare."""

    def __init__(self) -> None:
        self._index = PositionIndex()
        self._gone: set[bytes] = set()
        self._blobs: set[bytes] = set()
        self.get = self._index.get

    def put(self, oid: bytes, position: int) -> None:
        self._index.update({oid: position})

    def set_gone(self, oid: bytes, gone: bool) -> None:
        if gone:
            self._gone.add(oid)
        else:
            self._gone.discard(oid)

    def is_gone(self, oid: bytes) -> bool:
        return oid in self._gone

    def set_blob(self, oid: bytes, blob: bool) -> None:
        if blob:
            self._blobs.add(oid)
        else:
            self._blobs.discard(oid)

    def is_blob(self, oid: bytes) -> bool:
        return oid in self._blobs

    def count(self) -> int:
        return len(self._index) - sum(1 for oid in self._gone if self._index.get(oid))

    def prefixes(self) -> list[bytes]:
        return [prefix + b"\0\0" for prefix in self._index.pages]

    def page(self, first: bytes) -> bytes:
        page = self._index.pages.get(first[:6])
        return b"" if page is None else bytes(page.toString())


def index_of(positions: Positions) -> PositionIndex:
    """Return an index of the same positions."""
    index = PositionIndex()
    index.take_in((first[:6], positions.page(first)) for first in positions.prefixes())
    return index
