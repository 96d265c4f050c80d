"""Group commit: transactions share writes and syncs, and become visible in their order.

A transaction comes here when it has finished. Small ones are kept until somebody writes them,
all at once (`write`); the bytes of others are in the file. Its thread makes
sure of a sync that began after that; one sync serves all who wait meanwhile.
What is durable then is announced to the database and made visible, oldest first.

    kept --write--> written --sync--> durable --all before are visible--> func(tid) --> visible

One thread at a time leads: it writes and syncs, for all that finished by then. The others sleep,
each in a bed of its own. After the sync the leader wakes one that is not durable yet, to lead;
then it makes visible what is durable, and wakes each. So nobody wakes for nothing.

Threads that committed together tend to do it again. The first that is back would lead at
once, alone, and the others wait for its sync and their own. So it waits for as many as there
were, for a part of the time that a sync takes; who makes them complete leads.

An `Announcement` is called by any thread. Any other `func` is called by its own: one that ran
another's could meet a lock which that other holds while it waits here. Who called it goes on with
those behind.
"""

import sys
from _thread import LockType, allocate_lock
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from perdure.mvcc import Announcement

__all__ = ["EVERYTHING", "CommitQueue", "Written"]

EVERYTHING: Final = sys.maxsize
"""A position behind all that was written, by transactions that are not in the queue as well."""

_WRITTEN_AT_ONCE: Final = 256
"""The system takes 1024 pieces in a write."""

_PATIENCE: Final = 0.25
"""How long the first one waits for the others, in times of a sync."""

_SLOWDOWN: Final = 1.25
"""By how much a sync is believed to have become slower: it may have waited for the interpreter."""


class Written:
    """A transaction that stands in the file up to `end`, or will, its records at `positions`.

    `func` is called with its tid when it is durable and not yet visible. The bytes that were not
    in the file yet when it finished are `kept`.
    """

    __slots__ = ("bed", "end", "func", "is_own", "kept", "positions", "tid", "visible")

    def __init__(
        self,
        tid: bytes,
        positions: dict[bytes, int],
        end: int,
        func: Callable[[bytes], object] | None = None,
        kept: bytes = b"",
    ) -> None:
        self.tid = tid
        self.positions = positions
        self.end = end
        self.func = func
        self.kept = kept
        self.is_own = func is not None and not isinstance(func, Announcement)
        """Whether only its own thread may call `func`."""
        self.visible = False
        self.bed: LockType | None = None  # a lock that its thread waits for


