"""Taking in many sound transactions at once, where native code does it.

`Sweeper` goes over a file as far as all is as it should be. What stops it, a
transaction that is damaged or merely unusual, it leaves to `scan.Scanner`, which
says what it is. Without native code it leaves everything to that.

Memory: the window of `native`, 2 MB, or one transaction of up to 64; 8 bytes for each
object entered, until they are in the index.
"""

from collections.abc import Callable
from typing import Final

from google_crc32c import extend as extend_crc

from perdure import native
from perdure.storages.file.reader import View

__all__ = ["Sweeper"]

_LATER_THAN_ALL: Final = b"\xff" * 8


class Sweeper:
    """Enters the transactions of a file up to `limit`, those before tid `stop`, into a view."""

    def __init__(self, limit: int, stop: bytes | None) -> None:
        self._limit = limit
        self._stop = stop or _LATER_THAN_ALL

    def advance(self, view: View, step: int, reached: Callable[[int], object]) -> int | None:
        """Take in what is sound from `view.end` on.

        Returns up to where the last transaction proves the file to be durable, None if there
        was none. `reached` is called with the position about every `step` bytes.
        """
        if not native.filescan:
            return None
        positions = native.filescan.Positions()
        sweep = native.filescan.Sweep(
            view.file.descriptor,
            view.end,
            self._limit,
            view.last_tid,
            self._stop,
            positions,
            extend_crc,
            False,
            False,
        )
        while sweep.run(step) and sweep.position < self._limit:
            reached(sweep.position)
        if not sweep.transactions:
            return None
        view.index.take_in((first[:6], positions.page(first)) for first in positions.prefixes())
        view.reach(sweep.last_tid, sweep.position)
        return sweep.durable
