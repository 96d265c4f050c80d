"""Packing: a copy of a data file with what is needed to see any moment from `stop` on.

Of what was committed by then, each object's newest record is copied, unless the
object was gone or, with garbage collection, could not be reached from the root
nor from anything written later. Transactions copied in part get the status "p":
they cannot be undone. Everything committed later is copied whole.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from perdure.errors import CorruptDataError, StorageError
from perdure.ids import ROOT_OID, ZERO
from perdure.interfaces import References
from perdure.storages.changes import Planned
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import encode
from perdure.storages.file.fileops import FileOperations, write_all
from perdure.storages.file.format import MAGIC
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.iterate import read_transaction
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction, Unsound

__all__ = ["pack_file", "packed_path", "put_in_place"]


class Kept(NamedTuple):
    """What a pack keeps: of the transactions before `boundary` the records in `positions`."""

    boundary: int
    positions: PositionIndex
    dropped: int


def packed_path(path: Path) -> Path:
    """Return where the packed file is written before it takes the place of `path`."""
    return path.with_name(path.name + ".pack")


def pack_file(
    operations: FileOperations, view: View, stop: bytes, references: References | None
) -> View | None:
    """Write a packed copy of the file of `view`, synced; return the view of that.

    With `references`, garbage goes too. Returns None if there is nothing to
    drop. Nobody may commit meanwhile. Raises `OSError` and what reading raises;
    then nothing is left of the copy.
    """
    kept = _choose(view, stop, references)
    if not kept.dropped:
        return None
    path = packed_path(view.file.path)
    try:
        descriptor = operations.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        copy = _copy(operations, view, DataFile(view.file.path, descriptor), kept)
        operations.sync(descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            operations.unlink(path)
        raise
    return copy


def put_in_place(
    operations: FileOperations, path: Path, keep_old: bool, remove_index: Callable[[], object]
) -> None:
    """Give the packed file the name `path`; at no moment is there no file of that name.

    With `keep_old` the file that had it is `NAME.old` then. Raises `OSError`
    while everything still has its name; then nothing is left of the packed file.
    """
    try:
        if keep_old:
            old = path.with_name(path.name + ".old")
            with suppress(FileNotFoundError):
                operations.unlink(old)
            operations.link(path, old)
        # A crash must not leave it beside a file that it does not belong to.
        remove_index()
        operations.rename(packed_path(path), path)
    except OSError:
        operations.unlink(packed_path(path))
        raise


def _transactions(view: View, position: int) -> Iterator[Transaction]:
    """Yield the transactions from `position` on; `CorruptDataError` where one is not sound."""
    scanner = Scanner(view.file, view.end)
    while position < view.end:
        found = scanner.examine(position)
        if isinstance(found, Unsound):
            raise CorruptDataError(view.file.path, found.position, found.found, found.expected)
        yield found
        position = found.end


def _choose(view: View, stop: bytes, references: References | None) -> Kept:
    """Return what to keep; with `references`, without the garbage as of tid `stop`.

    Raises `StorageError` if there is no root to collect garbage from.
    """
    current = PositionIndex()
    boundary, seen = len(MAGIC), 0
    for transaction in _transactions(view, boundary):
        if transaction.header.tid > stop:
            break
        if transaction.header.status != b"u":
            seen += len(transaction.records)
            current.update(transaction.records)
        if not transaction.records and transaction.end < view.end:
            seen += 1  # all of it goes
        boundary = transaction.end
    for oid in [oid for oid, position in current.items() if not view.origin(oid, position)]:
        current.remove(oid)
    if references is not None:
        _drop_garbage(view, boundary, current, references)
    return Kept(boundary, current, seen - len(current))


def _drop_garbage(
    view: View, boundary: int, current: PositionIndex, references: References
) -> None:
    if ROOT_OID not in current and len(current):
        raise StorageError(
            f"{view.file.path}: there is no root object, so all would be garbage; pack without gc"
        )
    garbage = PositionIndex()
    garbage.update(dict(current.items()))
    todo = [ROOT_OID]
    for transaction in _transactions(view, boundary):
        for oid, position in transaction.records.items():
            todo.append(oid)
            if view.origin(oid, position):
                todo += references(view.data_at(oid, position))
    while todo:
        oid = todo.pop()
        position = garbage.get(oid)
        if position:
            garbage.remove(oid)
            todo += references(view.data_at(oid, position))
    for oid in garbage:
        current.remove(oid)


def _copy(operations: FileOperations, view: View, target: DataFile, kept: Kept) -> View:
    """Write what is kept of `view` to `target`, an empty file; return the view of that."""
    copy = View(target, PositionIndex(), len(MAGIC), ZERO)
    write_all(operations, target.descriptor, [MAGIC], 0)
    for transaction in _transactions(view, len(MAGIC)):
        old = transaction.position < kept.boundary
        if transaction.header.status == b"u":
            continue
        planned = {}
        for oid, position in transaction.records.items():
            if not old:
                planned[oid] = _moved(view, copy, oid, position)
            elif kept.positions.get(oid) == position:
                planned[oid] = view.data_at(oid, position), None, None
        # The newest one stays, even empty: the next tid must be later after reopening, too.
        if planned or not old or transaction.end == view.end:
            status = b"p" if old else transaction.header.status
            _write(operations, view, copy, transaction, planned, status)
    return copy


def _moved(view: View, copy: View, oid: bytes, position: int) -> Planned[int]:
    """Return a record as it is to be written to the copy, where other records moved too."""
    previous = copy.index.get(oid) or None
    origin = view.origin(oid, position)
    if not origin:
        return None, None, previous
    if origin != position and previous:
        source = copy.find(oid, previous, view.header(oid, origin).tid)
        if source:
            return None, copy.origin(oid, source), previous
    return view.data_at(oid, position), None, previous


def _write(
    operations: FileOperations,
    view: View,
    copy: View,
    transaction: Transaction,
    planned: dict[bytes, Planned[int]],
    status: bytes,
) -> None:
    header = transaction.header
    fields = read_transaction(view.file, transaction.position)[1]
    # By the time that the copy is used, all of it is durable.
    encoded = encode(header.tid, fields, planned, copy.end, copy.end, status)
    at = copy.end
    for pieces in encoded.pieces:
        at = write_all(operations, copy.file.descriptor, pieces, at)
    copy.publish(header.tid, encoded.positions, encoded.end)