class CommitQueue:
    """Transactions that finished and that nobody sees yet, oldest first.

    `write` puts some into the file that were kept, `sync` makes the file durable; both raise
    `OSError`. `publish` makes a transaction visible, `fail` is told of a write or a sync that
    failed and returns the error to be raised. The file is durable up to `durable` when this begins.
    `waiting` are the transactions that are here.
    """

    def __init__(
        self,
        durable: int,
        write: Callable[[Sequence[Written]], None],
        sync: Callable[[], None],
        publish: Callable[[Written], None],
        fail: Callable[[OSError], Exception],
    ) -> None:
        self._write = write
        self._sync = sync
        self._publish = publish
        self._fail = fail
        self.waiting: tuple[Written, ...] = ()  # replaced as a whole: read without the lock
        self._kept: list[Written] = []  # oldest first, of those that wait
        self._lock = allocate_lock()  # guards all that changes here, for moments
        self._write_lock = allocate_lock()
        self._sync_lock = allocate_lock()
        self._publish_lock = allocate_lock()  # whoever makes transactions visible does it alone
        self._leader: Written | None = None  # whose thread syncs, or is about to
        self._host: Written | None = None  # who waits for the others before it leads
        self._crowd = EVERYTHING  # how many there were at the end of the last sync
        self._company = 0  # the same, or fewer if there were fewer before: a crowd may be chance
        self._usual_s = 1.0  # what a sync takes
        self.durable = durable
        """The position up to which the file is known to be on the disk."""
        self.syncs = 0
        self.sync_s = 0.0
        """How many syncs there were, and how long they took together."""
        self._finished = durable
        self._failure: OSError | None = None
        self._for_empty: list[LockType] = []  # beds of those who wait for an empty queue

    @property
    def failed(self) -> bool:
        """Whether a write or a sync failed: the last there was."""
        return self._failure is not None

    def position(self, oid: bytes) -> int:
        """Return where the newest record of `oid` in the queue is, 0 if there is none."""
        for written in reversed(self.waiting):
            position = written.positions.get(oid)
            if position is not None:
                return position
        return 0

    def kept_at(self, position: int) -> tuple[bytes, int]:
        """Return the transaction that has `position`, and where in it that is; (b"", 0) if none.

        Only one that was kept.
        """
        for written in reversed(self.waiting):
            if position >= written.end:
                break
            at = position - written.end + len(written.kept)
            if at >= 0:
                return written.kept, at
        return b"", 0

    def append(self, written: Written) -> None:
        """Take in a transaction; only while holding the commit lock, in the order of the file."""
        with self._lock:
            if self._failure is not None:
                raise self._fail(self._failure)
            self.waiting = (*self.waiting, written)
            if written.kept:
                self._kept.append(written)
            self._finished = written.end  # last: whoever sees it finds what is kept

    def complete(self, written: Written) -> None:
        """Return when a transaction that was taken in is durable and visible.

        Raises what `fail` returns if the sync failed, for this transaction or for one before,
        and what its `func` raises.
        """
        try:
            self._await_turn(written)
        except KeyboardInterrupt:
            # Others wait for this one to become visible: first that, then the interrupt. It may
            # have come when they were visible, and not told yet.
            self._publish_durable()
            self.complete(written)
            raise
        if written.visible:
            return
        try:
            if written.func is not None:
                written.func(written.tid)
        finally:
            written.is_own, written.func = False, None
            self._publish_durable()

    def write_kept(self) -> None:
        """Return when all that finished is in the file; raises what `fail` returns."""
        if not self._kept:
            return
        with self._write_lock:
            while self._kept:
                kept = self._kept[:_WRITTEN_AT_ONCE]
                try:
                    self._write(kept)
                except OSError as error:
                    self._drop_undurable(error)
                    raise self._fail(error) from error
                # Only now: an interrupt before has others write it, once more perhaps.
                del self._kept[: len(kept)]

    def make_durable(self, end: int) -> None:
        """Return when the file is durable up to `end`; raises what `fail` returns.

        For who is not in the queue.
        """
        if self.durable < end:
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
        """Return when it is visible, or durable, the first, and its thread to call `func`."""
        patience_s = _PATIENCE * self._usual_s
        while not written.visible:
            with self._lock:
                written.bed = None  # it is up, whatever woke it
                # It is here after an interrupt, too, wherever that came.
                if self._host is written:
                    self._host = None
                if self._leader is written:
                    self._leader = None
                durable = written.end <= self.durable
                if self._failure is not None and not durable:
                    raise self._fail(self._failure)
                limit_s = -1.0  # none
                leads = publishes = False
                if durable:
                    first = self.waiting[0]
                    if first is written and written.is_own:
                        return
                    publishes = not first.is_own
                elif self._leader is None:
                    leads = True
                    company = self._company
                    if company > 1 and patience_s and self._count_behind(self.durable) < company:
                        leads = False
                        if self._host is None:
                            self._host, limit_s = written, patience_s
                if leads:
                    self._leader, self._host = written, None
                elif not publishes:
                    bed = written.bed = _bed()
            if leads:
                self._lead(written)
            elif publishes:
                self._publish_durable()
            elif not bed.acquire(True, limit_s):
                patience_s = 0.0

    def _lead(self, written: Written) -> None:
        try:
            self._sync_up_to(written.end)
        finally:
            if self._leader is written:  # it did not sync: it failed, or another one had done it
                with self._lock:
                    self._leader = None
                    self._wake_some()
        self._publish_durable()

    def _sync_up_to(self, end: int) -> None:
        with self._sync_lock:
            if self.durable >= end:
                return
            if self._failure is not None:
                raise self._fail(self._failure)
            reached, before = self._finished, self.durable
            self.write_kept()
            started_s = perf_counter()
            try:
                self._sync()
            except OSError as error:
                self._drop_undurable(error)
                raise self._fail(error) from error
            took_s = perf_counter() - started_s
            self.syncs += 1
            self.sync_s += took_s
            self._usual_s = min(took_s, _SLOWDOWN * self._usual_s)
            with self._lock:
                if self._failure is not None:  # of a write beside it, whose failure is everybody's
                    raise self._fail(self._failure)
                self.durable = reached
                crowd = self._count_behind(before)
                self._company, self._crowd = min(crowd, self._crowd), crowd
                self._wake_next_leader()
                self._leader = None  # last: an interrupt before has it done by who led

    def _count_behind(self, position: int) -> int:
        waiting = self.waiting
        return sum([each.end > position for each in waiting]) if len(waiting) > 1 else len(waiting)

    def _wake_some(self) -> None:
        """Wake whose turn it is, and who is to sync next; only with the lock."""
        if self.waiting and self.waiting[0].end <= self.durable:
            _wake(self.waiting[0])
        self._wake_next_leader()

    def _wake_next_leader(self) -> None:
        for written in self.waiting:
            # One without a bed is not there yet, or its thread was interrupted.
            if written.end > self.durable and written.bed is not None:
                _wake(written)
                break

    def _publish_durable(self) -> None:
        """Make visible what is durable, up to one whose own thread has to do it; wake that."""
        with self._publish_lock:
            with self._lock:
                batch = self._publishable()
            while batch:
                try:
                    for written in batch:
                        if written.func is not None:
                            written.func(written.tid)
                        self._publish(written)
                        written.visible = True
                except BaseException:
                    with self._lock:
                        self._let_go()
                        self._wake_some()  # to go on with the rest
                    raise
                with self._lock:
                    batch = self._publishable()

    def _let_go(self) -> None:
        """Take out what is visible, and wake who waits for that; only with the lock."""
        count = 0
        for written in self.waiting:
            if not written.visible:
                break
            count += 1
            _wake(written)
        self.waiting = self.waiting[count:]
        if self._for_empty and not self.waiting:
            self._wake_for_empty()

    def _publishable(self) -> list[Written]:
        """Return what is durable, oldest first; if its own thread has to do it, wake that.

        What is visible leaves the queue; it may have been left by an interrupt, too, and is
        not to be told of twice. Only with the lock.
        """
        if self.waiting and self.waiting[0].visible:
            self._let_go()
        found: list[Written] = []
        for written in self.waiting:
            if written.end > self.durable:
                break
            if written.is_own:
                if not found:
                    _wake(written)
                break
            found.append(written)
        return found

    def _drop_undurable(self, failure: OSError) -> None:
        with self._lock:
            self._failure = failure
            self._kept.clear()
            dropped = [each for each in self.waiting if each.end > self.durable]
            self.waiting = tuple(each for each in self.waiting if each.end <= self.durable)
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
