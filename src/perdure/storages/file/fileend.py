"""The end of a data file that is open for writing: transactions, a reserve, what is cut off.

A transaction that overwrites a part of the reserve needs nothing of the file system that it
has not got. So a small one is only kept when it votes (`keeps`), and `write` puts all that
finished meanwhile into the file, at once. Any other is appended when it votes, with the status
"unfinished", and either it is `finish`ed or `cut_off`.

    append -> (finish | cut_off)        keeps ... write

Of several transactions that are written together, the first has that status too, until all else
is written: whoever reads the file meanwhile stops there.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from perdure.fileops import FileOperations, write_all
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import UNFINISHED, Encoded
from perdure.storages.file.format import STATUS_OFFSET
from perdure.storages.file.groups import Written
from perdure.storages.file.reserve import Reserve, header_behind

__all__ = ["FileEnd"]

_BEHIND_STATUS: Final = STATUS_OFFSET + 1

log = logging.getLogger("perdure.storages.file")


class FileEnd:
    """What writes transactions to `file`, from `position` on, where the next one goes.

    Its methods raise `OSError`. They are for one thread at a time, but for `write`, which goes
    beside all but `append`, `cut_off` and `give_up_reserve`.
    """

    def __init__(
        self,
        operations: FileOperations,
        file: DataFile,
        position: int,
        reserve_bytes: int,
        quota: int | None,
    ) -> None:
        self._operations = operations
        self._file = file
        self._reserve = Reserve(reserve_bytes, quota, position)
        self.position = position
        self.unfinished = False
        """Whether something stands behind `position` that was appended."""

    def keeps(self, encoded: Encoded) -> bool:
        """Return whether a transaction can wait until it has finished, to be written then."""
        return encoded.whole != b"" and self._reserve.holds(encoded.end)

    def append(self, encoded: Encoded, tid: bytes) -> None:
        """Write a transaction, unfinished, and a reserve behind it, where that is worth it.

        If this raises, or is interrupted, anything may stand behind `position`.
        """
        self.unfinished = True
        at, end, reserve = encoded.position, encoded.end, self._reserve
        behind = reserve.behind(tid, at, end)
        in_place = end < reserve.end
        for pieces in _unfinished(encoded.pieces):
            if in_place and at + sum(map(len, pieces)) == end:
                pieces = [*pieces, behind]
            at = self._write(pieces, at)
        reserve.end = max(reserve.end, at)
        if behind and not in_place:
            with suppress(OSError):  # a smaller one will do, or none
                self._write([behind], end)
            reserve.end = self._file.size()

    def finish(self, encoded: Encoded, status: bytes) -> None:
        """Give what was appended its status."""
        self._write([status], encoded.position + STATUS_OFFSET)
        self.unfinished = False

    def write(self, kept: Sequence[Written]) -> None:
        """Write transactions that were kept, and stand one behind the other, to the reserve."""
        operations, descriptor = self._operations, self._file.descriptor
        first, whole = kept[0], kept[0].kept
        position = first.end - len(whole)
        pieces = [whole[:STATUS_OFFSET], UNFINISHED, whole[_BEHIND_STATUS:]]
        if len(kept) > 1:
            pieces += [each.kept for each in kept[1:]]
        behind = header_behind(kept[-1].tid)
        pieces.append(behind)
        size = kept[-1].end - position + len(behind)
        write_all(operations, descriptor, pieces, position, size)
        status = whole[STATUS_OFFSET:_BEHIND_STATUS]
        write_all(operations, descriptor, (status,), position + STATUS_OFFSET, 1)

    def cut_off(self) -> None:
        """Remove what was appended and not finished, and the reserve with it."""
        self._operations.truncate(self._file.descriptor, self.position)
        self._reserve.end = self.position
        self.unfinished = False

    def give_up_reserve(self) -> None:
        """Make the file end where its last transaction does; failing is logged."""
        if self._reserve.end > self.position:
            try:
                self.cut_off()
            except OSError as error:
                # Whoever reads the file, or opens it next, knows what that is.
                log.warning("%s: its reserve could not be cut off: %s", self._file.path, error)

    def _write(self, pieces: Sequence[bytes], position: int) -> int:
        return write_all(self._operations, self._file.descriptor, pieces, position)


def _unfinished(portions: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
    """Yield the pieces of a transaction, with that status in place of its own."""
    at = iter(portions)
    for head, *rest in islice(at, 1):
        yield head[:STATUS_OFFSET], UNFINISHED, head[_BEHIND_STATUS:], *rest
    yield from at
