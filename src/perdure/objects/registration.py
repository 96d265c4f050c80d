"""What a connection takes note of while its transaction runs: objects changed, added, relied on.

With the first change the connection joins the transaction; what is only read,
or relied on, does not make it join.
"""

from typing import TYPE_CHECKING, Any

from perdure import native
from perdure.errors import InvalidObjectReference, dotted_name
from perdure.ids import ZERO
from perdure.objects.changes import Changes
from perdure.objects.multidb import describe
from perdure.objects.turn import Turn, refuse_closed, refuse_thread

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Registration"]


class Registration:
    """Fills the `changes` of one connection."""

    def __init__(self, connection: "Connection", changes: Changes, turn: Turn) -> None:
        self._connection = connection
        self._changes = changes
        self._latch = turn.latch
        # It does the usual and leaves the rest to us; see the C file.
        self.register = (
            native.jar.Registering(
                turn.latch, self._register, connection, changes.registered, changes.added
            ).register
            if native.jar
            else self._register
        )
        """See `Connection.register`."""
        self.rely_on = (
            native.relying.Relying(
                turn.latch, self._rely_on, connection, changes.read_current
            ).rely_on
            if native.relying and native.jar
            else self._rely_on
        )
        """See `Connection.readCurrent`."""

    def _register(self, obj: Any) -> None:
        # Each changed object comes through here once: no context manager.
        latch = self._latch
        if not latch.acquire(False):
            refuse_thread(self._connection, "change an object of")
        try:
            if latch.closed:
                refuse_closed(self._connection, "change an object of")
            if obj._p_jar is not self._connection:
                raise self._stranger(obj)
            changes = self._changes
            if changes.added and obj._p_oid in changes.added:
                return  # it is registered since it was added
            if not changes.joined:
                self.join()
            changes.registered.append(obj)
        finally:
            latch.release()

    def add(self, obj: Any) -> None:
        """See `Connection.add`."""
        if not hasattr(type(obj), "_p_oid") or isinstance(obj, property):
            raise TypeError(f"only persistent objects can be added, not {dotted_name(type(obj))}")
        if obj._p_jar is None:
            obj._p_oid = oid = self._connection.new_oid()
            obj._p_jar = self._connection
            self.join()
            self._changes.registered.append(obj)
            self._changes.added[oid] = obj
        elif obj._p_jar is not self._connection:
            raise self._stranger(obj)

    def _rely_on(self, obj: Any) -> None:
        # Called for most insertions into trees: no context manager.
        latch = self._latch
        if not latch.acquire(False):
            refuse_thread(self._connection, "rely on an object of")
        try:
            if latch.closed:
                refuse_closed(self._connection, "rely on an object of")
            if obj._p_jar is not self._connection or obj._p_oid is None:
                return
            obj._p_activate()
            if obj._p_serial != ZERO:
                # Without joining: a transaction that changes nothing depends on nothing.
                self._changes.read_current[obj._p_oid] = obj._p_serial
        finally:
            latch.release()

    def replace(self, obj: Any) -> None:
        """Have `obj` stored in the place of the object that had its oid."""
        self.join()
        self._changes.registered.append(obj)
        obj._p_changed = True

    def join(self) -> None:
        """Take part in the transaction, once."""
        if not self._changes.joined:
            self._connection.transaction_manager.get().join(self._connection)
            self._changes.joined = True

    def _stranger(self, obj: Any) -> InvalidObjectReference:
        return InvalidObjectReference(
            f"{describe(obj)} belongs to {obj._p_jar!r}, not to {self._connection!r}",
            obj,
            self._connection,
        )
