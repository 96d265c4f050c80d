"""Records in a damaged part of a data file that are whole themselves.

A record names its object, its tid and the position of its transaction; where
these are plausible and its pickles can be read to their end, it is taken for
one, whatever became of the lengths around it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.errors import CorruptDataError, StateLoadError
from perdure.records import references
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata
from perdure.storages.file.format import (
    NUMBER,
    RECORD_HEADER,
    TRANSACTION_HEADER,
    RecordHeader,
)
from perdure.storages.file.iterate import read_transaction

__all__ = ["Salvaged", "SavedRecord", "data_of", "salvage"]

# No version, a size below 2**48: behind oid, tid, previous and transaction.
_LIKE_A_RECORD: Final = re.compile(rb"(?=\0\0\0\0)")
_VERSION_OFFSET: Final = 32
_PIECE_SIZE: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class SavedRecord:
    """A record at `position`; `data` is None where the object was gone, see `StoredRecord`."""

    position: int
    oid: bytes
    data: bytes | None
    data_txn: bytes | None


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What is left of the transaction `tid` that began at `position`."""

    position: int
    tid: bytes
    metadata: Metadata
    records: tuple[SavedRecord, ...]


def salvage(
    file: DataFile, start: int, end: int, after: bytes, before: bytes | None
) -> list[Salvaged]:
    """Return what is left from `start` to `end`, of transactions between two tids, oldest first."""
    parts: dict[int, list[tuple[int, RecordHeader, SavedRecord]]] = {}
    for position, header in _records(file, start, end):
        try:
            data, data_txn = data_of(file, position, header)
            if data is not None:
                references(data)
        except (CorruptDataError, StateLoadError):
            continue
        record = SavedRecord(position, header.oid, data, data_txn)
        parts.setdefault(header.transaction, []).append((position, header, record))
    found = []
    for at, records in parts.items():
        # The tid that most of them have: one of them may be what was damaged.
        ((tid, _),) = Counter(header.tid for _, header, _ in records).most_common(1)
        if after < tid and (before is None or tid < before):
            metadata = _metadata(file, at, records[0][0])
            found.append(Salvaged(at, tid, metadata, tuple(record for *_, record in records)))
    return sorted(found, key=lambda part: part.tid)


def data_of(
    file: DataFile, position: int, header: RecordHeader
) -> tuple[bytes | None, bytes | None]:
    """Return what a record stands for, None if for nothing, and the tid of the record it repeats.

    Raises `CorruptDataError` where it points to no record of its object.
    """
    at, data_txn = position, None
    while not header.data_size:
        back = NUMBER.unpack(file.read_exactly(at + RECORD_HEADER.size, NUMBER.size))[0]
        if not back:
            return None, None
        if back >= at:
            raise CorruptDataError(file.path, at, f"data at {back}", "data before", header.oid)
        header, at = file.record_header(back, header.oid), back
        data_txn = header.tid
    return file.read_exactly(at + RECORD_HEADER.size, header.data_size, header.oid), data_txn


def _records(file: DataFile, start: int, end: int) -> Iterator[tuple[int, RecordHeader]]:
    """Yield what could be a record of a transaction that began from `start` on."""
    past = start + TRANSACTION_HEADER.size
    for at in range(start, end, _PIECE_SIZE):
        piece = file.read(at, min(_PIECE_SIZE + RECORD_HEADER.size, end - at))
        for match in _LIKE_A_RECORD.finditer(piece, _VERSION_OFFSET):
            offset = match.start() - _VERSION_OFFSET
            position = at + offset
            if position < past or offset + RECORD_HEADER.size > len(piece):
                continue
            header = RecordHeader._make(RECORD_HEADER.unpack_from(piece, offset))
            if (
                start <= header.transaction <= position - TRANSACTION_HEADER.size
                and header.previous < position
                and position + header.record_size <= end
            ):
                yield position, header


def _metadata(file: DataFile, at: int, first_record: int) -> Metadata:
    """Return what a transaction says of itself, if its header leads to its first record."""
    if at + file.transaction_header(at).size != first_record:
        return Metadata(b"", b"", b"")
    return read_transaction(file, at)[1]
