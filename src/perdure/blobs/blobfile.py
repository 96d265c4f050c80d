"""An open file of a blob, as `Blob.open` returns it."""

import os
from io import FileIO
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["BlobFile", "OpenedBlob"]


_MUCH: Final = 4 << 20
"""Bytes that are written before the system is told to begin with them."""

_CAN_BEGIN: Final = hasattr(os, "posix_fadvise")
"""Told that they are not needed, Linux begins to write them, and keeps them while it does."""


class OpenedBlob(Protocol):
    """What keeps account of the files that are open of it: a blob."""

    def closed(self, f: "BlobFile") -> object:
        """Take note that a file of it was closed."""


class BlobFile(FileIO):
    """The file `name` of `blob`, unbuffered; `mode` is one of "r", "r+", "w" and "a".

    It belongs to a transaction: the blob closes it when its data is forgotten.
    """

    def __init__(self, name: str, mode: str, blob: OpenedBlob) -> None:
        super().__init__(name, mode + "b")
        self.blob = blob
        self._new = 0  # bytes that the system was not told about

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of `data` and return its size in bytes."""
        # The system takes about 2 GiB at a time, and may take less.
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            rest = rest[super().write(rest) or 0 :]
        self._new += size
        if self._new >= _MUCH and _CAN_BEGIN:
            self._begin_writing_back()
        return size

    def _begin_writing_back(self) -> None:
        """Have the system write to the disk what is new, while more comes: a commit syncs it."""
        size, self._new = self._new, 0
        start = max(self.tell() - size, 0)  # or elsewhere, if somebody went back: it is a hint
        os.posix_fadvise(self.fileno(), start, size, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        # An object whose opening failed was never the blob's.
        blob = getattr(self, "blob", None)
        if blob is not None:
            blob.closed(self)
        super().close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open blob file cannot be pickled; store the blob itself")
