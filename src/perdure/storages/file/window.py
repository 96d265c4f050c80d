"""Reading much of a file in order: small reads out of one large one."""

from typing import Final

from perdure.storages.file.datafile import DataFile

__all__ = ["LARGE_WINDOW", "SMALL_WINDOW", "Window"]

LARGE_WINDOW: Final = 1 << 20
SMALL_WINDOW: Final = 1 << 16
"""For who reads little: more would have memory of its own, which takes long to have."""

_SIZE_BACKWARDS: Final = 1 << 16
"""Less: who reads backwards mostly wants a few transactions, and skips their records."""

_FIRST_LOOK_BACK: Final = 1 << 9
"""What is read first, and in front of records that were skipped."""


class Window:
    """The first `limit` bytes of `file`, of which `size` are in memory.

    `data` are the bytes from `start` on. Not for several threads at once.
    """

    __slots__ = ("_file", "_size", "data", "limit", "start")

    def __init__(self, file: DataFile, limit: int, size: int = LARGE_WINDOW) -> None:
        self._file = file
        self._size = size
        self.limit = limit
        self.data = b""
        self.start = 0

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer at the limit."""
        if size > self._size:
            return self._file.read(position, min(size, max(self.limit - position, 0)))
        self.cover(position, size)
        offset = position - self.start
        return self.data[offset : offset + size]

    def cover(self, position: int, size: int) -> None:
        """Make sure that `size` bytes from `position` on are in memory, if a window takes them."""
        if self.start <= position and position + size <= self.start + len(self.data):
            return
        left = max(self.limit - position, 0)
        if position == self.start and len(self.data) == min(left, self._size):
            return  # there is no more
        self.data = self._file.read(position, min(left, self._size))
        self.start = position

    def cover_up_to(self, position: int, size: int) -> None:
        """Like `cover`, for who reads backwards: the window ends with these bytes."""
        if self.start <= position and position + size <= self.start + len(self.data):
            return
        end = min(position + size, self.limit)
        near = self.start - _SIZE_BACKWARDS <= position < self.start
        self.start = max(end - max(_SIZE_BACKWARDS if near else _FIRST_LOOK_BACK, size), 0)
        self.data = self._file.read(self.start, end - self.start)
