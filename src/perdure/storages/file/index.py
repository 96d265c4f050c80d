"""Where the current record of each object is: oid -> position, at 6 to 8 bytes an object.

The first 6 bytes of an oid name a page, the last 2 an entry in it. Positions have 6
bytes: a file can have 256 TiB. In `purepages` a page is a `BTrees.fsBTree.fsBucket`,
which packs entries of 2 + 6 bytes; the pages of `native` take less, and other native
code looks into them without making keys for it. Packed, as in the index file, a page
is the same with both: all suffixes in order, then all positions.

Entries are read without a lock while another thread adds to them; only one
thread at a time may change an index. A snapshot shows it as it was at one moment,
while it goes on changing: what is overwritten meanwhile is remembered for it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from perdure import native

__all__ = ["IndexSnapshot", "Pages", "PositionIndex"]

_ANY_PREFIX: Final = bytes(6)
_NOT_THERE: Final = bytes(6)


class Pages(Protocol):
    """What is used of the pages of an index, by prefix; a page is as good as an `fsBucket`."""

    def get(self, prefix: bytes, /) -> Any: ...
    def __getitem__(self, prefix: bytes, /) -> Any: ...
    def __delitem__(self, prefix: bytes, /) -> None: ...
    def __contains__(self, prefix: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def items(self) -> Iterable[tuple[bytes, Any]]: ...
    def popitem(self) -> tuple[bytes, Any]: ...

    def position(self, oid: bytes, /) -> int:
        """Return the position of `oid`, 0 if it has none."""

    def enter(self, positions: dict[bytes, int], /) -> None:
        """Enter positions by oid."""

    def remember(self, positions: dict[bytes, int], pages: Any, /) -> None:
        """Enter what other pages have of these oids, or 0, unless it is here already."""

    def load(self, prefix: bytes, packed: bytes, /) -> None:
        """Enter what is packed in the page of `prefix`."""

    def expect(self, size_bytes: int, /) -> None:
        """Prepare for loading what is packed into so many bytes; with 0, no more is to come."""


def _kind_of_pages() -> Callable[[], Pages]:
    if native.pages:
        return native.pages.Pages
    from perdure.storages.file.purepages import PurePages  # brings BTrees, which is slow

    return PurePages


make_pages: Final = _kind_of_pages()


class PositionIndex:
    """A mapping from oids to positions. Position 0, the magic, stands for "not there".

    Which pages it has is for tests to say.
    """

    def __init__(self, make: Callable[[], Pages] = make_pages) -> None:
        self.pages = make()
        self._make_pages = make
        self._overwritten: Pages | None = None  # while there is a snapshot

    def get(self, oid: bytes) -> int:
        """Return the position of the current record of `oid`, 0 if it has none."""
        return self.pages.position(oid)

    def update(self, positions: dict[bytes, int]) -> None:
        """Enter the positions of new records."""
        if self._overwritten is not None:
            self._overwritten.remember(positions, self.pages)
        self.pages.enter(positions)

    def take_in(self, pages: Iterable[tuple[bytes, bytes]]) -> None:
        """Enter packed pages, by prefix; not while there is a snapshot."""
        for prefix, packed in pages:
            self.pages.load(prefix, packed)

    def copy(self) -> "PositionIndex":
        """Return an index of the same positions; of each page as it is when its turn comes."""
        copy = PositionIndex()
        copy.take_in((prefix, self.pages[prefix].toString()) for prefix in list(self.pages))
        return copy

    def remove(self, oid: bytes) -> None:
        """Forget an object that is there; not while there is a snapshot."""
        page = self.pages[oid[:6]]
        del page[oid[6:]]
        if not page:
            del self.pages[oid[:6]]

    def snapshot(self, position: int, last_tid: bytes) -> "IndexSnapshot":
        """Return the index as it is now, to be read by another thread; takes no time.

        Only for the thread that changes the index, and one snapshot at a time.
        `position` and `last_tid` say up to where it knows the file.
        """
        self._overwritten = self._make_pages()
        return IndexSnapshot(self, self._overwritten, position, last_tid)

    def forget_snapshot(self) -> None:
        """End the snapshot, which shows what is current from now on."""
        self._overwritten = None

    def __len__(self) -> int:
        return sum(len(self.pages[prefix]) for prefix in list(self.pages))

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


class IndexSnapshot:
    """An index as it was when it knew the file up to `position`."""

    __slots__ = ("_index", "_overwritten", "last_tid", "position")

    def __init__(
        self, index: PositionIndex, overwritten: Pages, position: int, last_tid: bytes
    ) -> None:
        self._index = index
        self._overwritten = overwritten
        self.position = position
        self.last_tid = last_tid

    def pages(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pages in order, each by its prefix, packed."""
        pages = self._index.pages
        for prefix in sorted(pages):
            packed = pages[prefix].toString()
            # Now: whatever changed before the page was packed is remembered already.
            changed = self._overwritten.get(prefix)
            if changed is not None:
                packed = _as_it_was(packed, changed.toString())
            if packed:
                yield prefix, packed

    def release(self) -> None:
        """Let the index forget what it remembers for this snapshot."""
        self._index.forget_snapshot()


def _as_it_was(packed: bytes, changed: bytes) -> bytes:
    """Return a packed page with the entries that it had, which are packed, too."""
    page, before = _unpacked(packed), _unpacked(changed)
    for suffix, position in before.items():
        if position != _NOT_THERE:
            page[suffix] = position
        elif suffix in page:
            del page[suffix]
    return bytes(page.toString())


def _unpacked(packed: bytes) -> Any:
    pages = make_pages()
    pages.load(_ANY_PREFIX, packed)
    return pages[_ANY_PREFIX]
