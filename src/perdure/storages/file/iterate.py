"""Transactions of a data file in order: forwards with their records, backwards by header."""

from collections.abc import Iterator
from functools import partial

from perdure.errors import CorruptDataError
from perdure.interfaces import StoredRecord
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata
from perdure.storages.file.format import (
    MAGIC,
    NUMBER,
    RECORD_HEADER,
    TRANSACTION_HEADER,
    RecordHeader,
    TransactionHeader,
    split_extension,
    unpack_record_header,
)
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Unsound
from perdure.storages.file.window import Window
from perdure.storages.iterated import IteratedTransaction

__all__ = ["backward", "forward", "metadata", "position_from"]


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
            yield _transaction(view, position, header)
        position += header.length + NUMBER.size


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


def metadata(file: DataFile, position: int, header: TransactionHeader) -> Metadata:
    """Return user, description and extension of the transaction at `position`."""
    start = TRANSACTION_HEADER.size
    fields = file.read_exactly(position + start, header.size - start)
    note = header.user_size
    extension = note + header.note_size
    return Metadata(fields[:note], fields[note:extension], split_extension(fields[extension:])[0])


def _transaction(view: View, position: int, header: TransactionHeader) -> IteratedTransaction:
    user, description, extension = metadata(view.file, position, header)
    return IteratedTransaction(
        header.tid,
        header.status.decode("latin-1"),
        user,
        description,
        extension,
        partial(_records, view, position, header),
    )


def _records(view: View, position: int, header: TransactionHeader) -> Iterator[StoredRecord]:
    end = position + header.length
    window = Window(view.file, end)
    at = position + header.size
    while at < end:
        record = unpack_record_header(window.read(at, RECORD_HEADER.size), view.file.path, at)
        _check_place(view, at, record, position, end)
        if record.data_size:
            data = window.read(at + RECORD_HEADER.size, record.data_size)
            yield StoredRecord(record.oid, record.tid, data)
        else:
            yield _pointing_back(view, at, record)
        at += record.record_size


def _pointing_back(view: View, at: int, record: RecordHeader) -> StoredRecord:
    origin = view.origin(record.oid, at)
    if not origin:
        return StoredRecord(record.oid, record.tid, None)
    source_tid = view.header(record.oid, origin).tid
    return StoredRecord(record.oid, record.tid, view.data_at(record.oid, origin), source_tid)


def _check_place(view: View, at: int, record: RecordHeader, position: int, end: int) -> None:
    if record.transaction != position or at + record.record_size > end:
        found = f"a record of {record.record_size} bytes, of a transaction at {record.transaction}"
        expected = f"one of the transaction at {position}, which ends at {end}"
        raise CorruptDataError(view.file.path, at, found, expected, record.oid)
