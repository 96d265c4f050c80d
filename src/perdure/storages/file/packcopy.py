"""Writing the packed copy of a data file: old transactions in part, later ones whole.

What is kept of an old transaction is copied in runs of records that stood side by
side, and then only told where it stands now. What was committed later keeps its
revisions: its pointers to records before are made anew.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from perdure.errors import CorruptDataError
from perdure.fileops import FileOperations, write_all
from perdure.ids import ZERO
from perdure.storages.changes import Kept as KeptElsewhere
from perdure.storages.changes import Planned
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata, encode
from perdure.storages.file.format import (
    CRC,
    MAGIC,
    NUMBER,
    RECORD_HEADER,
    TRANSACTION_HEADER,
    TransactionHeader,
    extension_field_size,
    pack_extension,
    pack_transaction_head,
    seal,
    split_extension,
    unpack_transaction_header,
)
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.iterate import read_transaction
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound

__all__ = ["PackedCopy"]

_PACKED: Final = b"p"
_LARGE: Final = 8 << 20
"""Bytes of a transaction that is not read as a whole."""

_BUFFER_SIZE: Final = 4 << 20

_POINTERS: Final = Struct(">QQ")
"""The place of a record: its previous one, and its transaction."""

_POINTERS_OFFSET: Final = 16
_HEADER_SIZE: Final = RECORD_HEADER.size


class _Source(NamedTuple):
    """A transaction to be copied in part; `raw` are its bytes, None if there are too many."""

    position: int
    header: TransactionHeader
    raw: bytes | None

    @property
    def end(self) -> int:
        return self.position + self.header.length


class _InFile:
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


class PackedCopy:
    """The copy, in `target`, of what is needed of `source`; `view` shows it.

    Raises `OSError`, and `CorruptDataError` where what should be copied does not match
    its checksum: the copy would get a new one, which would match.
    """

    def __init__(self, operations: FileOperations, source: View, target: DataFile) -> None:
        self._operations = operations
        self._source = source
        self._target = target
        self._buffer: list[bytes] = []
        self._buffered = self._flushed = 0
        self.view = View(target, PositionIndex(), len(MAGIC), ZERO)
        self._put([MAGIC], len(MAGIC))

    def copy_old(self, kept: Iterable[int]) -> Iterator[int]:
        """Copy the records at the positions `kept`; yield now and then how far that is."""
        for source, positions in self._by_transaction(kept):
            if source.raw is not None:
                self._copy_small(source, source.raw, positions)
            else:
                self._copy_large(source, positions)
            yield source.end
        self.flush()

    def copy_empty(self, position: int) -> None:
        """Copy the transaction at `position` without its records."""
        header, fields = read_transaction(self._source.file, position)
        self._encode(header, fields, {}, _PACKED, True)

    def copy_later(self, transaction: Transaction) -> None:
        """Copy a transaction as it is, where others have moved."""
        self.flush()
        header, view = transaction.header, self._source
        if header.status == b"u":
            return
        self._verify_large(transaction.position)
        in_memory = header.length < _LARGE
        planned = {
            oid: self._moved(oid, position, in_memory)
            for oid, position in transaction.records.items()
        }
        fields = read_transaction(view.file, transaction.position)[1]
        self._encode(header, fields, planned, header.status, in_memory)

    def flush(self) -> None:
        """Write what waits to be written."""
        if self._buffer:
            pieces, self._buffer, self._buffered = self._buffer, [], 0
            self._flushed = write_all(
                self._operations, self._target.descriptor, [b"".join(pieces)], self._flushed
            )

    def sync(self) -> None:
        """Return when all of the copy is on the disk."""
        self.flush()
        self._operations.sync(self._target.descriptor)

    def _put(self, pieces: Iterable[bytes], size_bytes: int) -> None:
        self._buffer += pieces
        self._buffered += size_bytes
        if self._buffered >= _BUFFER_SIZE:
            self.flush()

    def _by_transaction(self, kept: Iterable[int]) -> Iterator[tuple[_Source, list[int]]]:
        source: _Source | None = None
        positions: list[int] = []
        for position in kept:
            if source is None or position >= source.end:
                if source is not None:
                    yield source, positions
                source = self._source_of(position)
                positions = []
            positions.append(position)
        if source is not None:
            yield source, positions

    def _source_of(self, record_position: int) -> _Source:
        file = self._source.file
        position = file.record_header(record_position).transaction
        ahead = file.read(position, 4096)
        header = unpack_transaction_header(ahead, file.path, position)
        if not position + header.size <= record_position < position + header.length:
            found = f"a record of the transaction at {position}"
            raise CorruptDataError(
                file.path, record_position, found, "one of a transaction around it"
            )
        size = header.length + NUMBER.size
        if size > _LARGE:
            self._verify_large(position)
            return _Source(position, header, None)
        raw = ahead[:size] if size <= len(ahead) else file.read_exactly(position, size)
        self._verify(position, header, raw)
        return _Source(position, header, raw)

    def _verify(self, position: int, header: TransactionHeader, raw: bytes) -> None:
        field = raw[header.size - header.extension_size : header.size]
        trailer = split_extension(field)[1]
        if trailer is None or (trailer.position, trailer.length) != (position, header.length):
            return
        head = raw[: header.size - CRC.size]
        if seal(head, [raw[header.size :]]) != CRC.pack(trailer.crc):
            self._damaged(position, trailer.crc)

    def _verify_large(self, position: int) -> None:
        found = Scanner(self._source.file, self._source.end).examine(position)
        if isinstance(found, Unsound):
            path = self._source.file.path
            raise CorruptDataError(path, found.position, found.found, found.expected)

    def _damaged(self, position: int, crc: int) -> None:
        found = "bytes that do not match their checksum"
        raise CorruptDataError(self._source.file.path, position, found, f"crc {crc:#010x}")

    def _copy_small(self, source: _Source, raw: bytes, positions: list[int]) -> None:
        old = source.header
        user = raw[TRANSACTION_HEADER.size : TRANSACTION_HEADER.size + old.user_size]
        note_end = old.size - old.extension_size
        note = raw[note_end - old.note_size : note_end]
        extension = split_extension(raw[note_end : old.size])[0]
        extension_size = extension_field_size(extension)
        position = self.view.end
        first = position + TRANSACTION_HEADER.size + len(user) + len(note) + extension_size

        body, moved = self._body(source.position, raw, positions, first)
        pointers = _POINTERS.pack(0, position)
        for at in moved.values():
            at -= first - _POINTERS_OFFSET
            body[at : at + _POINTERS.size] = pointers
        length = first - position + len(body)
        packed = b"".join((body, NUMBER.pack(length)))
        header = TransactionHeader(old.tid, length, _PACKED, len(user), len(note), extension_size)
        head = pack_transaction_head(header, user, note)
        if extension_size > len(extension):
            # By the time that the copy is used, all before is durable.
            head += pack_extension(extension, position, length, position)
            head += seal(head, [packed])
        else:
            head += extension
        end = position + length + NUMBER.size
        self._put((head, packed), end - position)
        self.view.publish(old.tid, moved, end)

    def _body(
        self, start: int, raw: bytes, positions: list[int], at: int
    ) -> tuple[bytearray, dict[bytes, int]]:
        """Return the records at `positions`, to be put at `at`, and where each will be."""
        body = bytearray()
        moved: dict[bytes, int] = {}
        run = run_end = 0
        unpack = RECORD_HEADER.unpack_from
        for position in positions:
            offset = position - start
            oid, tid, _, transaction, _, size = unpack(raw, offset)
            if transaction != start:
                found = f"a record of the transaction at {transaction}"
                raise CorruptDataError(
                    self._source.file.path, position, found, f"one of that at {start}", oid
                )
            moved[oid] = at
            if size:
                if offset != run_end:
                    body += raw[run:run_end]
                    run = offset
                size += _HEADER_SIZE
                run_end = offset + size
                at += size
            else:
                body += raw[run:run_end]
                run = run_end = 0
                data = self._source.data_at(oid, position)
                body += RECORD_HEADER.pack(oid, tid, 0, 0, 0, len(data)) + data
                at += _HEADER_SIZE + len(data)
        body += raw[run:run_end]
        return body, moved

    def _copy_large(self, source: _Source, positions: list[int]) -> None:
        file = self._source.file
        planned: dict[bytes, Planned[int]] = {}
        for position in positions:
            oid = file.record_header(position).oid
            planned[oid] = self._record(oid, self._source.origin(oid, position), False), None, None
        fields = read_transaction(file, source.position)[1]
        self._encode(source.header, fields, planned, _PACKED, False)

    def _record(self, oid: bytes, origin: int, in_memory: bool) -> bytes | KeptElsewhere:
        if in_memory:
            return self._source.data_at(oid, origin)
        size = self._source.header(oid, origin).data_size
        return _InFile(self._source.file, origin + _HEADER_SIZE, size)

    def _moved(self, oid: bytes, position: int, in_memory: bool) -> Planned[int]:
        """Return a record as it is to be written to the copy, where other records moved too."""
        view, copy = self._source, self.view
        previous = copy.index.get(oid) or None
        origin = view.origin(oid, position)
        if not origin:
            return None, None, previous
        if origin != position and previous:
            source = copy.find(oid, previous, view.header(oid, origin).tid)
            if source:
                return None, copy.origin(oid, source), previous
        return self._record(oid, origin, in_memory), None, previous

    def _encode(
        self,
        header: TransactionHeader,
        fields: Metadata,
        planned: dict[bytes, Planned[int]],
        status: bytes,
        in_memory: bool,
    ) -> None:
        self.flush()
        end = self.view.end
        encoded = encode(header.tid, fields, planned, end, end, status, in_memory)
        for pieces in encoded.pieces:
            self._flushed = write_all(
                self._operations, self._target.descriptor, pieces, self._flushed
            )
        self.view.publish(header.tid, encoded.positions, encoded.end)
