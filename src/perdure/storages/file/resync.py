"""Finding the next sound transaction behind a damaged one."""

import re
from typing import Final

from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import NUMBER, TRANSACTION_HEADER
from perdure.storages.file.scan import Scanner, Transaction

__all__ = ["next_sound"]

# What a header looks like behind its tid: a length below 2**48, and a status.
_LIKE_A_HEADER: Final = re.compile(rb"(?=\0\0[\s\S]{6}[ pu])")
_LENGTH_OFFSET: Final = 8
_PIECE_SIZE: Final = 1 << 20


def next_sound(
    file: DataFile, scanner: Scanner, position: int, last_tid: bytes
) -> Transaction | None:
    """Return the first transaction behind `position` that is sound; None if there is none.

    It is one whose lengths agree and whose records name it by its position, or
    that has a checksum which fits, later than `last_tid`.
    """
    at, size = position + 1, scanner.limit
    overlap = TRANSACTION_HEADER.size
    while at < size:
        piece = file.read(at, min(_PIECE_SIZE + overlap, size - at))
        for match in _LIKE_A_HEADER.finditer(piece, _LENGTH_OFFSET):
            start = at + match.start() - _LENGTH_OFFSET
            found = _sound(file, scanner, start, piece, match.start(), last_tid)
            if found is not None:
                return found
        at += _PIECE_SIZE
    return None


def _sound(
    file: DataFile, scanner: Scanner, start: int, piece: bytes, offset: int, last_tid: bytes
) -> Transaction | None:
    length = int.from_bytes(piece[offset : offset + NUMBER.size], "big")
    if length < TRANSACTION_HEADER.size or start + length + NUMBER.size > scanner.limit:
        return None
    # Two bytes less than all the structure costs to read: most candidates end here.
    if int.from_bytes(file.read(start + length, NUMBER.size), "big") != length:
        return None
    found = scanner.examine(start)
    if not isinstance(found, Transaction) or found.header.tid <= last_tid:
        return None
    return found if found.records or found.trailer is not None else None
