"""Writing transactions straight into a storage, without a database."""

from collections.abc import Mapping
from typing import Any

from perdure.errors import POSKeyError
from perdure.ids import ZERO
from perdure.interfaces import TransactionMetaData

__all__ = ["write"]


def write(
    storage: Any,
    records: Mapping[bytes, bytes],
    *,
    tid: bytes | None = None,
    user: str = "",
    description: str = "",
    extension: dict[str, Any] | bytes | None = None,
) -> bytes:
    """Commit `records`, by oid, over whatever is current; return the tid."""
    transaction = TransactionMetaData(user, description, extension)
    storage.tpc_begin(transaction, tid)
    for oid, data in records.items():
        storage.store(oid, _current(storage, oid), data, "", transaction)
    storage.tpc_vote(transaction)
    written: bytes = storage.tpc_finish(transaction)
    return written


def _current(storage: Any, oid: bytes) -> bytes:
    try:
        serial: bytes = storage.getTid(oid)
    except POSKeyError:
        return ZERO
    except KeyError:  # ZODB's storages
        return ZERO
    return serial
