"""What one connection has to commit, or to forget."""

from typing import Any

__all__ = ["Changes"]


class Changes:
    """The objects that a transaction touched, by what becomes of them.

    `registered`: changed since the last commit or savepoint, in order.
    `added`: given an oid, not stored yet; by oid.
    `created`: stored as new in this transaction; by oid, whether nobody had
    added it by hand.
    `stored`: the objects stored in this commit, new or changed.
    `stored_oids`: oids that a commit took over from savepoints.
    `stored_blobs`: oids of blobs whose files the storage has taken.
    `read_current`: serials that must still be current at the commit, by oid.
    `joined`: whether the connection takes part in a transaction.
    """

    def __init__(self) -> None:
        self.registered: list[Any] = []
        self.added: dict[bytes, Any] = {}
        self.created: dict[bytes, bool] = {}
        self.stored: list[Any] = []
        self.stored_oids: list[bytes] = []
        self.stored_blobs: list[bytes] = []
        self.read_current: dict[bytes, bytes] = {}
        self.joined = False

    def clear(self) -> None:
        """Forget what was changed; what was read is forgotten when a transaction begins.

        Going back to a savepoint that was made before the connection joined aborts
        the connection, but not the transaction.
        """
        self.registered.clear()
        self.added.clear()
        self.created.clear()
        self.stored.clear()
        self.stored_oids.clear()
        self.stored_blobs.clear()
        self.joined = False
