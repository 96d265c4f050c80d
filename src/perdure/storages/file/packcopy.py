"""Writing the packed copy of a data file: old transactions in part, later ones whole.

What is kept of an old transaction is copied in runs of records that stood side by
side, and then only told where it stands now. What was committed later keeps its
revisions: its pointers to records before are made anew.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from struct import Struct
from typing import Final, NamedTuple

from perdure import native
from perdure.errors import CorruptDataError
from perdure.fileops import FileOperations, write_all
from perdure.ids import ZERO
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata, encode
from perdure.storages.file.format import (
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
)
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.iterate import read_transaction
from perdure.storages.file.marking import Marked
from perdure.storages.file.needed import Kept
from perdure.storages.file.packsource import InFile, Source, Sources, data_in
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Transaction
from perdure.storages.plan import Kept as KeptElsewhere
from perdure.storages.plan import Planned

__all__ = ["PackedCopy"]

_PACKED: Final = b"p"
_BUFFER_SIZE: Final = 4 << 20
_SYNC_SIZE: Final = 16 << 20
"""Bytes that are written between two syncs: commits, which sync too, wait behind them."""

_WORTH_A_PIECE: Final = 4096
"""Bytes that pieces must have, as a mean, if they are not to be joined before they are written."""

_PIECE_SIZE: Final = 4 << 20
"""Bytes of a large transaction that are copied at a time."""

_PIECES_OF_A_WRITE: Final = 512
"""The system takes 1024."""

_KEPT: Final = Struct(">8s16xQ2xQ")
"""Of a record's header, the oid, where its transaction is, and the size of the data."""

_POINTERS: Final = Struct(">QQ")
"""The place of a record: its previous one, and its transaction."""

_POINTERS_OFFSET: Final = 16
_POINTERS_END: Final = _POINTERS_OFFSET + _POINTERS.size

_SIZES: Final = Struct(">HQ")
"""What follows in a record's header: 0, and the size of the data."""

_HEADER_SIZE: Final = RECORD_HEADER.size


class _Place(NamedTuple):
    """Where an old transaction goes: its fields, and the position of its first record."""

    user: bytes
    note: bytes
    extension: bytes
    extension_size: int
    position: int
    first: int


class _Piece(NamedTuple):
    """A part of a transaction, whose bytes `raw` begin at `start`, and what is copied of it."""

    start: int
    raw: bytes
    positions: list[int]


