"""Which records a pack keeps of those committed by a moment: marking, in bounded memory.

Of each object the record that was current then is kept, unless the object was
gone or, with garbage collection, could not be reached from the root nor from
anything written later. Others commit meanwhile: what is newer than `end` is looked
through to what it replaced.

Memory, for each object: 8 bytes in a copy of the index, in which an object that was
reached has the position 0; 8 for the position that is kept; 8 while it waits
to be read. No Python object is kept for any of them.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import pread
from struct import Struct
from typing import Final

from perdure.errors import StorageError
from perdure.ids import ROOT_OID
from perdure.interfaces import References
from perdure.storages.file.counting import Count, transactions
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.iterate import backward
from perdure.storages.file.packsource import data_in
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Transaction

__all__ = ["Kept", "Moment", "Needed", "moment_of", "named_by"]

_SEGMENT_BITS: Final = 24
"""Positions are sorted for so many bits of the file at a time."""

_REACHED: Final = bytes(6)
_READ_AHEAD: Final = 1024
_READ_MUCH: Final = 32 << 10
"""Bytes read at a record that stands close behind another, as the next ones may, too."""

_NEAR: Final = 4096
_BETWEEN_TICKS: Final = 1 << 12
_HEADER_SIZE: Final = RECORD_HEADER.size
_NEEDED: Final = Struct(">8s26xQ")
"""Of a record's header, the oid and the size of the data."""

from_bytes = int.from_bytes

Tick = Callable[[], object]
"""Called now and then; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A file as far as `end`, and what was current when `boundary` was its end.

    `objects`, `records`, `record_bytes` and `transactions` count what stands before the
    boundary; an empty transaction counts as a record. `last` is the position of the last
    transaction there.
    """

    boundary: int
    end: int
    current: PositionIndex
    objects: int
    records: int
    record_bytes: int
    transactions: int
    last: int


@dataclass(slots=True)
class Kept:
    """The positions of the records to keep, and what they have in all."""

    count: int = 0
    size_bytes: int = 0
    _segments: dict[int, "array[int]"] = field(default_factory=dict)

    def add(self, position: int, size_bytes: int) -> None:
        """Keep the record at `position`, which takes so many bytes in the copy."""
        self.segment(position >> _SEGMENT_BITS).append(position)
        self.count += 1
        self.size_bytes += size_bytes

    def segment(self, number: int) -> "array[int]":
        """Return the positions of a part of the file, to be added to, and counted."""
        segment = self._segments.get(number)
        if segment is None:
            segment = self._segments[number] = array("Q")
        return segment

    def in_order(self) -> Iterator[list[int]]:
        """Yield the positions in order, in pieces."""
        for number in sorted(self._segments):
            yield sorted(self._segments[number])


def moment_of(view: View, end: int, stop: bytes, tick: Tick) -> Moment:
    """Return what was current when the last transaction not later than tid `stop` was."""
    newest = next(backward(View(view.file, view.index, end, b"")), None)
    to_now = newest is None or newest[1].tid <= stop
    count = Count(view, end, stop, enter=not to_now)
    while count.go_on():
        tick()
    current = view.index.copy() if to_now else count.current()
    return Moment(
        count.boundary,
        end,
        current,
        len(current),
        count.records,
        count.record_bytes,
        count.transactions,
        count.last,
    )


def named_by(
    view: View, transaction: Transaction, references: References | None, raw: bytes | None = None
) -> list[bytes]:
    """Return the objects of a transaction, and those that its records refer to.

    `raw` are its bytes, where they are in memory.
    """
    oids = []
    for oid, position in transaction.records.items():
        oids.append(oid)
        if references is None:
            continue
        data = None if raw is None else data_in(raw, transaction.position, position)
        if data is None and view.origin(oid, position):
            data = view.data_at(oid, position)
        if data is not None:
            oids += references(data)
    return oids


