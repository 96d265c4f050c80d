"""The committed records of a file as a transaction's plan sees them: the newest of all.

Unlike readers it also sees those that are in the file and not durable yet:
whoever commits next comes after them. A place is a position in the file.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from os import pread
from struct import Struct
from typing import Final

from perdure import native
from perdure.errors import CorruptDataError, POSKeyError, UndoError
from perdure.ids import ZERO, tid_repr
from perdure.storages.file.format import NUMBER, RECORD_HEADER
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.iterate import backward
from perdure.storages.file.reader import View
from perdure.storages.file.recent import RecentTransactions
from perdure.storages.file.scan import Scanner, Transaction, Unsound
from perdure.storages.file.window import SMALL_WINDOW, Window
from perdure.storages.plan import Plan, Planned, StoredRecords, Undone

__all__ = ["CommittedRecords"]

_POINTING_BACK: Final = Struct(">8s8sQQHQQ")
"""A record that has a pointer in place of data."""

_BEHIND: Final = Struct(">8s8xQ8xHQQ")
"""Its oid, the record before, the size of its version and of its data, and the pointer."""

_UNDONE: Final = Struct(">8s8xQQHQ")
"""Of a record's header, the oid, the record before, its transaction, and the two sizes."""

_SIZE: Final = Struct(">34xQ").unpack_from
"""The size of its data, 0 for a pointer."""

_PREVIOUS: Final = Struct(">16xQ")
"""What a record's header says about the record before."""

_LATELY: Final = 64
_MOST_OBJECTS: Final = 1000
"""In a transaction whose records are remembered for a while."""

_NEAR: Final = 4096
_READ_TOGETHER: Final = 64 << 10


new_tuple = tuple.__new__


