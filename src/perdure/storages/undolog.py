"""How undoable transactions are described, chosen and named for undo.

A description is a dictionary: `id` (what `undo` takes: the tid in base 64),
`time` (seconds since 1970), `user_name` and `description` (bytes), `size`
(bytes), and the items of the transaction's extension.
"""

import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from perdure.clock import time_of
from perdure.errors import UndoError
from perdure.interfaces import load_extension

__all__ = ["Filter", "choose", "describe", "having", "items_of", "transaction_id", "undone_tid"]

log = logging.getLogger("perdure.storages")

Filter = Callable[[Mapping[str, Any]], Any]


def transaction_id(tid: bytes) -> bytes:
    """Return the id by which a transaction is undone."""
    return b64encode(tid)


def undone_tid(transaction_id: bytes) -> bytes:
    """Return the tid that an id from the undo log stands for; a tid stands for itself.

    Raises `UndoError` if it is neither.
    """
    if len(transaction_id) == 8:
        return transaction_id
    try:
        tid = b64decode(transaction_id, validate=True)
    except binascii.Error:
        tid = b""
    if len(tid) != 8:
        raise UndoError(f"{transaction_id!r} is not the id of a transaction in undoLog")
    return tid


def describe(
    tid: bytes, user: bytes, description: bytes, extension: Mapping[str, Any], size_bytes: int
) -> dict[str, Any]:
    """Return the description of one transaction."""
    return {
        "id": transaction_id(tid),
        "time": time_of(tid),
        "user_name": user,
        "size": size_bytes,
        "description": description,
        **extension,
    }


def items_of(extension: bytes) -> dict[str, Any]:
    """Return what a stored extension holds, nothing if it cannot be loaded here."""
    try:
        return load_extension(extension)
    except Exception:  # whatever its pickle or the classes in it raise
        log.debug("an extension of %d bytes cannot be loaded", len(extension), exc_info=True)
        return {}


def having(specification: Mapping[str, Any] | None) -> Filter | None:
    """Return a filter for descriptions that have all items of `specification`."""
    if not specification:
        return None
    wanted = dict(specification).items()
    return lambda description: wanted <= description.items()


def choose(
    descriptions: Iterable[dict[str, Any]], first: int, last: int, accept: Filter | None
) -> list[dict[str, Any]]:
    """Return numbers `first` up to `last` of those that `accept` takes; negative: a count."""
    if last < 0:
        last = first - last
    return list(islice(filter(accept, descriptions) if accept else descriptions, first, last))
