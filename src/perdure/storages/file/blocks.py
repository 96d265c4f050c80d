"""Blocks of a data file in memory, so that not every load calls the system.

A data file grows at its end, and what is visible of it never changes. So a block can be kept
for as long as the file is open. Only what was visible when it was read is kept, for what is
behind may be written over; the block that has the end is read again when more of it is wanted.

With native code in use, the same is done in C, see `blocks.h`.
"""

from os import pread
from typing import Final

from perdure.storages.file.datafile import DataFile

__all__ = ["KEPT_BYTES", "MASK", "SHIFT", "Blocks"]

KEPT_BYTES: Final = 8 << 20
"""How much of a file is kept in memory at most."""

SHIFT: Final = 13
"""From a position to the number of its block, which has 8 KiB."""

_SIZE: Final = 1 << SHIFT
MASK: Final = _SIZE - 1


class Blocks:
    """Blocks of `file`, of `kept_bytes` together at most. For any number of threads.

    `recent` are those that were read lately, by number: who looks there first needs no call.
    When they are half of what may be kept, they become the older ones, and those are dropped.
    """

    __slots__ = ("_file", "_half", "_older", "reads", "recent")

    def __init__(self, file: DataFile, kept_bytes: int = KEPT_BYTES) -> None:
        self._file = file
        self._half = kept_bytes // _SIZE // 2
        self._older: dict[int, bytes] = {}
        self.recent: dict[int, bytes] = {}
        self.reads = 0  # how many were read from the file

    def get(self, number: int, end: int) -> bytes:
        """Return what is below `end` of a block; less where the file has become shorter.

        Raises `OSError` where the operating system refuses.
        """
        start = number << SHIFT
        size = min(end - start, _SIZE)
        if size <= 0 or not self._half:
            return b""
        block = self.recent.get(number) or self._older.get(number)
        if block is None or len(block) < size:
            block = pread(self._file.descriptor, size, start)
            self.reads += 1
        if len(self.recent) >= self._half:
            # In place: who reads has hold of the dictionary.
            self._older.clear()
            self._older.update(self.recent)
            self.recent.clear()
        self.recent[number] = block
        return block
