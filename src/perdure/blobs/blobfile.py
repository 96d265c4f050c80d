"""An open file of a blob, as `Blob.open` returns it."""

from io import FileIO
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["BlobFile", "OpenedBlob"]


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

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of `data` and return its size in bytes."""
        # The system takes about 2 GiB at a time, and may take less.
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            rest = rest[super().write(rest) or 0 :]
        return size

    def close(self) -> None:
        # An object whose opening failed was never the blob's.
        blob = getattr(self, "blob", None)
        if blob is not None:
            blob.closed(self)
        super().close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open blob file cannot be pickled; store the blob itself")
