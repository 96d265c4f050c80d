"""What a pack copies from: the transactions of the data file, verified before they are copied.

The copy gets a checksum of its own, which would match whatever was damaged before.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from perdure.errors import CorruptDataError
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import (
    CRC,
    NUMBER,
    RECORD_HEADER,
    TransactionHeader,
    seal,
    split_extension,
    unpack_record_header,
    unpack_transaction_header,
)
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound
from perdure.storages.file.window import SMALL_WINDOW, Window

__all__ = ["LARGE", "InFile", "Source", "Sources", "data_in"]

LARGE: Final = 8 << 20
"""Bytes of a transaction that is not read as a whole."""

_AHEAD: Final = 4096

_HEADER_SIZE: Final = RECORD_HEADER.size
_unpack_needed = Struct(">16xQ10xQ").unpack_from
"""Unpacks, of a record's header, where the previous one is, and the size of the data."""


class Source(NamedTuple):
    """A transaction to be copied; `raw` are its bytes, None if there are too many."""

    position: int
    header: TransactionHeader
    raw: bytes | None

    @property
    def end(self) -> int:
        return self.position + self.header.length


def data_in(raw: bytes, start: int, position: int) -> bytes | None:
    """Return the data of the record at `position`, in a sound transaction at `start`.

    None where the record points back, or has to be looked at.
    """
    at = position - start
    previous, size = _unpack_needed(raw, at)
    if not size or previous >= position:
        return None
    at += _HEADER_SIZE
    return raw[at : at + size]


class InFile:
    """A record that is in a file until it is written to another."""

    __slots__ = ("_file", "_position", "_size")

    def __init__(self, file: DataFile, position: int, size: int) -> None:
        self._file = file
        self._position = position
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """Return the record."""
        return self._file.read_exactly(self._position, self._size)


class Sources:
    """The transactions of a view.

    Raises `CorruptDataError` where what should be copied does not match its checksum.
    """

    def __init__(self, view: View) -> None:
        self._file = view.file
        self._view = view  # whose end moves on
        self._window = Window(view.file, view.end, SMALL_WINDOW)

    def by_transaction(self, kept: Iterable[list[int]]) -> Iterator[tuple[Source, list[int]]]:
        """Yield the transactions that hold the records at `kept`, each with its own of these.

        The positions are in order, and in pieces.
        """
        source: Source | None = None
        positions: list[int] = []
        for piece in kept:
            at = 0
            while at < len(piece):
                if source is None or piece[at] >= source.end:
                    if source is not None:
                        yield source, positions
                    source = self.around(piece[at])
                    positions = []
                behind = bisect_left(piece, source.end, at)
                positions += piece[at:behind]
                at = behind
        if source is not None:
            yield source, positions

    def around(self, record_position: int) -> Source:
        """Return the transaction around a record, verified."""
        path, read = self._file.path, self._window.read
        record = read(record_position, RECORD_HEADER.size)
        position = unpack_record_header(record, path, record_position).transaction
        header = unpack_transaction_header(read(position, _AHEAD), path, position)
        if not position + header.size <= record_position < position + header.length:
            found = f"a record of the transaction at {position}"
            raise CorruptDataError(path, record_position, found, "one of a transaction around it")
        if header.length > LARGE:
            return self._too_large(position, header)
        size = header.length + NUMBER.size
        raw = read(position, size)
        if len(raw) < size:
            raw = self._file.read_exactly(position, size)  # which says what is wrong
        self._verify(position, header, raw)
        return Source(position, header, raw)

    def whole(self, transaction: Transaction) -> Source:
        """Return a transaction, verified; it can be one that was committed lately."""
        position, header = transaction.position, transaction.header
        if header.length > LARGE:
            return self._too_large(position, header)
        raw = self._file.read_exactly(position, header.length + NUMBER.size)
        self._verify(position, header, raw)
        return Source(position, header, raw)

    def _too_large(self, position: int, header: TransactionHeader) -> Source:
        found = Scanner(self._file, self._view.end).examine(position)
        if isinstance(found, Unsound):
            raise CorruptDataError(self._file.path, found.position, found.found, found.expected)
        return Source(position, header, None)

    def _verify(self, position: int, header: TransactionHeader, raw: bytes) -> None:
        field = raw[header.size - header.extension_size : header.size]
        trailer = split_extension(field)[1]
        if trailer is None or (trailer.position, trailer.length) != (position, header.length):
            return
        # In pieces: a copy of all would have memory of its own, each time anew.
        ends = range(header.size, len(raw), SMALL_WINDOW)
        body = (raw[at : at + SMALL_WINDOW] for at in ends)
        if seal(raw[: header.size - CRC.size], body) != CRC.pack(trailer.crc):
            found = "bytes that do not match their checksum"
            raise CorruptDataError(self._file.path, position, found, f"crc {trailer.crc:#010x}")
