"""The pages of an index where there is no native code: buckets of BTrees, by prefix.

In a module of its own, so that only those who use them load BTrees.
"""

from typing import Any

from BTrees.fsBTree import fsBucket

__all__ = ["PurePages"]


class PurePages(dict[bytes, Any]):
    """The pages of an index, of entries in buckets."""

    def position(self, oid: bytes) -> int:
        page = self.get(oid[:6])
        value = None if page is None else page.get(oid[6:])
        return 0 if value is None else int.from_bytes(value, "big")

    def enter(self, positions: dict[bytes, int]) -> None:
        before: bytes | None = None
        page: Any = None
        for oid, position in positions.items():
            prefix = oid[:6]
            if prefix != before:  # mostly many of a transaction are in one page
                page, before = self.get(prefix), prefix
                if page is None:
                    page = self[prefix] = fsBucket()
            page[oid[6:]] = position.to_bytes(6, "big")

    def remember(self, positions: dict[bytes, int], pages: "PurePages") -> None:
        for oid in positions:
            prefix, suffix = oid[:6], oid[6:]
            kept = self.get(prefix)
            if kept is None:
                kept = self[prefix] = fsBucket()
            if suffix not in kept:
                kept[suffix] = pages.position(oid).to_bytes(6, "big")

    def load(self, prefix: bytes, packed: bytes) -> None:
        page = self.get(prefix)
        if page is None:
            self[prefix] = fsBucket().fromString(packed)
        else:
            page.update(fsBucket().fromString(packed))

    def expect(self, size_bytes: int) -> None:
        """Do nothing: there is nothing to prepare."""
