"""Group commit: transactions in the file share syncs, and become visible in their order.

A transaction comes here when its last byte has been written. Its thread makes
sure of a sync that began after that; one sync serves all who wait meanwhile.
Then it waits for the transactions before, tells the database, and makes the
transaction visible.

    written --sync--> durable --all before it are visible--> func(tid) --> visible

Each thread calls its own `func`: one that ran another's could meet a lock which
that other holds while it waits here.
"""

import sys
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["EVERYTHING", "CommitQueue", "Written"]

EVERYTHING: Final = sys.maxsize
"""A position behind all that was written, by transactions that are not in the queue as well."""


class Written:
    """A transaction whose bytes are in the file, up to `end`, its records at `positions`."""

    __slots__ = ("end", "positions", "tid", "turn")

    def __init__(self, tid: bytes, positions: dict[bytes, int], end: int) -> None:
        self.tid = tid
        self.positions = positions
        self.end = end
        self.turn: threading.Event | None = None  # set when all before it are visible


class CommitQueue:
    """Transactions in the file that nobody sees yet, oldest first.

    `sync` makes the file durable or raises `OSError`, `publish` makes a
    transaction visible, `fail` is told of a sync that failed and returns the
    error to be raised. The file is durable up to `durable` when this begins.
    `waiting` are the transactions that are here.
    """

    def __init__(
        self,
        durable: int,
        sync: Callable[[], None],
        publish: Callable[[Written], None],
        fail: Callable[[OSError], Exception],
    ) -> None:
        self._sync = sync
        self._publish = publish
        self._fail = fail
        self.waiting: tuple[Written, ...] = ()  # replaced as a whole: read without the lock
        self._changed = threading.Condition(
            threading.Lock()
        )  # guards `waiting` against two writers
        self._sync_lock = threading.Lock()
        self._written = self._durable = durable
        self._failure: OSError | None = None

    @property
    def durable(self) -> int:
        """The position up to which the file is known to be on the disk."""
        return self._durable

    def position(self, oid: bytes) -> int:
        """Return where the newest record of `oid` in the queue is, 0 if there is none."""
        for written in reversed(self.waiting):
            position = written.positions.get(oid)
            if position is not None:
                return position
        return 0

    def append(self, written: Written) -> None:
        """Take in a transaction; only while holding the commit lock, in the order of the file."""
        with self._changed:
            if self._failure is not None:
                raise self._fail(self._failure)
            if self.waiting:
                written.turn = threading.Event()
            self.waiting = (*self.waiting, written)
            self._written = written.end

    def complete(self, written: Written, func: Callable[[bytes], object] | None) -> None:
        """Return when a transaction that was taken in is durable and visible.

        `func` is called with its tid in between. Raises what `fail` returns if
        the sync failed, for this transaction or for one before.
        """
        try:
            self.make_durable(written.end)
            if written.turn is not None:
                written.turn.wait()
        except KeyboardInterrupt:
            # Others wait for this one to become visible: first that, then the interrupt.
            self.complete(written, func)
            raise
        try:
            if func is not None:
                func(written.tid)
        finally:
            self._publish(written)
            self._leave()

    def make_durable(self, end: int) -> None:
        """Return when the file is durable up to `end`; raises what `fail` returns."""
        if self._durable >= end:
            return
        with self._sync_lock:
            if self._durable >= end:
                return
            if self._failure is not None:
                raise self._fail(self._failure)
            reached = self._written
            try:
                self._sync()
            except OSError as error:
                self._drop_undurable(error)
                raise self._fail(error) from error
            self._durable = reached

    def wait_until_empty(self) -> None:
        """Return when everything that was taken in is visible, or never will be."""
        with self._changed:
            self._changed.wait_for(lambda: not self.waiting)

    def _leave(self) -> None:
        with self._changed:
            self.waiting = self.waiting[1:]
            if self.waiting and self.waiting[0].turn is not None:
                self.waiting[0].turn.set()
            self._changed.notify_all()

    def _drop_undurable(self, failure: OSError) -> None:
        with self._changed:
            self._failure = failure
            self.waiting = tuple(w for w in self.waiting if w.end <= self._durable)
            self._changed.notify_all()
