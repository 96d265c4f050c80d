"""What a data file tells about its past: revisions of an object, transactions to undo."""

import sys
from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from perdure import native
from perdure.clock import time_of
from perdure.errors import CorruptDataError, POSKeyError
from perdure.storages import undolog
from perdure.storages.file.format import RECORD_HEADER, TRANSACTION_HEADER, extension_in
from perdure.storages.file.iterate import backward, read_transaction
from perdure.storages.file.reader import View

__all__ = ["revisions", "undoable"]

_READ_BEFORE: Final = 512
"""Bytes read in front of a record, where the head of its transaction mostly is."""

_unpack_record = RECORD_HEADER.unpack_from
_unpack_sizes = Struct(">17xHHH").unpack_from
"""Unpacks the sizes of user, note and extension of a transaction's header."""


def undoable(view: View) -> Iterator[dict[str, Any]]:
    """Yield descriptions of the transactions that can be undone, newest first."""
    for position, header in backward(view):
        if header.status == b"p":
            return  # and so are all before
        if header.status == b" ":
            _, (user, note, extension) = read_transaction(view.file, position)
            yield undolog.describe(
                header.tid, user, note, undolog.items_of(extension), header.length
            )


def revisions(view: View, oid: bytes, at_once: int = 1) -> Iterator[dict[str, Any]]:
    """Yield descriptions of an object's revisions, newest first; `POSKeyError` if unknown.

    Where native code does it, `at_once` of them are looked up together.
    """
    position = view.index.get(oid)
    if not position:
        raise POSKeyError(oid)
    while position and native.reads:
        found, position = native.reads.history(view.file.descriptor, oid, position, at_once)
        yield from found
        if position and len(found) < at_once:
            description, position = _revision(view, oid, position)
            yield description
    while position:
        description, position = _revision(view, oid, position)
        yield description


def _revision(view: View, oid: bytes, position: int) -> tuple[dict[str, Any], int]:
    """Return the description of the revision at `position`, and where the one before it is."""
    read, head_size = view.file.read, TRANSACTION_HEADER.size
    # In a small transaction, its head and the record stand close together: one read.
    start = max(position - _READ_BEFORE, 0)
    offset = position - start
    data = read(start, offset + RECORD_HEADER.size)
    if len(data) < offset + RECORD_HEADER.size:
        view.header(oid, position)  # which says what is wrong; so below
    fields = _unpack_record(data, offset)
    found_oid, tid, previous, transaction, version_size, size = fields
    if found_oid != oid or version_size or previous >= position:
        view.header(oid, position)
    if transaction >= position:
        found = f"a transaction at {transaction}"
        raise CorruptDataError(view.file.path, position, found, "one that begins before it", oid)
    head = transaction - start
    if 0 <= head <= offset - head_size:
        user_size, note_size, extension_size = _unpack_sizes(data, head)
        user = head + head_size
        note = user + user_size
        extension = note + note_size
        end = extension + extension_size
    else:
        end = sys.maxsize
    if end <= offset:
        metadata = data[user:note], data[note:extension], extension_in(data[extension:end])
    else:
        metadata = read_transaction(view.file, transaction)[1]
    description = undolog.items_of(metadata[2]) if metadata[2] else {}
    description["time"] = time_of(tid)
    description["user_name"] = metadata[0]
    description["description"] = metadata[1]
    description["tid"] = tid
    description["size"] = size
    return description, previous
