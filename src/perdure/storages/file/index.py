"""Where the current record of each object is: oid -> position, at about 8 bytes an object.

The first 6 bytes of an oid name a page, the last 2 an entry in it; a page is a
`BTrees.fsBTree.fsBucket`, which packs entries of 2 + 6 bytes. Positions thus
have 48 bits: a file can have 256 TiB.

Entries are read without a lock while another thread adds to them; only one
thread at a time may change an index.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from BTrees.fsBTree import fsBucket

__all__ = ["PositionIndex"]


class PositionIndex:
    """A mapping from oids to positions. Position 0, the magic, stands for "not there"."""

    def __init__(self) -> None:
        self.pages: dict[bytes, Any] = {}

    def get(self, oid: bytes) -> int:
        """Return the position of the current record of `oid`, 0 if it has none."""
        page = self.pages.get(oid[:6])
        value = None if page is None else page.get(oid[6:])
        return 0 if value is None else int.from_bytes(value, "big")

    def update(self, positions: Mapping[bytes, int]) -> None:
        """Enter the positions of new records."""
        pages = self.pages
        for oid, position in positions.items():
            page = pages.get(oid[:6])
            if page is None:
                page = pages[oid[:6]] = fsBucket()
            page[oid[6:]] = position.to_bytes(6, "big")

    def remove(self, oid: bytes) -> None:
        """Forget an object that is there."""
        page = self.pages[oid[:6]]
        del page[oid[6:]]
        if not page:
            del self.pages[oid[:6]]

    def __len__(self) -> int:
        return sum(len(page) for page in list(self.pages.values()))

    def __contains__(self, oid: object) -> bool:
        return isinstance(oid, bytes) and self.get(oid) != 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the oids in order; only while nobody changes the index."""
        for prefix in sorted(self.pages):
            for suffix in self.pages[prefix]:
                yield prefix + suffix

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Yield oids and positions in order; only while nobody changes the index."""
        for prefix in sorted(self.pages):
            for suffix, value in self.pages[prefix].items():
                yield prefix + suffix, int.from_bytes(value, "big")

    def highest(self) -> bytes | None:
        """Return the highest oid, None in an empty index."""
        if not self.pages:
            return None
        prefix = max(self.pages)
        return bytes(prefix + self.pages[prefix].maxKey())

    def next(self, oid: bytes) -> bytes | None:
        """Return the lowest oid that is not below `oid`, None if there is none."""
        prefix, suffix = oid[:6], oid[6:]
        page = self.pages.get(prefix)
        if page is not None and page.maxKey() >= suffix:
            return bytes(prefix + page.minKey(suffix))
        higher = min((key for key in list(self.pages) if key > prefix), default=None)
        return None if higher is None else bytes(higher + self.pages[higher].minKey())