class PackedCopy:
    """The copy, in `target`, of what is needed of `source`; `view` shows it.

    Raises `OSError`, and `CorruptDataError` where what should be copied does not match
    its checksum: the copy would get a new one, which would match.
    """

    def __init__(self, operations: FileOperations, source: View, target: DataFile) -> None:
        self._operations = operations
        self._source = source
        self._sources = Sources(source)
        self._target = target
        self._buffer: list[bytes] = []
        self._buffered = self._flushed = self._synced = 0
        self.view = View(target, PositionIndex(), len(MAGIC), ZERO)
        self._put([MAGIC], len(MAGIC))

    def copy_old(self, kept: Kept | Marked) -> Iterator[int]:
        """Copy the records at the positions `kept`; yield now and then how far that is."""
        if isinstance(kept, Marked):
            yield from self._copy_marked(kept.marking)
        else:
            for source, positions in self._sources.by_transaction(kept.in_order()):
                self._copy_kept(source, positions)
                yield source.end
        self.flush()

    def _copy_kept(self, source: Source, positions: list[int]) -> None:
        if source.raw is not None:
            self._copy_small(source, source.raw, positions)
        else:
            self._copy_large(source, positions)

    def _copy_marked(self, marking: "native.filescan.Marking") -> Iterator[int]:
        """Copy what is marked, a transaction at a time; yield how far that is."""
        moved = native.filescan.Positions()
        position = marking.first_kept(0)
        while position:
            source = self._sources.around(position)
            if source.raw is None or not self._gather(source, source.raw, marking, moved):
                self._copy_kept(source, marking.kept(source.position, source.end))
            yield source.end
            position = marking.first_kept(source.end)
        self.view.index.take_in((first[:6], moved.page(first)) for first in moved.prefixes())

    def _gather(
        self,
        source: Source,
        raw: bytes,
        marking: "native.filescan.Marking",
        moved: "native.filescan.Positions",
    ) -> bool:
        """Copy the marked records of a transaction; return False if one has to be looked at."""
        place = self._place(source, raw)
        body = native.filescan.gather(
            raw, source.position, marking, place.first, place.position, moved
        )
        if body is None:
            return False
        self.view.publish(source.header.tid, {}, self._write(source, place, body))
        return True

    def copy_empty(self, position: int) -> None:
        """Copy the transaction at `position` without its records."""
        header, fields = read_transaction(self._source.file, position)
        self._encode(header, fields, {}, _PACKED, True)

    def source_of(self, transaction: Transaction) -> Source:
        """Return a transaction that was committed later, for `copy_later`."""
        return self._sources.whole(transaction)

    def copy_later(self, source: Source, records: dict[bytes, int]) -> None:
        """Copy a transaction as it is, with records at these positions, where others have moved."""
        header, raw = source.header, source.raw
        if header.status == b"u":
            return
        if raw is None:
            fields = read_transaction(self._source.file, source.position)[1]
        else:
            fields = _fields(header, raw)
        previous_of = self.view.index.get
        planned: dict[bytes, Planned[int]] = {}
        for oid, position in records.items():
            data = None if raw is None else data_in(raw, source.position, position)
            if data is None:
                planned[oid] = self._moved(oid, position, raw is not None)
            else:
                planned[oid] = data, None, previous_of(oid) or None
        self._encode(header, fields, planned, header.status, raw is not None)

    def flush(self) -> None:
        """Write what waits to be written."""
        if self._buffer:
            pieces, size, self._buffer, self._buffered = self._buffer, self._buffered, [], 0
            if size < len(pieces) * _WORTH_A_PIECE:
                pieces = [b"".join(pieces)]
            for start in range(0, len(pieces), _PIECES_OF_A_WRITE):
                self._write_out(pieces[start : start + _PIECES_OF_A_WRITE])

    def sync(self) -> None:
        """Return when all of the copy is on the disk."""
        self.flush()
        self._synced = self._flushed
        self._operations.sync(self._target.descriptor)

    def _write_out(self, pieces: Sequence[bytes]) -> None:
        descriptor = self._target.descriptor
        self._flushed = write_all(self._operations, descriptor, pieces, self._flushed)
        if self._flushed - self._synced >= _SYNC_SIZE:
            self._synced = self._flushed
            self._operations.sync(descriptor)

    def _put(self, pieces: Iterable[bytes], size_bytes: int) -> None:
        self._buffer += pieces
        self._buffered += size_bytes
        if self._buffered >= _BUFFER_SIZE:
            self.flush()

    def _copy_small(self, source: Source, raw: bytes, positions: list[int]) -> None:
        place = self._place(source, raw)
        whole = _Piece(source.position, raw, positions)
        body, moved = self._body(source, whole, place, place.first)
        self.view.publish(source.header.tid, moved, self._write(source, place, body))

    def _place(self, source: Source, raw: bytes) -> _Place:
        user, note, extension = _fields(source.header, raw)
        extension_size = extension_field_size(extension)
        position = self.view.end
        first = position + TRANSACTION_HEADER.size + len(user) + len(note) + extension_size
        return _Place(user, note, extension, extension_size, position, first)

    def _write(self, source: Source, place: _Place, body: bytes) -> int:
        """Write a packed transaction of these records, and return where it ends."""
        length = place.first - place.position + len(body)
        behind = NUMBER.pack(length)
        head = _head(source, place, length, (body, behind))
        self._put((head, body, behind), length + NUMBER.size)
        return place.position + length + NUMBER.size

    def _body(
        self, source: Source, piece: _Piece, place: _Place, at: int
    ) -> tuple[bytes, dict[bytes, int]]:
        """Return the records of a piece as they are in `place`, the first of them at `at`.

        And where each of them is then.
        """
        pieces: list[bytes] = []
        moved: dict[bytes, int] = {}
        start, raw = piece.start, piece.raw
        pointers = _POINTERS.pack(0, place.position)
        add, unpack = pieces.append, _KEPT.unpack_from
        for position in piece.positions:
            offset = position - start
            oid, transaction, size = unpack(raw, offset)
            if transaction != source.position:
                found = f"a record of the transaction at {transaction}"
                expected = f"one of that at {source.position}"
                raise CorruptDataError(self._source.file.path, position, found, expected, oid)
            moved[oid] = at
            add(raw[offset : offset + _POINTERS_OFFSET])
            add(pointers)
            if size:
                size += _HEADER_SIZE
                add(raw[offset + _POINTERS_END : offset + size])
            else:
                data = self._source.data_at(oid, position)
                add(_SIZES.pack(0, len(data)))
                add(data)
                size = _HEADER_SIZE + len(data)
            at += size
        return b"".join(pieces), moved

    def _copy_large(self, source: Source, positions: list[int]) -> None:
        """Copy records of a transaction piece by piece, so that memory does not hold all of it."""
        raw = self._source.file.read_exactly(source.position, source.header.size)
        place = self._place(source, raw)
        sizes = (self._size_of(piece) for piece in self._pieces(positions))
        length = place.first - place.position + sum(sizes)
        self.flush()
        # The head last, for it has the checksum of what is behind. Nobody reads it before.
        self._flushed = place.first
        body = self._written(source, place, positions, NUMBER.pack(length))
        head = _head(source, place, length, body)
        for _ in body:  # if there is no checksum, which would have taken it
            pass
        write_all(self._operations, self._target.descriptor, [head], place.position)
        self.view.publish(source.header.tid, {}, place.position + length + NUMBER.size)

    def _written(
        self, source: Source, place: _Place, positions: list[int], behind: bytes
    ) -> Iterator[bytes]:
        """Write what follows the head of a packed transaction; yield it, in pieces."""
        for piece in self._pieces(positions):
            body, moved = self._body(source, piece, place, self._flushed)
            self._write_out([body])
            self.view.index.update(moved)
            yield body
        self._write_out([behind])
        yield behind

    def _pieces(self, positions: list[int]) -> Iterator[_Piece]:
        """Yield the records at these positions in pieces, each with at least one of them."""
        file, first = self._source.file, 0
        while first < len(positions):
            start = positions[first]
            behind = bisect_left(positions, start + _PIECE_SIZE, first)
            last = positions[behind - 1]
            size = last - start + _HEADER_SIZE + file.record_header(last).data_size
            yield _Piece(start, file.read_exactly(start, size), positions[first:behind])
            first = behind

    def _size_of(self, piece: _Piece) -> int:
        """Return how many bytes the records of a piece take where each has data of its own."""
        size_bytes, unpack = len(piece.positions) * _HEADER_SIZE, _KEPT.unpack_from
        for position in piece.positions:
            oid, _, size = unpack(piece.raw, position - piece.start)
            size_bytes += size or len(self._source.data_at(oid, position))
        return size_bytes

    def _record(self, oid: bytes, origin: int, in_memory: bool) -> bytes | KeptElsewhere:
        if in_memory:
            return self._source.data_at(oid, origin)
        size = self._source.header(oid, origin).data_size
        return InFile(self._source.file, origin + _HEADER_SIZE, size)

    def _moved(self, oid: bytes, position: int, in_memory: bool) -> Planned[int]:
        """Return a record as it is to be written to the copy, where other records moved too."""
        view, copy = self._source, self.view
        previous = copy.index.get(oid) or None
        origin = view.origin(oid, position)
        if not origin:
            return None, None, previous
        if origin != position and previous:
            self.flush()
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
        end = self.view.end
        encoded = encode(header.tid, fields, planned, end, end, status, in_memory)
        if in_memory:
            self._put(chain.from_iterable(encoded.pieces), encoded.end - end)
        else:
            self.flush()
            for pieces in encoded.pieces:
                self._write_out(pieces)
        self.view.publish(header.tid, encoded.positions, encoded.end)


def _head(source: Source, place: _Place, length: int, body: Iterable[bytes]) -> bytes:
    """Return what stands before the records of a packed transaction; `body` is the rest."""
    user, note = place.user, place.note
    sizes = len(user), len(note), place.extension_size
    header = TransactionHeader(source.header.tid, length, _PACKED, *sizes)
    head = pack_transaction_head(header, user, note)
    if place.extension_size == len(place.extension):
        return head + place.extension
    # By the time that the copy is used, all before is durable.
    head += pack_extension(place.extension, place.position, length, place.position)
    return head + seal(head, body)


def _fields(header: TransactionHeader, raw: bytes) -> Metadata:
    """Return the metadata of the transaction whose bytes are `raw`."""
    note = TRANSACTION_HEADER.size + header.user_size
    extension = note + header.note_size
    return Metadata(
        raw[TRANSACTION_HEADER.size : note],
        raw[note:extension],
        split_extension(raw[extension : header.size])[0],
    )
