"""From a data file to the view of it: the saved index if it fits, and a scan of the rest."""

import logging
import os
from pathlib import Path
from typing import Final, NamedTuple

from perdure.errors import CorruptDataError
from perdure.ids import ZERO, tid_repr
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.fileops import FileOperations, write_all
from perdure.storages.file.format import MAGIC
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import SavedIndex, pack_index, unpack_index
from perdure.storages.file.iterate import backward
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound
from perdure.storages.file.tail import is_torn

__all__ = ["Loading", "index_path", "load_view", "save_index"]

_RECORDS_TO_CHECK: Final = 5
"""Records, in the last transactions, that a saved index has to know."""

log = logging.getLogger("perdure.storages.file")


class Loading(NamedTuple):
    """What was found: the view, and from where on it was scanned.

    `torn` says what is wrong with the end of the file, behind `view.end`, or is None.
    """

    view: View
    scanned_from: int
    torn: Unsound | None


def index_path(path: Path) -> Path:
    """Return where the index of a data file is saved."""
    return path.with_name(path.name + ".index")


def load_view(file: DataFile, stop: bytes | None) -> Loading:
    """Return the view of the transactions in `file`; those before tid `stop`, where given.

    Raises `CorruptDataError` if a transaction in the midst of the file is damaged
    so that it is not known where the next one begins.
    """
    size = file.size()
    saved = None if stop is not None else _saved_index(file, size)
    view = View(file, PositionIndex(), len(MAGIC), ZERO)
    if saved is not None:
        view = View(file, saved.positions, saved.position, saved.last_tid or ZERO)
    start = view.end
    torn = _scan(view, max(size, len(MAGIC)), stop)
    return Loading(view, start, torn)


def save_index(operations: FileOperations, view: View) -> None:
    """Save the index of `view` beside its file, in place of an older one."""
    target = index_path(view.file.path)
    temporary = target.with_name(target.name + ".tmp")
    descriptor = operations.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(operations, descriptor, [pack_index(view.index, view.end, view.last_tid)], 0)
        operations.sync(descriptor)
    finally:
        operations.close(descriptor)
    operations.rename(temporary, target)
    operations.sync_directory(target.parent)


def _scan(view: View, size: int, stop: bytes | None) -> Unsound | None:
    """Add the transactions from `view.end` to `size`; return what is wrong with the rest."""
    scanner = Scanner(view.file, size)
    while view.end < size:
        found = scanner.examine(view.end)
        if isinstance(found, Unsound):
            if is_torn(view.file, size, found, view.end):
                return found
            found = _damaged(view, scanner, found)
        tid = found.header.tid
        if stop is not None and tid >= stop:
            return None
        if tid <= view.last_tid:
            text = "%s, byte %d: found tid %s, expected one later than %s before it"
            log.warning(text, view.file.path, view.end, tid_repr(tid), tid_repr(view.last_tid))
        records = {} if found.header.status == b"u" else found.records
        view.publish(tid, records, found.end)
    return None


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
        saved = unpack_index(path.read_bytes())
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
