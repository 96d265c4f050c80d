"""Group commit: transactions in the file share syncs, and become visible in their order.

A transaction comes here when its last byte has been written. Its thread makes
sure of a sync that began after that; one sync serves all who wait meanwhile.
Then it waits for the transactions before, tells the database, and makes the
transaction visible.

    written --sync--> durable --all before it are visible--> func(tid) --> visible

One thread at a time leads: it syncs, for all that is written by then. The others sleep, each
in a bed of its own, and are woken one by one: by the leader the oldest that is durable, and
one that is not, to lead; by each that became visible the next. So nobody wakes for nothing.

Threads that committed together tend to do it again. The first that is back would lead at
once, alone, and the others wait for its sync and their own. So it waits for as many as there
were, for a part of the time that a sync takes; who makes them complete leads.

Each thread calls its own `func`: one that ran another's could meet a lock which
that other holds while it waits here.
"""

import sys
from _thread import LockType, allocate_lock
from collections.abc import Callable
from time import perf_counter
from typing import Final

__all__ = ["EVERYTHING", "CommitQueue", "Written"]

EVERYTHING: Final = sys.maxsize
"""A position behind all that was written, by transactions that are not in the queue as well."""

_PATIENCE: Final = 0.25
"""How long the first one waits for the others, in times of a sync."""

_SLOWDOWN: Final = 1.25
"""By how much a sync is believed to have become slower: it may have waited for the interpreter."""


class Written:
    """A transaction whose bytes are in the file, up to `end`, its records at `positions`."""

    __slots__ = ("bed", "end", "positions", "tid")

    def __init__(self, tid: bytes, positions: dict[bytes, int], end: int) -> None:
        self.tid = tid
        self.positions = positions
        self.end = end
        self.bed: LockType | None = None  # a lock that its thread waits for


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
        self._lock = allocate_lock()  # guards all that changes here, for moments
        self._sync_lock = allocate_lock()
        self._leader: Written | None = None  # whose thread syncs, or is about to
        self._host: Written | None = None  # who waits for the others before it leads
        self._crowd = EVERYTHING  # how many there were at the end of the last sync
        self._company = 0  # the same, or fewer if there were fewer before: a crowd may be chance
        self._sync_s = 1.0
        self._written = self._durable = durable
        self._failure: OSError | None = None
        self._for_empty: list[LockType] = []  # beds of those who wait for an empty queue

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
        with self._lock:
            if self._failure is not None:
                raise self._fail(self._failure)
            self.waiting = (*self.waiting, written)
            self._written = written.end

    def complete(self, written: Written, func: Callable[[bytes], object] | None) -> None:
        """Return when a transaction that was taken in is durable and visible.

        `func` is called with its tid in between. Raises what `fail` returns if
        the sync failed, for this transaction or for one before.
        """
        try:
            self._await_turn(written)
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
        """Return when the file is durable up to `end`; raises what `fail` returns.

        For who is not in the queue.
        """
        if self._durable < end:
            try:
                self._sync_up_to(end)
            finally:
                with self._lock:
                    self._wake_some()

    def wait_until_empty(self) -> None:
        """Return when everything that was taken in is visible, or never will be."""
        with self._lock:
            if not self.waiting:
                return
            bed = _bed()
            self._for_empty.append(bed)
        bed.acquire()

    def _await_turn(self, written: Written) -> None:
        """Return when it is durable and the first in the queue."""
        patience_s = _PATIENCE * self._sync_s
        while True:
            with self._lock:
                written.bed = None  # it is up, whatever woke it
                # It is here after an interrupt, too, wherever that came.
                if self._host is written:
                    self._host = None
                if self._leader is written:
                    self._leader = None
                durable = written.end <= self._durable
                if durable and self.waiting[0] is written:
                    return
                if self._failure is not None and not durable:
                    raise self._fail(self._failure)
                limit_s = -1.0  # none
                leads = not durable and self._leader is None
                if leads and patience_s and self._count_behind(self._durable) < self._company:
                    leads = False
                    if self._host is None:
                        self._host, limit_s = written, patience_s
                if leads:
                    self._leader, self._host = written, None
                else:
                    bed = written.bed = _bed()
            if leads:
                self._lead(written)
            elif not bed.acquire(True, limit_s):
                patience_s = 0.0

    def _lead(self, written: Written) -> None:
        try:
            self._sync_up_to(written.end)
        finally:
            with self._lock:
                self._leader = None
                self._wake_some()

    def _sync_up_to(self, end: int) -> None:
        with self._sync_lock:
            if self._durable >= end:
                return
            if self._failure is not None:
                raise self._fail(self._failure)
            reached, before = self._written, self._durable
            started_s = perf_counter()
            try:
                self._sync()
            except OSError as error:
                self._drop_undurable(error)
                raise self._fail(error) from error
            self._sync_s = min(perf_counter() - started_s, _SLOWDOWN * self._sync_s)
            self._durable = reached
            crowd = self._count_behind(before)
            self._company, self._crowd = min(crowd, self._crowd), crowd

    def _count_behind(self, position: int) -> int:
        waiting = self.waiting
        return sum([each.end > position for each in waiting]) if len(waiting) > 1 else len(waiting)

    def _wake_some(self) -> None:
        """Wake whose turn it is, and who is to sync next; only with the lock."""
        waiting = self.waiting
        if waiting and waiting[0].end <= self._durable:
            _wake(waiting[0])
        for written in waiting:
            # One without a bed is not there yet, or its thread was interrupted.
            if written.end > self._durable and written.bed is not None:
                _wake(written)
                break

    def _leave(self) -> None:
        with self._lock:
            self.waiting = waiting = self.waiting[1:]
            if waiting:
                # Usually the next one to lead is awake; not if its waker was interrupted.
                if self._durable >= waiting[0].end or self._leader is None:
                    _wake(waiting[0])
            elif self._for_empty:
                self._wake_for_empty()

    def _drop_undurable(self, failure: OSError) -> None:
        with self._lock:
            self._failure = failure
            dropped = [each for each in self.waiting if each.end > self._durable]
            self.waiting = tuple(each for each in self.waiting if each.end <= self._durable)
            for written in dropped:
                _wake(written)
            if not self.waiting:
                self._wake_for_empty()

    def _wake_for_empty(self) -> None:
        for bed in self._for_empty:
            bed.release()
        self._for_empty.clear()


def _bed() -> LockType:
    """Return a lock that is held until the sleeper is woken."""
    bed = allocate_lock()
    bed.acquire()
    return bed


def _wake(written: Written) -> None:
    bed, written.bed = written.bed, None
    if bed is not None:
        bed.release()