class CommittedRecords:
    """The records in `view`, and before them those in `queue`."""

    def __init__(self, view: View, queue: CommitQueue) -> None:
        self._view = view
        self._file = view.file
        self._index = view.index
        self._queue = queue
        self._recent = RecentTransactions()
        self._pages = view.index.pages
        self._page = view.index.pages.get
        self._recent_tid = self._recent.tid_at
        self._lately: list[dict[bytes, int]] = []

    def follow(self, position: int, tid: bytes, positions: dict[bytes, int]) -> None:
        """Take note of a transaction that goes to the queue, and begins at `position`.

        `positions` are those of its records, by oid.
        """
        self._recent.add(position, tid)
        if len(positions) > _MOST_OBJECTS:
            self._lately.clear()
            return
        self._lately.append(positions)
        if len(self._lately) > _LATELY:
            del self._lately[: _LATELY // 2]

    def lately(self, count: int) -> list[dict[bytes, int]] | None:
        """Return the records of the last `count` transactions; None where they are not known.

        Only for who may call `follow`.
        """
        return self._lately[-count:] if 0 < count <= len(self._lately) else None

    def newest(self, oid: bytes) -> tuple[int | None, bytes]:
        # In this order: what leaves the queue is in the index by then.
        queue = self._queue
        return self._newest(oid, queue.position(oid) if queue.waiting else 0)

    def _newest_visible(self, oid: bytes) -> tuple[int | None, bytes]:
        return self._newest(oid, 0)

    def _newest(self, oid: bytes, position: int) -> tuple[int | None, bytes]:
        """Return what `newest` does for who is at `position` in the queue, 0 for nowhere."""
        if not position:
            # Asked for each object that is stored: this is `index.get`.
            page = self._page(oid[:6])
            found = None if page is None else page.get(oid[6:])
            if found is None:
                return None, ZERO
            position = int.from_bytes(found, "big")
        tid = self._recent_tid(position)
        if tid is not None:
            return position, tid
        try:
            head = pread(self._file.descriptor, 16, position)
        except OSError as error:
            raise self._file.unreadable(position, error) from error
        if head[:8] != oid:
            self._view.header(oid, position)  # which says what is wrong
        return position, head[8:]

    def new_plan(self) -> Plan[int]:
        return native.planning.Plan() if native.planning else {}

    def plan_unchanged(self, records: StoredRecords, number: int, planned: Plan[int]) -> int:
        if native.planning and not self._in_queue(records):
            positions, tids = self._recent.known
            return native.planning.plan_unchanged(
                records, number, self._pages, planned, positions, tids, self._file.descriptor
            )
        return self.pure_plan_unchanged(records, number, planned)

    def pure_plan_unchanged(self, records: StoredRecords, number: int, planned: Plan[int]) -> int:
        """Do the same, also with records in the queue."""
        in_queue = self._in_queue(records)
        newest = self.newest if in_queue else self._newest_visible
        page_of, recent_tid, from_bytes = self._page, self._recent_tid, int.from_bytes
        current: int | None
        committed: bytes | None
        for found in range(number, len(records)):
            oid, serial, data = records[found]
            committed = None
            if not in_queue:
                # As `newest` would, for one call less: this is paid for each object.
                page = page_of(oid[:6])
                place = None if page is None else page.get(oid[6:])
                if place is None:
                    planned[oid] = (data, None, None)
                    continue
                current = from_bytes(place, "big")
                committed = recent_tid(current)
            if committed is None:
                current, committed = newest(oid)
            if committed != serial and current is not None:
                return found
            planned[oid] = (data, None, current)
        return len(records)

    def _in_queue(self, records: StoredRecords) -> bool:
        """Return whether one of their objects is in the queue."""
        waiting = self._queue.waiting
        if not waiting:
            return False
        oids = [oid for oid, _, _ in records]
        return not all(each.positions.keys().isdisjoint(oids) for each in waiting)

    def _bring(self, place: int) -> None:
        """Return when the record at `place` can be read; it may wait in the queue for a write."""
        if place >= self._view.end and self._queue.waiting:
            self._queue.write_kept()

    def place(self, oid: bytes) -> int | None:
        queue = self._queue
        position = queue.position(oid) if queue.waiting else 0
        return position or self._index.get(oid) or None

    def origin(self, oid: bytes, place: int) -> int | None:
        self._bring(place)
        descriptor = self._file.descriptor
        at = place
        while at:
            # Header and back pointer in one read; behind a record, there are always 8 bytes.
            try:
                head = pread(descriptor, _POINTING_BACK.size, at)
            except OSError as error:
                raise self._file.unreadable(at, error) from error
            if len(head) < _POINTING_BACK.size:
                return self._view.origin(oid, place) or None
            found_oid, _, previous, _, version_size, size, back = _POINTING_BACK.unpack(head)
            if found_oid != oid or version_size or previous >= at or (not size and back >= at):
                return self._view.origin(oid, place) or None  # which says what is wrong
            if size:
                return at
            at = back
        return None

    def data_at(self, oid: bytes, place: int) -> bytes:
        self._bring(place)
        return self._view.data_at(oid, place)

    def content(self, oid: bytes, place: int) -> bytes | None:
        # Who changes what others have just changed needs neither a write for it nor a read.
        if place >= self._view.end:
            kept, at = self._queue.kept_at(place)
            (size,) = _SIZE(kept, at) if kept else (0,)
            if size:
                start = at + RECORD_HEADER.size
                return kept[start : start + size]
        try:
            return self.data_at(oid, place)
        except POSKeyError:
            return None

    def written_by(self, oid: bytes, tid: bytes) -> int | None:
        newest = self.newest(oid)[0] or 0
        self._bring(newest)
        return self._view.find(oid, newest, tid) or None

    def tid_at(self, oid: bytes, place: int) -> bytes:
        """Return the tid of the record at `place`."""
        self._bring(place)
        return self._view.header(oid, place).tid

    def load_serial(self, oid: bytes, serial: bytes) -> bytes:
        """Return the record that `serial` wrote; `POSKeyError` if there is none."""
        try:
            # What was read to make a change of it was visible, and is found by a reader.
            return self._view.load_serial(oid, serial)
        except POSKeyError:
            place = self.written_by(oid, serial)
            if place is None:
                raise
        return self.data_at(oid, place)

    def plan_undone(self, tid: bytes) -> Plan[int] | None:
        if self._queue.waiting:
            return None
        position = self._undoable(tid)
        header = Scanner(self._file, self._view.end, SMALL_WINDOW).sealed(position)
        if header is None:
            return None
        first, end = position + header.size, position + header.length
        # What the last transaction wrote is current: the index need not be asked.
        is_last = end + NUMBER.size == self._view.end
        if not native.planning:
            return self._pure_plan_undone(position, first, end, is_last)
        pages = None if is_last else self._pages
        return native.planning.plan_undone(self._file.descriptor, position, first, end, pages)

    def _pure_plan_undone(
        self, transaction: int, at: int, end: int, is_last: bool
    ) -> dict[bytes, Planned[int]] | None:
        """Plan the undo of the transaction whose records stand from `at` to `end`."""
        window = Window(self._file, end, SMALL_WINDOW)
        unpack, size, page = _UNDONE.unpack_from, _UNDONE.size, self._page
        records: dict[bytes, int] = {}
        wanted: list[tuple[int, bytes]] = []
        data, start, covered = b"", 0, -1
        while at + size <= end:
            if at > covered:
                window.cover(at, size)
                data, start = window.data, window.start
                covered = start + len(data) - size
                if at > covered:
                    return None
            oid, before, found, version_size, length = unpack(data, at - start)
            if not is_last:
                entries = page(oid[:6])  # as in `newest`
                if entries is None or entries.get(oid[6:]) != at.to_bytes(6, "big"):
                    return None
            if found != transaction or version_size or before >= at or oid in records:
                return None
            records[oid] = at
            if before:
                wanted.append((before, oid))
            at += size + (length or NUMBER.size)
        if at != end:
            return None
        origins = self._origins(wanted)
        return {oid: (None, origins.get(oid), position) for oid, position in records.items()}

    def records_of(self, tid: bytes) -> Iterator[Undone[int]]:
        found = Scanner(self._view.file, self._view.end).examine(self._undoable(tid))
        if isinstance(found, Unsound):
            path = self._view.file.path
            raise CorruptDataError(path, found.position, found.found, found.expected)
        previous = self._previous(found)
        origins = self._origins([(place, oid) for oid, place in previous.items() if place])
        for oid, position in found.records.items():
            before = previous[oid]
            yield new_tuple(Undone, (oid, position, before or None, origins.get(oid)))

    def _previous(self, transaction: Transaction) -> dict[bytes, int]:
        """Return, by oid, the positions of the records before those of a transaction."""
        window = Window(self._file, transaction.end)
        unpack, size = _PREVIOUS.unpack_from, RECORD_HEADER.size
        found = {}
        data, start, covered = b"", 0, 0
        for oid, position in transaction.records.items():
            if not start <= position <= covered:
                window.cover(position, size)
                data, start = window.data, window.start
                covered = start + len(data) - size
            (previous,) = unpack(data, position - start)
            if previous >= position:
                self._view.previous(oid, position)  # which says what is wrong
            found[oid] = previous
        return found

    def _origins(self, wanted: list[tuple[int, bytes]]) -> dict[bytes, int | None]:
        """Return, by oid, what `origin` does for all `wanted`, each a place and an oid.

        What stands close together in the file is read together.
        """
        found: dict[bytes, int | None] = {}
        while wanted:
            wanted.sort()
            wanted = self._look_for_data(wanted, found)
        return found

    def _look_for_data(
        self, wanted: Sequence[tuple[int, bytes]], found: dict[bytes, int | None]
    ) -> list[tuple[int, bytes]]:
        """Note which records have data; return where the others point to, if anywhere."""
        unpack, size = _BEHIND.unpack_from, _BEHIND.size
        further: list[tuple[int, bytes]] = []
        start, covered, data = 0, -1, b""
        for number, (place, oid) in enumerate(wanted):
            if place > covered:
                start, data = place, self._file.read(place, _reach(wanted, number))
                covered = start + len(data) - size
                if place > covered:
                    found[oid] = self.origin(oid, place)  # which says what is wrong; so below
                    continue
            found_oid, previous, version_size, length, back = unpack(data, place - start)
            if found_oid != oid or version_size or previous >= place:
                found[oid] = self.origin(oid, place)
            elif length:
                found[oid] = place
            elif back >= place:
                found[oid] = self.origin(oid, place)
            elif back:
                further.append((back, oid))
        return further

    def _undoable(self, tid: bytes) -> int:
        for position, header in backward(self._view):
            if header.status == b"p" or header.tid < tid:
                break
            if header.tid == tid and header.status == b" ":
                return position
        raise UndoError(f"transaction {tid_repr(tid)} is not here, or was packed")


def _reach(places: Sequence[tuple[int, bytes]], number: int) -> int:
    """Return how much to read for the record at `places[number]`, and for those near behind it.

    `places` are sorted.
    """
    first = places[number][0]
    behind = bisect_left(places, (first + _READ_TOGETHER, b""), number)
    size = places[behind - 1][0] - first
    if size > _NEAR * (behind - number):
        size = 0  # they stand far from each other
    return size + _BEHIND.size
