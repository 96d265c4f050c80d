"""Blocks of a data file in memory, so that not every load calls the system.

A data file grows at its end, and what is visible of it never changes. So a block can be kept
for as long as the file is open. Only what was visible when it was read is kept, for what is
behind may be written over; the block that has the end is read again when more of it is wanted.

When there is no more room, only every eighth block that is missed takes the place of another:
to read a block costs more than to read a record, which pays only if the block is still there
when it is wanted again.

With native code in use, the same is done in C, see `blocks.h`.
"""

import threading
from os import pread
from typing import Final

from perdure.storages.file.datafile import DataFile

__all__ = ["KEPT_BYTES", "MASK", "SHIFT", "Blocks"]

KEPT_BYTES: Final = 16 << 20
"""How much of a file is kept in memory at most."""

SHIFT: Final = 13
"""From a position to the number of its block, which has 8 KiB."""

_SIZE: Final = 1 << SHIFT
MASK: Final = _SIZE - 1
_REPLACING_EVERY: Final = 8


class Blocks:
    """Blocks of `file`, of `kept_bytes` together at most. For any number of threads.

    `kept` has them by number, the oldest first: who looks there needs no call.
    """

    __slots__ = ("_file", "_lock", "_missed", "_most", "kept", "reads")

    def __init__(self, file: DataFile, kept_bytes: int = KEPT_BYTES) -> None:
        self._file = file
        self._lock = threading.Lock()  # for those who add to `kept`
        self._missed = 0
        self._most = kept_bytes // _SIZE
        self.kept: dict[int, bytes] = {}
        self.reads = 0  # how many were read from the file

    def read(self, number: int, end: int) -> bytes:
        """Return what is below `end` of a block, which is kept from now on; b"" if it is not.

        It is less where the file has become shorter. Raises `OSError` where the operating
        system refuses.
        """
        if len(self.kept) >= self._most and number not in self.kept:
            self._missed += 1
            if self._missed % _REPLACING_EVERY or not self._most:
                return b""
        start = number << SHIFT
        size = min(end - start, _SIZE)
        if size <= 0:
            return b""
        block = pread(self._file.descriptor, size, start)
        self.reads += 1
        with self._lock:
            self.kept[number] = block
            if len(self.kept) > self._most:
                del self.kept[next(iter(self.kept))]
        return block
