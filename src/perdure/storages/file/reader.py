"""Reading records of a data file by oid: positional reads, no locks.

A view is one data file with the index to it. Packing makes another view; who
holds the old one reads on in the old file.
"""

import struct
from os import pread
from struct import Struct
from typing import Final

from perdure import native
from perdure.errors import CorruptDataError, POSKeyError
from perdure.ids import after, oid_repr
from perdure.interfaces import Loaded, PlainRevision
from perdure.storages.file.blocks import KEPT_BYTES, MASK, SHIFT, Blocks
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import (
    NUMBER,
    RECORD_HEADER,
    RecordHeader,
    unpack_record_header,
)
from perdure.storages.file.index import PositionIndex

__all__ = ["View"]

_READ_AHEAD: Final = 1024
"""Bytes read at the place of a record: most records whole, in one call."""

_LATER_THAN_ALL: Final = b"\xff" * 8

_HEADER_SIZE: Final = RECORD_HEADER.size
_unpack_header = RECORD_HEADER.unpack_from
_unpack_needed = Struct(">8s8sQ8xHQ").unpack_from
"""Unpacks a record header without the position of its transaction."""

from_bytes = int.from_bytes


class View:
    """The visible records of `file`: those before `end`, the current ones found by `index`.

    `last_tid` is the newest transaction's. Up to `kept_bytes` of the file are kept in memory,
    nothing where that is 0.
    """

    __slots__ = (
        "_block",
        "_blocks",
        "_descriptor",
        "_page",
        "end",
        "file",
        "index",
        "last_tid",
        "records",
    )

    def __init__(
        self,
        file: DataFile,
        index: PositionIndex,
        end: int,
        last_tid: bytes,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.file = file
        self.index = index
        self.end = end
        self.last_tid = last_tid
        self._descriptor = file.descriptor
        self._page = index.pages.get
        self.keep(kept_bytes)

    def keep(self, kept_bytes: int) -> None:
        """Begin anew to keep blocks of the file in memory, up to `kept_bytes`."""
        if native.view:
            pages, file = self.index.pages, self.file
            self.records = native.view.Records(pages, file, file.descriptor, self.end, kept_bytes)
            self.pure_keep(0)  # who gets here without it, must look at the file
        else:
            self.pure_keep(kept_bytes)

    def pure_keep(self, kept_bytes: int) -> None:
        """Do it for `pure_load_before`."""
        self._blocks = Blocks(self.file, kept_bytes)
        self._block = self._blocks.kept.get

    def publish(self, tid: bytes, positions: dict[bytes, int], end: int) -> None:
        """Make a transaction visible that ends at `end` of the file."""
        # Records first: whoever sees the new tid must already find its records.
        self.index.update(positions)
        self.reach(tid, end)

    def reach(self, tid: bytes, end: int) -> None:
        """Have `end` and `last_tid` include transactions whose records are in the index."""
        self.end = end
        if native.view:
            self.records.end = end
        self.last_tid = tid

    def load(self, oid: bytes) -> Loaded:
        """Return the current record; `POSKeyError` if there is none."""
        revision = self.load_before(oid, _LATER_THAN_ALL)
        if revision is None:  # there is no such tid
            raise POSKeyError(oid)
        return Loaded(revision[0], revision[1])

    def pure_load_before(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        """Return what was current just before `tid`, None if the object is younger.

        Raises `POSKeyError` where the object is not known, or was gone then, and
        `CorruptDataError` where the file contradicts itself.
        """
        # Every call here is paid for each object that is loaded: this is `index.get`. And calling
        # what an attribute holds as if it were a method takes twice as long as by a name.
        page_of, block_of = self._page, self._block
        page = page_of(oid[:6])
        found = None if page is None else page.get(oid[6:])
        if found is None:
            raise POSKeyError(oid)
        position = from_bytes(found, "big")
        next_tid = None
        while True:
            ahead, at = block_of(position >> SHIFT, b""), position & MASK
            try:
                found_oid, found_tid, previous, version_size, size = _unpack_needed(ahead, at)
            except struct.error:  # there is no block, or not all of the header is in it
                ahead, at = self._ahead(position)
                if len(ahead) < at + _HEADER_SIZE:
                    self._header_of(oid, position, ahead)  # which says what is wrong; so below
                found_oid, found_tid, previous, version_size, size = _unpack_needed(ahead, at)
            if found_oid != oid or version_size or previous >= position:
                self._header_of(oid, position, ahead[at : at + _HEADER_SIZE])
            if found_tid < tid:
                break
            if not previous:
                return None
            next_tid = found_tid
            position = previous
        if not size:
            return self._record(oid, position)[1], found_tid, next_tid
        start = at + _HEADER_SIZE
        end = start + size
        if end <= len(ahead):
            return ahead[start:end], found_tid, next_tid
        data = self.file.read_exactly(position + _HEADER_SIZE, size, oid)
        return data, found_tid, next_tid

    def _ahead(self, position: int) -> tuple[bytes, int]:
        """Return bytes that have the header of a record, and where in them it is.

        Mostly they have the record too. Where the file ends before the header does,
        they are what there is of it.
        """
        try:
            at = position & MASK
            block = self._blocks.read(position >> SHIFT, self.end)
            if len(block) >= at + _HEADER_SIZE:
                return block, at
            return pread(self._descriptor, _READ_AHEAD, position), 0
        except OSError as error:
            raise self.file.unreadable(position, error) from error

    def native_load_before(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        """Return what `pure_load_before` does."""
        found = self.records.load_before(oid, tid)
        if found is NotImplemented:
            return self.pure_load_before(oid, tid)
        return found

    load_before = native_load_before if native.view else pure_load_before

    def load_serial(self, oid: bytes, serial: bytes) -> bytes:
        """Return the record that the transaction `serial` wrote; `POSKeyError` if none."""
        revision = self.load_before(oid, after(serial))
        if revision is None or revision[1] != serial:
            raise POSKeyError(oid)
        return revision[0]

    def next_existing(self, oid: bytes) -> bytes | None:
        """Return the lowest oid from `oid` on of an object that is not gone, None at the end."""
        found = self.index.next(oid)
        while found is not None and not self.origin(found, self.index.get(found)):
            found = self.index.next(after(found))
        return found

    def record_from(self, oid: bytes) -> tuple[bytes, bytes, bytes, bytes | None]:
        """Return oid, tid and data of the first object from `oid` on, and the oid after it.

        Raises `ValueError` where there is none, and `CorruptDataError` if the record of
        that object is damaged.
        """
        found = self.next_existing(oid)
        if found is None:
            raise ValueError(f"no object has oid {oid_repr(oid)} or a higher one")
        data, tid = self.load(found)
        try:
            following = self.next_existing(after(found))
        except CorruptDataError as error:
            if error.oid is None:
                raise
            following = error.oid  # whoever asks for that one is told
        return found, tid, data, following

    def find(self, oid: bytes, newest: int, tid: bytes) -> int:
        """Return where `tid` wrote `oid`, looking back from `newest`; 0 if it did not."""
        position = newest
        while position:
            header = self.header(oid, position)
            if header.tid == tid:
                return position
            if header.tid < tid:
                return 0
            position = header.previous
        return 0

    def header(self, oid: bytes, position: int) -> RecordHeader:
        """Return the header of a record; `CorruptDataError` if `oid` has none there."""
        return self._header_of(oid, position, self.file.read(position, _HEADER_SIZE))

    def origin(self, oid: bytes, position: int) -> int:
        """Return the position of the record that has the data, 0 if the object is gone."""
        while position:
            _, _, _, _, _, size = self._fields(oid, position)
            if size:
                return position
            position = self._back(oid, position)
        return 0

    def previous(self, oid: bytes, position: int) -> int:
        """Return the position of the record before, 0 if there is none."""
        return self._fields(oid, position)[2]

    def data_at(self, oid: bytes, position: int) -> bytes:
        """Return what the record at `position` stands for; `POSKeyError` if the object is gone."""
        ahead = self.file.read(position, _READ_AHEAD)
        if len(ahead) >= _HEADER_SIZE:
            found_oid, _, previous, version_size, size = _unpack_needed(ahead)
            end = _HEADER_SIZE + size
            usual = found_oid == oid and previous < position and not version_size
            if usual and size and end <= len(ahead):
                return ahead[_HEADER_SIZE:end]
        return self._record(oid, position)[1]

    def _record(self, oid: bytes, position: int) -> tuple[RecordHeader, bytes]:
        header = self.header(oid, position)
        size, start = header.data_size, position
        while not size:
            start = self._back(oid, start)
            if not start:
                raise POSKeyError(oid)
            size = self.header(oid, start).data_size
        return header, self.file.read_exactly(start + _HEADER_SIZE, size, oid)

    def _fields(self, oid: bytes, position: int) -> tuple[bytes, bytes, int, int, int, int]:
        """Return the fields of a header, checked like those of `header`, without making one."""
        data = self.file.read(position, _HEADER_SIZE)
        if len(data) < _HEADER_SIZE:
            return self._header_of(oid, position, data)
        fields: tuple[bytes, bytes, int, int, int, int] = _unpack_header(data)
        if fields[0] != oid or fields[4] or fields[2] >= position:
            return self._header_of(oid, position, data)
        return fields

    def _header_of(self, oid: bytes, position: int, data: bytes) -> RecordHeader:
        header = unpack_record_header(data, self.file.path, position, oid)
        if header.previous >= position:
            found = f"a previous record at {header.previous}"
            raise CorruptDataError(self.file.path, position, found, "one before it", oid)
        return header

    def _back(self, oid: bytes, position: int) -> int:
        at = position + _HEADER_SIZE
        back: int
        (back,) = NUMBER.unpack(self.file.read_exactly(at, NUMBER.size, oid))
        if back >= position:
            raise CorruptDataError(
                self.file.path, at, f"data at {back}", f"data before {position}", oid
            )
        return back
