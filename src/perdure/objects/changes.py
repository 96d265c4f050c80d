"""What one connection has to commit, or to forget."""

from typing import Any

from perdure.ids import ZERO

__all__ = ["Changes"]


class Changes:
    """The objects that a transaction touched, by what becomes of them.

    `registered`: changed since the last commit or savepoint, in order.
    `added`: given an oid, not stored yet; by oid.
    `created`: stored as new in this transaction; by oid, whether nobody had
    added it by hand. Who stores enters only those that somebody had; of the others
    it is enough that they are in `stored`, and found out when somebody asks.
    `stored`: the objects stored in this commit, new or changed.
    `stored_oids`: oids that a commit took over from savepoints.
    `stored_blobs`: oids of blobs whose files the storage has taken.
    `read_current`: serials that must still be current at the commit, by oid.
    `joined`: whether the connection takes part in a transaction.
    """

    def __init__(self) -> None:
        self.registered: list[Any] = []
        self.added: dict[bytes, Any] = {}
        self.known_created: dict[bytes, bool] = {}
        self._looked_at = 0  # of those stored
        self.stored: list[Any] = []
        self.stored_oids: list[bytes] = []
        self.stored_blobs: list[bytes] = []
        self.read_current: dict[bytes, bytes] = {}
        self.joined = False

    @property
    def created(self) -> dict[bytes, bool]:
        """The objects stored as new; see above."""
        self._find_created()
        return self.known_created

    def _find_created(self) -> None:
        for obj in self.stored[self._looked_at :]:
            if obj._p_serial == ZERO:
                self.known_created.setdefault(obj._p_oid, True)
        self._looked_at = len(self.stored)

    def forget_stored(self, oids: set[bytes]) -> None:
        """Take out of what was stored the objects with these oids."""
        self._find_created()
        self.stored[:] = [obj for obj in self.stored if obj._p_oid not in oids]
        self.stored_oids[:] = [oid for oid in self.stored_oids if oid not in oids]
        self._looked_at = len(self.stored)

    def forget_saved(self) -> None:
        """Forget what a savepoint has taken over."""
        self.registered.clear()
        self.known_created.clear()
        self.stored.clear()
        self._looked_at = 0

    def clear(self) -> None:
        """Forget what was changed; what was read is forgotten when a transaction begins.

        Going back to a savepoint that was made before the connection joined aborts
        the connection, but not the transaction.
        """
        self.registered.clear()
        self.stored.clear()
        self._looked_at = 0
        self.joined = False
        for rare in (self.added, self.known_created, self.stored_oids, self.stored_blobs):
            if rare:
                rare.clear()
