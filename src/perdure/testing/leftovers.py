"""What a test left behind in its database: changes, open connections, joined transactions."""

import os
import sys
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import perdure
from perdure.errors import dotted_name
from perdure.ids import oid_repr
from perdure.objects.connection import Connection
from perdure.opening import DB

__all__ = ["LeftBehindWarning", "WatchedDB", "left_behind"]

_HERE = os.path.dirname(perdure.__file__) + os.sep
_SHOWN = 5  # changed objects that a message names


class LeftBehindWarning(UserWarning):
    """A test did not clean up in its database: the message says which one, and what is there."""


class WatchedDB(DB):
    """A database that remembers where each of its connections was opened."""

    def __init__(self, storage: Any, database_name: str = "unnamed") -> None:
        super().__init__(storage, database_name=database_name)
        self.opened_at: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()

    def open(
        self,
        transaction_manager: Any = None,
        at: bytes | datetime | str | None = None,
        before: bytes | datetime | str | None = None,
    ) -> Connection:
        connection = super().open(transaction_manager, at, before)
        self.opened_at[connection] = _caller()
        return connection


def _caller() -> str:
    """Return file and line of the nearest caller that is not Perdure's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def left_behind(db: WatchedDB, expected: Collection[Connection] = ()) -> Iterator[str]:
    """Say what is left in `db`, a sentence for each thing; `expected` may be open."""
    for connection in db.open_connections():
        where = db.opened_at.get(connection, "an unknown place")
        mine = connection in expected
        if not mine:
            yield f"a connection that was opened at {where} is still open"
        which = "its connection" if mine else f"the connection opened at {where}"
        changed = connection.uncommitted()
        if changed:
            names = ", ".join(
                f"{dotted_name(type(obj))} (oid {oid_repr(obj._p_oid)})" for obj in changed[:_SHOWN]
            )
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            yield f"{which} has changes that were neither committed nor aborted: {names}{more}"
        elif connection.has_joined:
            yield f"{which} takes part in a transaction that was neither committed nor aborted"
