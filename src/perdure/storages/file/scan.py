"""Reading a data file transaction by transaction, checking each on the way.

Checked are a transaction's lengths, that its records fill it and point to it,
and its checksum where it has one that is bound to its place. What to do about a
transaction that is not sound is not decided here.
"""

from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from google_crc32c import extend as extend_crc

from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import (
    CRC,
    NUMBER,
    RECORD_HEADER,
    STATUS_OFFSET,
    TRAILER_SIZE,
    TRANSACTION_HEADER,
    Trailer,
    TransactionHeader,
    mended_trailer,
    split_extension,
)
from perdure.storages.file.window import LARGE_WINDOW, Window

__all__ = ["Scanner", "Transaction", "Unsound", "examine_again"]

_COMPLETE: Final = (b" ", b"p", b"u")
_unpack_needed = Struct(">8s16xQHQ").unpack_from
"""Unpacks a record header without tid and previous record."""

_PIECE_SIZE: Final = 1 << 16
"""Bytes that a checksum takes at a time: more would have memory of its own, each time anew."""


@dataclass(frozen=True, slots=True)
class Unsound:
    """What is wrong at `position` with a transaction.

    `end` is where the next one begins; None where the lengths are wrong, and
    nobody knows. `unfinished` says that its writer is at it, or was killed.
    """

    position: int
    found: str
    expected: str
    end: int | None = None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction whose structure is sound, with the positions of its records.

    `trailer` is None where there is none that is bound to this place. Then
    `broken_trailer` says whether there was one: what is left of it fits to
    nothing but this transaction.
    """

    position: int
    header: TransactionHeader
    records: dict[bytes, int]
    trailer: Trailer | None
    broken_trailer: bool = False

    @property
    def end(self) -> int:
        """Where the next transaction begins."""
        return self.position + self.header.length + NUMBER.size


def examine_again(file: DataFile, position: int) -> Transaction | Unsound:
    """Return what is at `position` by now: the writer of the file may have gone on meanwhile."""
    earlier: Unsound | None = None
    while True:
        found = Scanner(file, file.size()).examine(position)
        # While it is written, what was read last can be newer than the size, and than the
        # rest: until the same is found twice.
        if isinstance(found, Transaction) or found.unfinished or found == earlier:
            return found
        earlier = found


class Scanner:
    """Examines transactions of the first `limit` bytes of `file`, `at_once` of which it reads."""

    def __init__(self, file: DataFile, limit: int, at_once: int = LARGE_WINDOW) -> None:
        self._window = Window(file, limit, at_once)
        self.limit = limit

    def header(self, position: int) -> TransactionHeader | Unsound:
        """Return the header of the transaction at `position`, or what is wrong with it."""
        head = self._window.read(position, TRANSACTION_HEADER.size)
        if len(head) < TRANSACTION_HEADER.size:
            unfinished = head[STATUS_OFFSET:][:1] in (b"", b"c")
            found = f"{len(head)} bytes"
            return Unsound(position, found, "a transaction header", unfinished=unfinished)
        header = TransactionHeader._make(TRANSACTION_HEADER.unpack(head))
        end = position + header.length + NUMBER.size
        if header.status not in _COMPLETE:
            found = "an unfinished one" if header.status == b"c" else f"status {header.status!r}"
            unfinished = header.status == b"c"
            return Unsound(position, found, "a complete transaction", unfinished=unfinished)
        if header.length < header.size:
            found = f"a transaction of {header.length} bytes"
            return Unsound(position, found, f"at least {header.size}, which its header takes")
        if end > self._window.limit:
            found = f"a transaction up to {end}"
            return Unsound(position, found, f"one that ends before {self._window.limit}")
        return header

    def examine(self, position: int) -> Transaction | Unsound:
        """Return the transaction at `position`, or what is wrong with it."""
        found = self.structure(position)
        if isinstance(found, Unsound):
            return found
        if found.trailer is None:
            broken = self._is_broken_trailer(position, found.header)
            return replace(found, broken_trailer=True) if broken else found
        if self._crc(position, found.header) != found.trailer.crc:
            wrong = "bytes that do not match their checksum"
            return Unsound(position, wrong, f"crc {found.trailer.crc:#010x}", found.end)
        return found

    def sealed(self, position: int) -> TransactionHeader | None:
        """Return the header of a transaction with a right checksum; None for any other."""
        header = self.header(position)
        if isinstance(header, Unsound):
            return None
        trailer = self._trailer(position, header)
        if trailer is None or self._crc(position, header) != trailer.crc:
            return None
        return header

    def structure(self, position: int) -> Transaction | Unsound:
        """Return the transaction at `position` with its checksum unchecked, or what is wrong."""
        header = self.header(position)
        if isinstance(header, Unsound):
            return header
        end = position + header.length
        self._window.cover(position, header.length + NUMBER.size)
        repeated = int.from_bytes(self._window.read(end, NUMBER.size), "big")
        if repeated != header.length:
            found = f"length {repeated} at its end"
            return Unsound(position, found, f"{header.length} as in its header")
        records = self._records(position, position + header.size, end)
        if isinstance(records, Unsound):
            return records
        return Transaction(position, header, records, self._trailer(position, header))

    def _records(self, position: int, at: int, end: int) -> dict[bytes, int] | Unsound:
        """Return where the records from `at` to `end` are, of the transaction at `position`."""
        records: dict[bytes, int] = {}
        unpack, header_size, back_size = _unpack_needed, RECORD_HEADER.size, NUMBER.size
        data, start = self._window.data, self._window.start
        last = start + len(data) - header_size  # where a header can begin that is in the window
        while at + header_size <= end:
            # Behind the window as well as past it: reading the end of a large
            # transaction has moved it there.
            if not start <= at <= last:
                self._window.cover(at, header_size)
                data, start = self._window.data, self._window.start
                last = start + len(data) - header_size
            oid, transaction, version_size, data_size = unpack(data, at - start)
            if transaction != position or version_size:
                found = f"a record of the transaction at {transaction}"
                return Unsound(at, found, f"one of the transaction at {position}")
            records[oid] = at
            at += header_size + (data_size or back_size)
        if at != end:
            return Unsound(position, f"records up to {at}", f"up to {end}, where it ends")
        return records

    def _trailer(self, position: int, header: TransactionHeader) -> Trailer | None:
        size = header.extension_size
        _, trailer = split_extension(self._window.read(position + header.size - size, size))
        if trailer is None or (trailer.position, trailer.length) != (position, header.length):
            return None
        return trailer

    def _is_broken_trailer(self, position: int, header: TransactionHeader) -> bool:
        """Return whether something that is no trailer was the one of this transaction.

        One that another program moved is not: its checksum is that of other bytes.
        """
        size = header.extension_size
        field = self._window.read(position + header.size - size, size)
        mended = mended_trailer(field, position, header.length)
        if mended is None:
            return False
        crc, head_end = mended
        head = self._window.read(position, header.size - size) + field[:-TRAILER_SIZE] + head_end
        return self._crc(position, header, head) == crc

    def _crc(self, position: int, header: TransactionHeader, head: bytes = b"") -> int:
        """Return the checksum that the transaction should have, if `head` is its head."""
        head = head or self._window.read(position, header.size)
        crc = extend_crc(extend_crc(0, head[:STATUS_OFFSET]), head[STATUS_OFFSET + 1 : -CRC.size])
        at, end = position + header.size, position + header.length + NUMBER.size
        while at < end:
            piece = self._window.read(at, min(end - at, _PIECE_SIZE))
            crc = extend_crc(crc, piece)
            at += len(piece)
        return int(crc)
