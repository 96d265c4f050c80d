"""The reserve: zeros behind the end of an open data file, which small commits overwrite in place.

Bytes that are on the disk already can be written and synced without the file system noting
a new size of the file, which costs it about as much again. So a small commit that makes the
file longer makes it longer than it needs.

    reserve := tid:8 zero:8 "c" zero:6 zero*

To every reader this is a transaction that has not been finished, and the end of the file:
a header of that status, its length not yet known. `tid` is later than the last one, as
that of a transaction in progress would be. Whoever overwrites the header leaves the "c" in
its place until all else is written, and puts a new header behind.

Closing cuts the reserve off; so does opening, when it was left by a process that was killed.
"""

from typing import Final

from perdure.ids import ZERO, after
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import STATUS_OFFSET, TRANSACTION_HEADER

__all__ = ["RESERVE_BYTES", "Reserve", "end_without_reserve", "header_behind", "written_end"]

RESERVE_BYTES: Final = 1 << 20

_COMMITS: Final = 16
"""So many commits of the size of the one that makes it, a reserve has room for."""

_SMALLEST_PART: Final = 8
"""What part of the largest reserve the smallest one is."""

_BLOCK_SIZE: Final = 4096
"""A reserve ends with a block of the file system."""

_ZEROS_OF_A_RECORD: Final = 64
"""More zeros than stand in a row in the headers of a transaction and a record."""

_PIECE_SIZE: Final = 1 << 16
_HEADER_SIZE: Final = TRANSACTION_HEADER.size
_NOTHING_BEGUN: Final = (0, b"c", 0, 0, 0)
_UNBEGUN: Final = TRANSACTION_HEADER.pack(ZERO, *_NOTHING_BEGUN)[len(ZERO) :]


class Reserve:
    """How large reserves are, and where the one ends that a file has.

    The file has been written up to `end`. A reserve has at most about `limit_bytes`, 0 for
    none, and ends where a `quota` does, at the latest. A commit makes one if that is room for
    16 of its size; those that are larger would write more for it than it saves.
    """

    __slots__ = ("_limit_bytes", "_quota", "end")

    def __init__(self, limit_bytes: int, quota: int | None, end: int) -> None:
        self._limit_bytes = limit_bytes
        self._quota = quota
        self.end = end

    def holds(self, end: int) -> bool:
        """Return whether what ends at `end` fits into it, with a header behind."""
        return end + _HEADER_SIZE <= self.end

    def behind(self, tid: bytes, position: int, end: int) -> bytes:
        """Return what to write behind a transaction that goes from `position` to `end`.

        Nothing, where the file need not be longer than that. If it fits into the reserve,
        only the header.
        """
        if end < self.end:
            return header_behind(tid)
        wanted = (end - position) * _COMMITS
        if end == self.end or wanted > self._limit_bytes:
            return b""
        room = end + max(wanted, self._limit_bytes // _SMALLEST_PART)
        room = -(-room // _BLOCK_SIZE) * _BLOCK_SIZE
        if self._quota is not None:
            room = min(room, self._quota)
        return header_behind(tid).ljust(room - end, b"\0") if room - end >= _HEADER_SIZE else b""


def header_behind(tid: bytes) -> bytes:
    """Return the header of a reserve behind the transaction `tid`."""
    return after(tid) + _UNBEGUN


def end_without_reserve(file: DataFile, position: int, size: int) -> int:
    """Return where the last transaction ends, of a file of `size` bytes.

    That is `size`, unless a reserve is behind `position`.
    """
    return _reserve_behind(file, position, _nonzero_end(file, position, size)) or size


def written_end(file: DataFile, position: int, size: int) -> int:
    """Return where what was written from `position` on ends, in a file of `size` bytes.

    That is `position` if only a reserve is there, or zeros. Otherwise some of these may be
    counted in: what is cut short can end with a few.
    """
    end = _nonzero_end(file, position, size)
    if end == position:
        return end
    return _reserve_behind(file, position, end) or min(end + _ZEROS_OF_A_RECORD, size)


def _reserve_behind(file: DataFile, position: int, end: int) -> int:
    """Return where the header begins whose status is the last byte before `end`; 0 if none."""
    start = end - STATUS_OFFSET - 1
    if start < position:
        return 0
    head = file.read(start, _HEADER_SIZE)
    if len(head) < _HEADER_SIZE or TRANSACTION_HEADER.unpack(head)[1:] != _NOTHING_BEGUN:
        return 0
    return start


def _nonzero_end(file: DataFile, position: int, size: int) -> int:
    """Return where the last byte between `position` and `size` that is not 0 ends."""
    end = size
    while end > position:
        start = max(end - _PIECE_SIZE, position)
        left = file.read(start, end - start).rstrip(b"\0")
        if left:
            return start + len(left)
        end = start
    return position
