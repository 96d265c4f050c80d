"""Transactions of a data file in order: forwards with their records, backwards by header."""

import struct
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final

from perdure.errors import CorruptDataError
from perdure.ids import MAX_TID
from perdure.interfaces import StoredRecord
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata
from perdure.storages.file.format import (
    MAGIC,
    NUMBER,
    RECORD_HEADER,
    TRANSACTION_HEADER,
    TransactionHeader,
    split_extension,
    unpack_transaction_header,
)
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Unsound
from perdure.storages.file.window import Window
from perdure.storages.iterated import IteratedTransaction

__all__ = ["FileTransaction", "backward", "forward", "latest", "position_from", "read_transaction"]


_READ_AHEAD: Final = 512
"""Bytes read for a transaction's header and metadata, which are mostly shorter."""


class FileTransaction(IteratedTransaction):
    """A transaction of a data file: from `position`, its records up to `end`."""

    def __init__(self, view: View, position: int, header: TransactionHeader) -> None:
        super().__init__(
            header.tid,
            header.status.decode("latin-1"),
            *read_transaction(view.file, position)[1],
            partial(_records, view, position, header),
        )
        self.position = position
        self.end = position + header.length


def forward(view: View, start: bytes | None, stop: bytes | None) -> Iterator[IteratedTransaction]:
    """Yield the transactions from tid `start` to `stop`, both included, oldest first.

    Raises `CorruptDataError` where one is not sound.
    """
    end = view.end
    position = len(MAGIC) if start is None else position_from(view, start)
    scanner = Scanner(view.file, end)
    while position < end:
        header = scanner.header(position)
        if isinstance(header, Unsound):
            raise CorruptDataError(view.file.path, header.position, header.found, header.expected)
        if stop is not None and header.tid > stop:
            return
        if header.status != b"u":  # undone in place, long ago
            yield FileTransaction(view, position, header)
        position += header.length + NUMBER.size


def latest(view: View, count: int) -> Iterator[IteratedTransaction]:
    """Yield the last `count` transactions, oldest first."""
    recent = list(islice(backward(view), max(count, 0)))
    return forward(view, recent[-1][1].tid if recent else MAX_TID, None)


def backward(view: View) -> Iterator[tuple[int, TransactionHeader]]:
    """Yield positions and headers of the transactions, newest first.

    Raises `CorruptDataError` where the lengths do not lead to a header.
    """
    end = view.end
    window = Window(view.file, end)
    while end > len(MAGIC):
        at = end - NUMBER.size
        window.cover_up_to(at, NUMBER.size)
        length = int.from_bytes(window.read(at, NUMBER.size), "big")
        position = at - length
        if length < TRANSACTION_HEADER.size or position < len(MAGIC):
            found = f"length {length} at the end of a transaction"
            raise CorruptDataError(view.file.path, at, found, "one that leads to its header")
        window.cover_up_to(position, TRANSACTION_HEADER.size)
        header = TransactionHeader._make(
            TRANSACTION_HEADER.unpack(window.read(position, TRANSACTION_HEADER.size))
        )
        if header.length != length:
            found = f"length {header.length}"
            raise CorruptDataError(view.file.path, position, found, f"{length} as at its end")
        yield position, header
        end = position


def position_from(view: View, tid: bytes) -> int:
    """Return the position of the first transaction that is not before `tid`, else the end.

    It is looked for from the end of the file that it is likely to be nearer to.
    """
    newest = next(backward(view), None)
    if newest is None or newest[1].tid < tid:
        return view.end
    oldest_tid = view.file.transaction_header(len(MAGIC)).tid
    if tid <= oldest_tid:
        return len(MAGIC)
    behind = int.from_bytes(newest[1].tid, "big") - int.from_bytes(tid, "big")
    ahead = int.from_bytes(tid, "big") - int.from_bytes(oldest_tid, "big")
    return _back_to(view, tid) if behind < ahead else _on_to(view, tid)


def _back_to(view: View, tid: bytes) -> int:
    found = view.end
    for position, header in backward(view):
        if header.tid < tid:
            break
        found = position
    return found


def _on_to(view: View, tid: bytes) -> int:
    position = len(MAGIC)
    scanner = Scanner(view.file, view.end)
    while position < view.end:
        header = scanner.header(position)
        if isinstance(header, Unsound):
            raise CorruptDataError(view.file.path, header.position, header.found, header.expected)
        if header.tid >= tid:
            break
        position += header.length + NUMBER.size
    return position


def read_transaction(file: DataFile, position: int) -> tuple[TransactionHeader, Metadata]:
    """Return header and metadata of the transaction at `position`, mostly in one read.

    Raises `CorruptDataError` if the file ends before they do.
    """
    ahead = file.read(position, _READ_AHEAD)
    header = unpack_transaction_header(ahead, file.path, position)
    if header.size > len(ahead):
        ahead = file.read_exactly(position, header.size)
    note = TRANSACTION_HEADER.size + header.user_size
    extension = note + header.note_size
    return header, Metadata(
        ahead[TRANSACTION_HEADER.size : note],
        ahead[note:extension],
        split_extension(ahead[extension : header.size])[0],
    )


def _records(view: View, position: int, header: TransactionHeader) -> Iterator[StoredRecord]:
    end = position + header.length
    window = Window(view.file, end)
    unpack, header_size = RECORD_HEADER.unpack_from, RECORD_HEADER.size
    at = position + header.size
    while at < end:
        window.cover(at, header_size)
        try:
            oid, tid, _, transaction, _, size = unpack(window.data, at - window.start)
        except struct.error:
            transaction, oid, size = 0, None, 0
        following = at + header_size + (size or NUMBER.size)
        if transaction != position or following > end:
            found = f"a record up to {following}, of the transaction at {transaction}"
            expected = f"one of the transaction at {position}, which ends at {end}"
            raise CorruptDataError(view.file.path, at, found, expected, oid)
        if size:
            yield StoredRecord(oid, tid, window.read(at + header_size, size))
        else:
            yield _pointing_back(view, at, oid, tid)
        at = following


def _pointing_back(view: View, at: int, oid: bytes, tid: bytes) -> StoredRecord:
    origin = view.origin(oid, at)
    if not origin:
        return StoredRecord(oid, tid, None)
    return StoredRecord(oid, tid, view.data_at(oid, origin), view.header(oid, origin).tid)
