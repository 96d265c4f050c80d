"""Connections at rest: they keep their caches, and the next user gets the warmest one.

A pool is keyed: connections to the present lie under the key None, those to the
past under the tid that they show. Sizes are soft, as in ZODB: nobody waits for
a connection, but more open ones than `size` are worth a warning in the log,
more than twice as many a critical one, and no more than `size` are kept.
"""

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from perdure.objects.metrics import Counters, total

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["ConnectionPool"]

logger = logging.getLogger("perdure.objects.pool")


class _Resting(NamedTuple):
    since_s: float  # by the monotonic clock
    key: bytes | None
    connection: "Connection"


class ConnectionPool:
    """Connections of one database: all of them, and those that nobody uses.

    `size` is how many are kept at rest (and may be open without a warning),
    `timeout_s` how long one may rest before it is dropped, `cache_size` and
    `cache_size_bytes` what the cache of each is to aim at. The pool has no lock:
    its database calls it under its own.
    """

    def __init__(
        self,
        size: int,
        timeout_s: float,
        cache_size: int = 400,
        cache_size_bytes: int = 0,
        warns: bool = True,
    ) -> None:
        self.size = size
        self.timeout_s = timeout_s
        self.cache_size = cache_size
        self.cache_size_bytes = cache_size_bytes
        self._warns = warns
        self._resting: list[_Resting] = []  # the one used last is at the end
        self._all: WeakSet[Connection] = WeakSet()
        self.forgotten = Counters()  # what connections that are gone did

    def __iter__(self) -> Iterator["Connection"]:
        """Yield every connection that is in use or at rest."""
        return iter(list(self._all))

    def add(self, connection: "Connection") -> None:
        """Take note of a new connection, which is in use."""
        self._all.add(connection)
        in_use = len(self._all) - len(self._resting)
        if self._warns and in_use > self.size:
            level = logging.CRITICAL if in_use > 2 * self.size else logging.WARNING
            logger.log(
                level,
                "%d connections are open; the pool size is %d. "
                "Close connections that are done, or raise pool_size",
                in_use,
                self.size,
            )

    def take(self, key: bytes | None = None) -> "Connection | None":
        """Return the connection under `key` that was used last, or None; it is in use then."""
        self.drop_expired()
        for index in reversed(range(len(self._resting))):
            if self._resting[index].key == key:
                return self._resting.pop(index).connection
        return None

    def put(self, connection: "Connection", key: bytes | None = None) -> None:
        """Lay a connection to rest."""
        self._resting.append(_Resting(time.monotonic(), key, connection))
        self.drop_expired()

    def drop_expired(self) -> None:
        """Drop what has rested too long, and the oldest of what is too many."""
        oldest_s = time.monotonic() - self.timeout_s
        surplus = max(len(self._resting) - self.size, 0)
        while self._resting and (surplus > 0 or self._resting[0].since_s < oldest_s):
            self._forget(self._resting.pop(0).connection)
            surplus -= 1

    def remove(self, connection: "Connection") -> None:
        """Forget a connection that was in use."""
        self._forget(connection)

    def resize(self, size: int) -> None:
        """Keep `size` at rest from now on."""
        self.size = size
        self.drop_expired()

    def resize_caches(self, size: int | None = None, size_bytes: int | None = None) -> None:
        """Have the caches aim at another number of objects, or of bytes, from now on."""
        self.cache_size = self.cache_size if size is None else size
        self.cache_size_bytes = self.cache_size_bytes if size_bytes is None else size_bytes
        for connection in self:
            connection.set_cache_size(size, size_bytes)

    def clear(self) -> None:
        """Drop all that rest."""
        while self._resting:
            self._forget(self._resting.pop().connection)

    def resting(self) -> list["Connection"]:
        """Return the connections at rest, the one used last at the end."""
        return [resting.connection for resting in self._resting]

    def _forget(self, connection: "Connection") -> None:
        if connection in self._all:
            self.forgotten = total((self.forgotten, connection.counters))
        self._all.discard(connection)
        connection.discard()
