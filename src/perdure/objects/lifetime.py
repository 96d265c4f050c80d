"""From opening a connection to closing it, again and again, until it is discarded."""

import logging
import time
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

import transaction as transactions

from perdure.errors import ConnectionStateError
from perdure.objects.changes import Changes
from perdure.objects.turn import Turn

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Lifetime"]

logger = logging.getLogger("perdure.objects.lifetime")

_PATIENCE_S: Final = 10.0
"""How long a closing database waits for a call that another thread has under way."""


class Lifetime:
    """Opens and closes one connection, which may be used many times.

    What it is opened for stands in the connection: `opened`, `transaction_manager`.
    """

    def __init__(self, connection: "Connection", changes: Changes, turn: Turn) -> None:
        self._connection = connection
        self._changes = changes
        self._latch = turn.latch
        self._opened_by = 0  # the thread that did
        self._on_close: list[Callable[[], object]] = []
        self._discarded = False

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the connection is closed next."""
        self._on_close.append(callback)

    def open(self, transaction_manager: Any, delegate: bool) -> None:
        """See `Connection.open`."""
        connection = self._connection
        if connection.opened is not None:
            raise ConnectionStateError(f"{connection!r} is open already")
        if transaction_manager is None:
            transaction_manager = transactions.manager
        connection.start(transaction_manager)
        transaction_manager.registerSynch(connection)
        connection.opened = time.time()
        self._latch.closed = False
        self._opened_by = get_ident()
        connection.shrink()
        if delegate:
            for member in list(connection.connections.values()):
                if member is not connection:
                    member.open(transaction_manager, False)

    def close(self, primary: bool) -> None:
        """See `Connection.close`."""
        connection = self._connection
        if self._is_closed():
            return
        if self._changes.joined:
            raise ConnectionStateError(
                f"{connection!r} has changes that are neither committed nor aborted; "
                "commit or abort the transaction before closing"
            )
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception("close callback %r of %r failed", callback, connection)
        if self._is_closed():
            return  # a callback closed the database, and so us
        connection.shrink()
        connection.transaction_manager.unregisterSynch(connection)
        if primary:
            for member in list(connection.connections.values()):
                if member is not connection:
                    member.close(False)
        database = connection.db()
        database.connection_closed(connection)
        self._mark_closed()
        connection.transaction_manager = None
        connection.forget_debug_info()
        if primary:
            database.return_to_pool(connection)

    def _is_closed(self) -> bool:
        return self._connection.opened is None

    def _mark_closed(self) -> None:
        self._latch.closed = True
        self._connection.opened = None

    def force_close(self) -> None:
        """See `Connection.force_close`."""
        inside = self._latch.acquire(True, _PATIENCE_S)
        if not inside:
            logger.error(
                "a call in another thread does not end; %r is closed under it", self._connection
            )
        try:
            self._force_close()
        finally:
            if inside:
                self._latch.release()

    def _force_close(self) -> None:
        connection = self._connection
        if connection.opened is None:
            return
        self._on_close.clear()
        # First, so that aborting does not look for news in a storage that may be gone.
        connection.transaction_manager.unregisterSynch(connection)
        if self._changes.joined and self._opened_by == get_ident():
            connection.transaction_manager.abort()
        connection.db().connection_closed(connection)
        self._mark_closed()
        if not self._changes.joined:
            connection.transaction_manager = None

    def discard(self, release: Callable[[], object]) -> None:
        """Call `release`, and discard the closed connections of the same multi-database; once."""
        if self._discarded:
            return
        self._discarded = True
        release()
        for member in list(self._connection.connections.values()):
            if member is not self._connection and member.opened is None:
                member.connections = {member.db().database_name: member}
                member.discard()
