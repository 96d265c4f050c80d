"""What a data file tells about its past: revisions of an object, transactions to undo."""

from collections.abc import Iterator
from typing import Any

from perdure.clock import time_of
from perdure.errors import POSKeyError
from perdure.storages import undolog
from perdure.storages.file.iterate import backward, read_transaction
from perdure.storages.file.reader import View

__all__ = ["revisions", "undoable"]


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


def revisions(view: View, oid: bytes) -> Iterator[dict[str, Any]]:
    """Yield descriptions of an object's revisions, newest first; `POSKeyError` if unknown."""
    position = view.index.get(oid)
    if not position:
        raise POSKeyError(oid)
    while position:
        record = view.header(oid, position)
        _, (user, note, extension) = read_transaction(view.file, record.transaction)
        yield {
            **undolog.items_of(extension),
            "time": time_of(record.tid),
            "user_name": user,
            "description": note,
            "tid": record.tid,
            "size": record.data_size,
        }
        position = record.previous
