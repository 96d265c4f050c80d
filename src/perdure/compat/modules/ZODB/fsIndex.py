"""`ZODB.fsIndex`: a mapping from oids to positions, and the file that it is saved in."""

from collections.abc import Iterable, Iterator, Mapping
from struct import pack, unpack
from typing import Any, Final

from BTrees.fsBTree import fsBucket
from BTrees.OOBTree import OOBTree

from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import pack_index, unpack_index
from ZODB._compat import Pickler, Unpickler

__all__ = [
    "OOBTree",
    "Pickler",
    "Unpickler",
    "ensure_bytes",
    "fsBucket",
    "fsIndex",
    "num2str",
    "prefix_minus_one",
    "prefix_plus_one",
    "str2num",
]

_NO_KEY: Final = "there is no such key in the index"


def num2str(n: int) -> bytes:
    """Return a position as 6 bytes."""
    return pack(">Q", n)[2:]


def str2num(s: bytes) -> int:
    """Return the position that 6 bytes are."""
    number: int = unpack(">Q", b"\0\0" + s)[0]
    return number


def prefix_plus_one(s: bytes) -> bytes:
    """Return the 6 bytes after these."""
    return num2str(str2num(s) + 1)


def prefix_minus_one(s: bytes) -> bytes:
    """Return the 6 bytes before these."""
    return num2str(str2num(s) - 1)


def ensure_bytes(s: str | bytes) -> bytes:
    """Return Latin-1 text as bytes; bytes as they are."""
    return s.encode("latin-1") if isinstance(s, str) else s


class fsIndex:
    """A mapping from oids to positions, in pages of packed entries."""

    def __init__(self, data: Mapping[bytes, int] | None = None) -> None:
        self._pages = PositionIndex()
        if data:
            self.update(data)

    def __getstate__(self) -> dict[str, Any]:
        pages = [(prefix, page.toString()) for prefix, page in sorted(self._pages.pages.items())]
        return {"state_version": 1, "_data": pages}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.clear()
        for prefix, packed in state["_data"]:
            self._pages.pages.load(ensure_bytes(prefix), ensure_bytes(packed))

    def save(self, pos: int, fname: str) -> None:
        """Write it, as the index up to the position `pos` of a data file."""
        with open(fname, "wb") as file:
            file.write(pack_index(self._pages, pos, b"\0" * 8))

    @classmethod
    def load(class_, fname: str) -> dict[str, Any]:
        """Return {"pos": position, "index": index} of an index file."""
        with open(fname, "rb") as file:
            saved = unpack_index(file.read())
        index = class_()
        index._pages = saved.positions
        return {"pos": saved.position, "index": index}

    def __getitem__(self, key: bytes) -> int:
        position = self._pages.get(key)
        if not position and key not in self:
            raise KeyError(key)
        return position

    def get(self, key: bytes, default: Any = None) -> Any:
        """Return the position of `key`, `default` if it has none."""
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: bytes, value: int) -> None:
        self._pages.update({key: value})

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self._pages.remove(key)

    def __len__(self) -> int:
        return len(self._pages)

    def update(self, mapping: Mapping[bytes, int]) -> None:
        """Take over the items of `mapping`."""
        self._pages.update(dict(mapping.items()))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, bytes):
            return False
        page = self._pages.pages.get(key[:6])
        return page is not None and key[6:] in page

    has_key = __contains__

    def clear(self) -> None:
        """Forget everything."""
        self._pages = PositionIndex()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pages)

    def keys(self) -> Iterable[bytes]:
        """Return the oids in order."""
        return iter(self)

    iterkeys = keys

    def items(self) -> Iterable[tuple[bytes, int]]:
        """Return (oid, position) in the order of oids."""
        return self._pages.items()

    iteritems = items

    def values(self) -> Iterable[int]:
        """Return the positions, in the order of oids."""
        return (position for _oid, position in self._pages.items())

    itervalues = values

    def minKey(self, key: bytes | None = None) -> bytes:
        """Return the lowest oid that is not below `key`; `ValueError` if there is none."""
        found = self._pages.next(b"\0" * 8 if key is None else key)
        if found is None:
            raise ValueError(_NO_KEY)
        return found

    def maxKey(self, key: bytes | None = None) -> bytes:
        """Return the highest oid that is not above `key`; `ValueError` if there is none."""
        if key is None:
            found = self._pages.highest()
        else:
            found = max((oid for oid in self._candidates(key) if oid <= key), default=None)
        if found is None:
            raise ValueError(_NO_KEY)
        return found

    def _candidates(self, key: bytes) -> Iterator[bytes]:
        """Yield the oids of the page of `key`, and the last one of the page before."""
        prefixes = sorted(prefix for prefix in self._pages.pages if prefix <= key[:6])
        for prefix in prefixes[-2:]:
            for suffix in self._pages.pages[prefix]:
                yield prefix + suffix