class Needed:
    """Finds what is needed of `view`, as of `moment`; with `references` without garbage."""

    def __init__(
        self, view: View, moment: Moment, references: References | None, tick: Tick
    ) -> None:
        self._view = view
        self._moment = moment
        self._references = references
        self._tick = tick
        self.kept = Kept()

    def find(self, also: list[bytes]) -> Kept:
        """Return what to keep: of the objects `also`, too, whoever refers to them.

        Raises `StorageError` if there is no root to collect garbage from.
        """
        current, references = self._moment.current, self._references
        if references is None:
            for number, (oid, position) in enumerate(current.items()):
                self._keep(oid, self._before_end(oid, position))
                if not number % _BETWEEN_TICKS:
                    self._tick()
            return self.kept
        if ROOT_OID not in current and len(current):
            raise StorageError(
                f"{self._view.file.path}: there is no root object, so all would be garbage; "
                "pack without gc"
            )
        self._mark([ROOT_OID, *also], references)
        for transaction in transactions(self._view, self._moment.boundary, self._moment.end):
            self._mark(named_by(self._view, transaction, references), references)
        return self.kept

    def garbage_named_by(self, transaction: Transaction, raw: bytes | None) -> list[bytes]:
        """Return the objects that are not kept, and that a later transaction needs.

        `raw` are its bytes; None if there are too many.
        """
        named = named_by(self._view, transaction, self._references, raw)
        return list(filter(self._is_garbage, named))

    def _is_garbage(self, oid: bytes) -> bool:
        if self._references is None:
            return False
        position = self._moment.current.get(oid)
        return position != 0 and self._before_end(oid, position) != 0

    def _before_end(self, oid: bytes, position: int) -> int:
        """Return which record of `oid` was current at the end, 0 if none was."""
        while position >= self._moment.end:
            position = self._view.previous(oid, position)
        return position

    def _mark(self, oids: list[bytes], references: References) -> None:
        """Keep these objects, and all that can be reached from them."""
        view, kept, todo, end = self._view, self.kept, array("Q"), self._moment.end
        get_page, add, next_one = self._moment.current.pages.get, todo.append, todo.pop
        unpack, descriptor = _NEEDED.unpack_from, view.file.descriptor
        ahead, start, last = b"", 0, -1  # a piece of the file, and where a header may begin in it
        segment, keep, count, size_bytes = 0, kept.segment(0).append, 0, 0
        while True:
            for oid in oids:
                page = get_page(oid[:6])
                if page is None:
                    continue
                suffix = oid[6:]
                value = page.get(suffix)
                if value is None or value == _REACHED:
                    continue
                page[suffix] = _REACHED
                position = from_bytes(value, "big")
                if position >= end:
                    position = self._before_end(oid, position)
                if position:
                    add(position)
            if not todo:
                break
            position = next_one()
            at = position - start
            if not 0 <= at <= last:
                near = 0 <= at <= last + _NEAR
                ahead = pread(descriptor, _READ_MUCH if near else _READ_AHEAD, position)
                start, at, last = position, 0, len(ahead) - _HEADER_SIZE
                if last < 0:
                    view.file.record_header(position)  # which says what is wrong
            oid, size = unpack(ahead, at)
            behind = at + _HEADER_SIZE + size
            if size and behind <= len(ahead):
                data = ahead[at + _HEADER_SIZE : behind]
            elif view.origin(oid, position):
                data = view.data_at(oid, position)
                size = len(data)
            else:
                oids = []
                continue  # it was gone
            if position >> _SEGMENT_BITS != segment:
                segment = position >> _SEGMENT_BITS
                keep = kept.segment(segment).append
            keep(position)
            size_bytes += size
            oids = references(data)
            count += 1
            if not count % _BETWEEN_TICKS:
                self._tick()
        kept.count += count
        kept.size_bytes += count * _HEADER_SIZE + size_bytes

    def _keep(self, oid: bytes, position: int) -> None:
        origin = self._view.origin(oid, position)
        if origin:
            size = self._view.header(oid, origin).data_size
            self.kept.add(position, _HEADER_SIZE + size)
