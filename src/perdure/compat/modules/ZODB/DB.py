"""`ZODB.DB`: the module; the class of the same name is in it."""

from datetime import datetime
from itertools import chain
from typing import Any

from persistent.timestamp import TimeStamp
from zope.interface import implementer

from perdure.clock import tid_from_datetime
from perdure.ids import after
from perdure.interfaces import TransactionMetaData
from perdure.objects.connection import Connection
from perdure.objects.undo import TransactionalUndo
from perdure.opening import DB
from ZODB.broken import find_global
from ZODB.Connection import noop
from ZODB.interfaces import IDatabase, IMVCCStorage
from ZODB.utils import z64

__all__ = [
    "DB",
    "Connection",
    "IDatabase",
    "IMVCCStorage",
    "TimeStamp",
    "TransactionMetaData",
    "TransactionalUndo",
    "chain",
    "connection",
    "find_global",
    "getTID",
    "implementer",
    "noop",
    "toTimeStamp",
    "z64",
]


def connection(*args: Any, **kw: Any) -> Connection:
    """Return a connection to a `DB` made with these arguments; closing it closes the database."""
    return DB(*args, **kw).open_then_close_db_when_connection_closes()


def toTimeStamp(dt: datetime) -> TimeStamp:
    """Return a `datetime` as a time stamp; one without a time zone is read as UTC."""
    return TimeStamp(tid_from_datetime(dt))


def getTID(at: Any, before: Any) -> bytes | None:
    """Return the tid before which is what `at` includes, or what `before` says; None for neither.

    Each is a tid or a `datetime`. Raises `ValueError` for both of them.
    """
    if at is not None and before is not None:
        raise ValueError("can only pass zero or one of `at` and `before`")
    if at is not None:
        return after(tid_from_datetime(at) if isinstance(at, datetime) else at)
    return tid_from_datetime(before) if isinstance(before, datetime) else before
