"""Reading a file ahead of who looks at it, so that the disk and the processor work at once.

What is read is thrown away: it is in the system's cache then.
"""

import threading
from types import TracebackType
from typing import Final, Self

from perdure.errors import FileAccessError
from perdure.storages.file.datafile import DataFile

__all__ = ["AHEAD_BYTES", "PIECE_BYTES", "ReadAhead"]

PIECE_BYTES: Final = 1 << 20
AHEAD_BYTES: Final = 32 << 20


class ReadAhead:
    """Reads the first `size` bytes of `file` in a thread, at most 32 MB ahead of `reached`.

    A context manager: it begins when it is entered, and ends with the block.
    """

    def __init__(self, file: DataFile, size: int) -> None:
        self._file = file
        self._size = size
        self._moved = threading.Condition()
        self._reached = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="perdure read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._moved:
            self._ended = True
            self._moved.notify()
        self._thread.join()

    def reached(self, position: int) -> None:
        """Say how far the file has been looked at."""
        with self._moved:
            self._reached = position
            self._moved.notify()

    def _run(self) -> None:
        at = 0
        while (at := self._next(at)) < self._size:
            try:
                self._file.read(at, PIECE_BYTES)
            except FileAccessError:
                return  # who looks at these bytes meets the same error, and has to tell of it
            at += PIECE_BYTES

    def _next(self, at: int) -> int:
        """Wait until `at` is not too far ahead; return where to go on, the end if it is over."""
        with self._moved:
            self._moved.wait_for(lambda: self._ended or at < self._reached + AHEAD_BYTES)
            return self._size if self._ended else max(at, self._reached)
