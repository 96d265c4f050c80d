"""From a data file to the view of it: the saved index if it fits, and a scan of the rest.

A scan of much tells how far it is: the log, and who asked for it.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from perdure.errors import CorruptDataError
from perdure.ids import ZERO, tid_repr
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import MAGIC
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import SavedIndex, read_index
from perdure.storages.file.iterate import backward
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound, examine_again
from perdure.storages.file.sweep import Sweeper
from perdure.storages.file.tail import is_torn

__all__ = ["Loading", "Progress", "index_path", "load_view"]

_RECORDS_TO_CHECK: Final = 5
"""Records, in the last transactions, that a saved index has to know."""

_BETWEEN_REPORTS: Final = 8 << 20
"""Bytes scanned between two calls of who wants to know the progress."""

_FIRST_LOG_LINE_AFTER_S: Final = 1.0
_BETWEEN_LOG_LINES_S: Final = 5.0

log = logging.getLogger("perdure.storages.file")

Progress = Callable[[int, int], object]
"""Called now and then with the bytes that were scanned, and the bytes to scan in all."""


class Loading(NamedTuple):
    """What was found: the view, and from where on it was scanned.

    `durable` is the position up to which the file is known to be on the disk.
    `torn` says what is wrong with the end of the file, behind `view.end`, or is None.
    """

    view: View
    scanned_from: int
    durable: int
    torn: Unsound | None

    @property
    def is_durable(self) -> bool:
        """Whether all that readers will see is known to be on the disk.

        That is so where the saved index knows the whole file: it is saved of what is durable.
        """
        return self.torn is None and self.durable == self.view.end


def index_path(path: Path) -> Path:
    """Return where the index of a data file is saved."""
    return path.with_name(path.name + ".index")


def load_view(file: DataFile, stop: bytes | None, progress: Progress | None = None) -> Loading:
    """Return the view of the transactions in `file`; those before tid `stop`, where given.

    What `progress` raises ends it. Raises `CorruptDataError` if a transaction in the midst
    of the file is damaged
    so that it is not known where the next one begins.
    """
    size = file.size()
    saved = None if stop is not None else _saved_index(file, size)
    view = View(file, PositionIndex(), len(MAGIC), ZERO)
    if saved is not None:
        view = View(file, saved.positions, saved.position, saved.last_tid or ZERO)
    start = view.end
    reports = _Reports(file.path, start, size, progress)
    durable, torn = _scan(view, max(size, len(MAGIC)), stop, reports)
    return Loading(view, start, durable, torn)


class _Reports:
    """Tells how far a scan from `start` to `size` is, if it is a long one."""

    def __init__(self, path: Path, start: int, size: int, progress: Progress | None) -> None:
        self._path = path
        self._start = start
        self._size = size
        self._progress = progress
        self._next_log_line_at = time.monotonic() + _FIRST_LOG_LINE_AFTER_S
        self.due = start + _BETWEEN_REPORTS

    def reached(self, position: int) -> None:
        self.due = position + _BETWEEN_REPORTS
        done, total = position - self._start, self._size - self._start
        if self._progress is not None:
            self._progress(done, total)
        now = time.monotonic()
        if now >= self._next_log_line_at:
            self._next_log_line_at = now + _BETWEEN_LOG_LINES_S
            text = "%s: rebuilding its index, %d of %d MB scanned"
            log.info(text, self._path, done >> 20, total >> 20)


def _scan(
    view: View, size: int, stop: bytes | None, reports: _Reports
) -> tuple[int, Unsound | None]:
    """Add the transactions from `view.end` to `size`.

    Returns up to where the last of them proves the file to be durable, and what is
    wrong with the rest.
    """
    # An index is saved of what is durable; only with the magic nobody has begun yet.
    durable = view.end if view.end > len(MAGIC) else 0
    scanner = Scanner(view.file, size)
    sweeper = Sweeper(size, stop)
    while view.end < size:
        swept = sweeper.advance(view, _BETWEEN_REPORTS, reports.reached)
        if swept is not None:
            durable = swept
            continue
        found = scanner.examine(view.end)
        if isinstance(found, Unsound):
            # Its writer may have gone on meanwhile; what is read again is newer.
            found = examine_again(view.file, view.end)
        if isinstance(found, Unsound):
            if is_torn(view.file, size, found, view.end):
                return durable, found
            found = _damaged(view, scanner, found)
        tid = found.header.tid
        if stop is not None and tid >= stop:
            return durable, None
        if tid <= view.last_tid:
            text = "%s, byte %d: found tid %s, expected one later than %s before it"
            log.warning(text, view.file.path, view.end, tid_repr(tid), tid_repr(view.last_tid))
        durable = found.position
        if found.trailer is not None:
            durable = min(durable, found.trailer.durable)
        records = {} if found.header.status == b"u" else found.records
        view.publish(tid, records, found.end)
        if found.end >= reports.due:
            reports.reached(found.end)
    return durable, None


def _damaged(view: View, scanner: Scanner, unsound: Unsound) -> Transaction:
    """Return a damaged transaction whose records can be told apart, else raise what is wrong."""
    path = view.file.path
    error = CorruptDataError(path, unsound.position, unsound.found, unsound.expected)
    found = scanner.structure(view.end)
    if isinstance(found, Unsound):
        raise error
    log.error("%s", error)
    return found


def _saved_index(file: DataFile, size: int) -> SavedIndex | None:
    """Return the saved index, with its last tid, if it fits the file."""
    path = index_path(file.path)
    try:
        with path.open("rb") as source:
            saved = read_index(source)
        return saved._replace(last_tid=_verified(file, saved, size))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, CorruptDataError) as error:
        log.warning("%s is not used, the data file is scanned instead: %s", path, error)
        return None


def _verified(file: DataFile, saved: SavedIndex, size: int) -> bytes:
    """Return the last tid before the index's position; `ValueError` if it does not fit."""
    if not len(MAGIC) <= saved.position <= size:
        raise ValueError(f"it goes up to byte {saved.position} of {size}")
    checked = 0
    last_tid = None
    for position, header in backward(View(file, saved.positions, saved.position, ZERO)):
        last_tid = last_tid or header.tid
        if saved.last_tid not in (None, last_tid):
            raise ValueError(f"the last transaction that it knows is not {tid_repr(last_tid)}")
        at, end = position + header.size, position + header.length
        while at < end and checked < _RECORDS_TO_CHECK and header.status != b"u":
            record = file.record_header(at)
            if record.transaction != position or saved.positions.get(record.oid) < at:
                raise ValueError(f"it does not know the record at byte {at}")
            at += record.record_size
            checked += 1
        if checked >= _RECORDS_TO_CHECK:
            break
    return last_tid or ZERO
