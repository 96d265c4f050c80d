"""What a data file tells about its past: revisions of an object, transactions to undo."""

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from perdure import native
from perdure.clock import time_of
from perdure.errors import CorruptDataError, POSKeyError
from perdure.storages import undolog
from perdure.storages.file.format import (
    BARE_FIELD,
    BARE_FIELD_SIZE,
    RECORD_HEADER,
    TRANSACTION_HEADER,
)
from perdure.storages.file.iterate import backward, read_transaction
from perdure.storages.file.reader import View

__all__ = ["revisions", "undoable"]

_READ_BEFORE: Final = 512
"""Bytes read in front of a record, where the head of its transaction mostly is."""

_READ_BACK: Final = 8192
"""As many in front of one that stands close to what was read, as the next ones may, too."""

_NEAR: Final = 4096

_HEAD_SIZE: Final = TRANSACTION_HEADER.size
_RECORD_SIZE: Final = RECORD_HEADER.size

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

    `at_once` of them are looked up together.
    """
    position = view.index.get(oid)
    if not position:
        raise POSKeyError(oid)
    descriptor = view.file.descriptor
    while position:
        if native.reads:
            found, position = native.reads.history(descriptor, oid, position, at_once)
        else:
            found, position = _pure_history(view, oid, position, at_once)
        yield from found
        if position and len(found) < at_once:
            description, position = _revision(view, oid, position)
            yield description


def _pure_history(
    view: View, oid: bytes, position: int, most: int
) -> tuple[list[dict[str, Any]], int]:
    """Describe up to `most` revisions, the newest being at `position`.

    Returns also where the next one is, 0 if there is none; it may stop early, at one that
    must be looked at.
    """
    found: list[dict[str, Any]] = []
    data, start, end = b"", 0, 0
    while position and len(found) < most:
        if position < start or position + _RECORD_SIZE > end:
            near = position < start <= position + _NEAR
            end = position + _RECORD_SIZE
            start = max(position - (_READ_BACK if near else _READ_BEFORE), 0)
            data = view.file.read(start, end - start)
            if len(data) < end - start:
                break
        at = position - start
        found_oid, tid, previous, transaction, version_size, size = _unpack_record(data, at)
        head = transaction - start
        if found_oid != oid or version_size or previous >= position:
            break
        if head < 0 or head + _HEAD_SIZE > at:
            break
        user_size, note_size, extension_size = _unpack_sizes(data, head)
        user = head + _HEAD_SIZE
        note = user + user_size
        extension = note + note_size
        if extension + extension_size > at:
            break
        if extension_size and not (
            extension_size == BARE_FIELD_SIZE and data.startswith(BARE_FIELD, extension)
        ):
            break
        found.append(
            {
                "time": time_of(tid),
                "user_name": data[user:note],
                "description": data[note:extension],
                "tid": tid,
                "size": size,
            }
        )
        position = previous
    return found, position


def _revision(view: View, oid: bytes, position: int) -> tuple[dict[str, Any], int]:
    """Return the description of the revision at `position`, and where the one before it is."""
    _, tid, previous, transaction, _, size = view.header(oid, position)
    if transaction >= position:
        found = f"a transaction at {transaction}"
        raise CorruptDataError(view.file.path, position, found, "one that begins before it", oid)
    user, note, extension = read_transaction(view.file, transaction)[1]
    description = undolog.items_of(extension) if extension else {}
    description["time"] = time_of(tid)
    description["user_name"] = user
    description["description"] = note
    description["tid"] = tid
    description["size"] = size
    return description, previous
