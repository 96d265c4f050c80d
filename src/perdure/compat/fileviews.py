"""What other packages take of a file storage under ZODB's private names, as views.

The names are properties, set on the classes while ZODB's names are in use: the
classes are Perdure's own under both names, so a subclass would not be seen.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from perdure.compat.blobdirectory import FilesystemHelper, NoBlobsFileSystemHelper
from perdure.compat.views import renamed, show
from perdure.storages.file import FileStorage
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.iterate import FileTransaction

__all__ = ["IndexView", "show_zodbs_names"]


class IndexView(Mapping[bytes, int]):
    """An index of positions as the mapping that `ZODB.fsIndex` is; only to be read."""

    def __init__(self, index: PositionIndex) -> None:
        self._index = index

    def __getitem__(self, key: bytes) -> int:
        position = self._index.get(key)
        if not position:
            raise KeyError(key)
        return position

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._index))

    def minKey(self, key: bytes | None = None) -> bytes:
        """Return the lowest oid that is not below `key`; `ValueError` if there is none."""
        found = self._index.next(b"\0" * 8 if key is None else key)
        if found is None:
            raise ValueError("there is no such key in the index")
        return found

    def maxKey(self, key: bytes | None = None) -> bytes:
        """Return the highest oid that is not above `key`; `ValueError` if there is none."""
        found = self._index.highest() if key is None else self._highest_up_to(key)
        if found is None:
            raise ValueError("there is no such key in the index")
        return found

    def _highest_up_to(self, key: bytes) -> bytes | None:
        found = None
        for oid in self._index:
            if oid > key:
                break
            found = oid
        return found


def _index(self: Any) -> IndexView:
    return IndexView(self._opened().index)


def _quota(self: Any) -> int | None:
    committer = self._committer
    limit: int | None = None if committer is None else committer._quota
    return limit


def _is_read_only(self: Any) -> bool:
    read_only: bool = self.isReadOnly()
    return read_only


def _tpos(self: Any) -> int:
    position: int = self.position
    return position


def _tend(self: Any) -> int:
    end: int = self.end
    return end


def _fshelper(self: Any) -> FilesystemHelper | NoBlobsFileSystemHelper:
    return FilesystemHelper(self.blob_dir) if self.blob_dir else NoBlobsFileSystemHelper()


def _no_extension_methods(self: Any) -> dict[str, Any]:
    """Return the methods that a server should offer besides the usual ones: none."""
    return {}


def show_zodbs_names() -> None:
    """Give the classes the names that are private by their spelling, but in use."""
    show(FileStorage, "_index", property(_index))
    show(FileStorage, "_quota", property(_quota))
    show(FileStorage, "_is_read_only", property(_is_read_only))
    show(FileStorage, "fshelper", property(_fshelper))
    show(FileStorage, "getExtensionMethods", _no_extension_methods)
    show(FileTransaction, "_tpos", property(_tpos))
    show(FileTransaction, "_tend", property(_tend))
    for old, new, get in (
        ("_file_name", "getName()", lambda self: self.getName()),
        ("_pos", "getSize()", lambda self: self.getSize()),
        ("_ltid", "lastTransaction()", lambda self: self.lastTransaction()),
        ("_transaction", "tpc_transaction()", lambda self: self.tpc_transaction()),
    ):
        show(FileStorage, old, renamed(FileStorage, old, new, get))
