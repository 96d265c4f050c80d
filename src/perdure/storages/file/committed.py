"""The committed records of a file as a transaction's plan sees them: the newest of all.

Unlike readers it also sees those that are in the file and not durable yet:
whoever commits next comes after them. A place is a position in the file.
"""

from collections.abc import Iterator
from os import pread
from struct import Struct
from typing import Final

from perdure.errors import CorruptDataError, POSKeyError, UndoError
from perdure.ids import ZERO, tid_repr
from perdure.storages.changes import Undone
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.iterate import backward
from perdure.storages.file.reader import View
from perdure.storages.file.recent import RecentTransactions
from perdure.storages.file.scan import Scanner, Unsound
from perdure.storages.file.window import Window

__all__ = ["CommittedRecords"]

_POINTING_BACK: Final = Struct(">8s8sQQHQQ")
"""A record that has a pointer in place of data."""


class CommittedRecords:
    """The records in `view`, and before them those in `queue`."""

    def __init__(self, view: View, queue: CommitQueue) -> None:
        self._view = view
        self._file = view.file
        self._index = view.index
        self._queue = queue
        self._recent = RecentTransactions()
        self._page = view.index.pages.get
        self._recent_tid = self._recent.tid_at

    def follow(self, position: int, tid: bytes) -> None:
        """Take note of a transaction that goes to the queue, and begins at `position`."""
        self._recent.add(position, tid)

    def newest(self, oid: bytes) -> tuple[int | None, bytes]:
        # In this order: what leaves the queue is in the index by then.
        queue = self._queue
        position = queue.position(oid) if queue.waiting else 0
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

    def place(self, oid: bytes) -> int | None:
        return self._queue.position(oid) or self._index.get(oid) or None

    def origin(self, oid: bytes, place: int) -> int | None:
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
        return self._view.data_at(oid, place)

    def written_by(self, oid: bytes, tid: bytes) -> int | None:
        return self._view.find(oid, self.newest(oid)[0] or 0, tid) or None

    def tid_at(self, oid: bytes, place: int) -> bytes:
        """Return the tid of the record at `place`."""
        return self._view.header(oid, place).tid

    def load_serial(self, oid: bytes, serial: bytes) -> bytes:
        """Return the record that `serial` wrote; `POSKeyError` if there is none."""
        place = self.written_by(oid, serial)
        if place is None:
            raise POSKeyError(oid)
        return self._view.data_at(oid, place)

    def records_of(self, tid: bytes) -> Iterator[Undone[int]]:
        found = Scanner(self._view.file, self._view.end).examine(self._undoable(tid))
        if isinstance(found, Unsound):
            path = self._view.file.path
            raise CorruptDataError(path, found.position, found.found, found.expected)
        window = Window(self._file, found.end)
        unpack, size = RECORD_HEADER.unpack, RECORD_HEADER.size
        for oid, position in found.records.items():
            previous = unpack(window.read(position, size))[2]
            if previous >= position:
                self._view.previous(oid, position)  # which says what is wrong
            yield Undone(oid, position, previous or None)

    def _undoable(self, tid: bytes) -> int:
        for position, header in backward(self._view):
            if header.status == b"p" or header.tid < tid:
                break
            if header.tid == tid and header.status == b" ":
                return position
        raise UndoError(f"transaction {tid_repr(tid)} is not here, or was packed")
