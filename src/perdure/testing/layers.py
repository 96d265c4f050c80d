"""Databases to change and throw away: demo layers over prepared data.

For pytest there are fixtures (`plugin`); this is what they stand on, for any
other framework and for a server that a test drives.
"""

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

from perdure.errors import StorageError
from perdure.objects.connection import Connection
from perdure.objects.database import Database
from perdure.opening import Address, open_storage, parse
from perdure.storages.demo import DemoStorage
from perdure.storages.memory import MappingStorage
from perdure.testing.leftovers import LeftBehindWarning, WatchedDB, left_behind

__all__ = ["Layer", "layer"]

Fill = Callable[[Connection], Any]


class Layer:
    """Databases on top of each other; `db` is the topmost one.

    `base` is what all stand on: a database, another `Layer`, a storage, an
    address or a path (opened read-only, and closed at the end), or None for an
    empty database in memory. It is never written, and must not be written by
    others meanwhile. `name` stands in warnings about what was left behind.
    """

    def __init__(self, base: Any = None, name: str = "a layer") -> None:
        self.name = name
        self._base, self._owns_base = _storage_of(base)
        self._stack: list[WatchedDB] = []
        try:
            self.push()
        except BaseException:
            self._close_base()
            raise

    @property
    def db(self) -> WatchedDB:
        """The topmost database; another one after each `push` and `pop`."""
        if not self._stack:
            raise StorageError(f"{self.name} is closed")
        return self._stack[-1]

    def open(self, transaction_manager: Any = None) -> Connection:
        """Open a connection to the topmost database: what a server calls for each request."""
        return self.db.open(transaction_manager)

    def push(self, fill: Fill | None = None) -> WatchedDB:
        """Put another database on top and return it.

        `fill` is called with a connection to it, in a transaction that is
        committed afterwards. The database below must not be written until the
        new one is popped.
        """
        below = self._stack[-1].storage if self._stack else self._base
        db = WatchedDB(DemoStorage(base=below, close_base_on_close=False))
        try:
            if fill is not None:
                with db.transaction() as connection:
                    fill(connection)
        except BaseException:
            db.close()
            raise
        self._stack.append(db)
        return db

    def pop(self, expected: Collection[Connection] = ()) -> None:
        """Discard the topmost database with all its changes.

        Warns (`LeftBehindWarning`) of connections that are open, but for those
        in `expected`, and of changes that were neither committed nor aborted.
        They are aborted. Raises `StorageError` if only the lowest one is left,
        which `close` discards.
        """
        if len(self._stack) < 2:
            raise StorageError(f"{self.name} has nothing to pop: only its lowest database is left")
        self._warn(self._discard(expected))

    def close(self, expected: Collection[Connection] = ()) -> None:
        """Discard all; warns as `pop` does. Harmless when done twice."""
        left: list[str] = []
        try:
            while self._stack:
                left += self._discard(expected)
        finally:
            self._close_base()
        self._warn(left)

    def _discard(self, expected: Collection[Connection]) -> list[str]:
        db = self._stack.pop()
        left = list(left_behind(db, expected))
        db.close()
        return left

    def _warn(self, left: list[str]) -> None:
        # All in one, at the end: where warnings are errors, nothing would come after the first.
        if left:
            warnings.warn(f"{self.name}: {'; '.join(left)}", LeftBehindWarning, stacklevel=3)

    def _close_base(self) -> None:
        if self._owns_base:
            self._owns_base = False
            self._base.close()


@contextmanager
def layer(base: Any = None, name: str = "a layer") -> Iterator[Layer]:
    """Open a `Layer` and close it at the end; see there for the arguments."""
    opened = Layer(base, name)
    try:
        yield opened
    finally:
        opened.close()


def _storage_of(base: Any) -> tuple[Any, bool]:
    """Return the storage that `base` stands for, and whether it was opened here."""
    if base is None:
        return MappingStorage(), True
    if isinstance(base, Layer):
        return base.db.storage, False
    if isinstance(base, Database):
        return base.storage, False
    if isinstance(base, str | PathLike):
        return open_storage(parse(base, read_only=True)), True
    if isinstance(base, Address):
        return open_storage(base), True
    return base, False
