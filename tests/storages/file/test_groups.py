"""Transactions that share syncs, and the order in which they become visible."""

import threading
from collections.abc import Callable, Sequence

import pytest

from perdure.errors import StorageSystemError
from perdure.ids import p64
from perdure.mvcc import Announcement, Journal
from perdure.storages.file import groups
from perdure.storages.file.groups import EVERYTHING, CommitQueue, Written


class Disk:
    """A sync that waits until it is let go, and can fail."""

    def __init__(self) -> None:
        self.syncs = 0
        self.started = threading.Semaphore(0)
        self.proceed = threading.Semaphore(0)
        self.broken: Exception | None = None
        self.full = False

    def sync(self) -> None:
        self.syncs += 1
        self.started.release()
        assert self.proceed.acquire(timeout=30)
        if self.broken is not None:
            raise self.broken


class Queue:
    """A commit queue on a disk, with what it published, and threads that wait in it."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.visible: list[bytes] = []
        self.told: list[bytes] = []
        self.written: list[list[tuple[bytes, bytes]]] = []
        self.journal = Journal()
        self._reader = self.journal.reader()
        self.errors: list[Exception] = []
        self.fails_once_at = b""
        self.queue = CommitQueue(
            4,
            self._write,
            self.disk.sync,
            self._publish,
            self._fail,
        )
        self._end = 4
        self._threads: list[threading.Thread] = []

    def _fail(self, cause: OSError) -> Exception:
        return StorageSystemError(str(cause))

    def _publish(self, written: Written) -> None:
        if written.tid == self.fails_once_at:
            self.fails_once_at = b""
            raise MemoryError("no room to publish it")
        self.visible.append(written.tid)

    def _write(self, kept: Sequence[Written]) -> None:
        if self.disk.full:
            raise OSError(28, "No space left on device")
        self.written.append([(each.tid, each.kept) for each in kept])

    def append(
        self,
        number: int,
        func: Callable[[bytes], object] | None = None,
        kept: bytes = b"",
    ) -> Written:
        """Take in a transaction; unless `func` is given, one that tells of itself in `told`."""
        self._end += 100
        func = self.told.append if func is None else func
        written = Written(p64(number), {p64(7): self._end - 50}, self._end, func, kept)
        self.queue.append(written)
        return written

    def announced(self, number: int, kept: bytes = b"") -> Written:
        """Take in a transaction that any thread may announce, to the journal."""
        return self.append(number, Announcement(self.journal, {p64(7)}), kept)

    def announcements(self, number: int) -> set[bytes] | None:
        """Return what the journal was told up to a transaction."""
        return self._reader.take(p64(number))

    def complete(self, written: Written) -> threading.Thread:
        def run() -> None:
            try:
                self.queue.complete(written)
            except (StorageSystemError, MemoryError) as error:
                self.errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        return thread

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_what_is_kept_can_be_had_until_it_is_visible(queue: Queue) -> None:
    def read(position: int) -> bytes:
        data, at = queue.queue.kept_at(position)
        return data[at:]

    assert queue.queue.kept_at(150) == (b"", 0)
    first = queue.append(1, kept=b"." * 50 + b"o" * 50)
    queue.append(2)  # in the file
    queue.append(3, kept=b"-" * 100)
    assert read(54) == b"o" * 50
    assert (read(104), read(203)) == (b"", b"")
    assert (read(204), read(303)) == (b"-" * 100, b"-")
    queue.queue.write_kept()
    assert read(204) == b"-" * 100
    queue.complete(first)
    assert queue.disk.started.acquire(timeout=10)
    queue.disk.proceed.release()
    queue.finish()
    assert read(54) == b""


def test_a_transaction_is_durable_then_told_then_visible(queue: Queue) -> None:
    events = []

    def func(tid: bytes) -> None:
        events.append((tid, queue.disk.syncs, queue.queue.durable, list(queue.visible)))

    queue.complete(queue.append(1, func))
    assert queue.disk.started.acquire(timeout=10)
    assert (events, queue.visible) == ([], [])
    queue.disk.proceed.release()
    queue.finish()
    assert events == [(p64(1), 1, 104, [])]
    assert queue.visible == [p64(1)]


def test_those_who_wait_share_a_sync(queue: Queue) -> None:
    queue.complete(queue.append(1))
    assert queue.disk.started.acquire(timeout=10)
    waiting = [queue.append(number) for number in range(2, 9)]
    for written in waiting:
        queue.complete(written)
    queue.disk.proceed.release()  # of the first one, which began before the others were written
    assert queue.disk.started.acquire(timeout=10)
    assert queue.queue.durable == 104
    queue.disk.proceed.release()
    queue.finish()

    assert queue.disk.syncs == 2
    assert queue.visible == [p64(number) for number in range(1, 9)]


def committed_together(queue: Queue) -> None:
    """Have one of three transactions become visible, while the others wait for the next sync."""
    queue.complete(queue.append(1))
    assert queue.disk.started.acquire(timeout=10)
    for number in (2, 3):
        queue.complete(queue.append(number))
    queue.disk.proceed.release()


def test_the_first_waits_for_as_many_as_there_were_and_the_last_of_them_syncs(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e6)
    committed_together(queue)
    assert not queue.disk.started.acquire(timeout=0.05)
    last = queue.complete(queue.append(4))
    assert queue.disk.started.acquire(timeout=10)
    queue.disk.proceed.release()
    last.join(10)
    queue.finish()

    assert queue.disk.syncs == 2
    assert queue.visible == [p64(number) for number in (1, 2, 3, 4)]


def test_the_first_does_not_wait_for_long(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e-3)
    committed_together(queue)
    assert queue.disk.started.acquire(timeout=10)
    queue.disk.proceed.release()
    queue.finish()
    assert queue.visible == [p64(number) for number in (1, 2, 3)]

    # There were two, and there is one now: it waits once, and then no more.
    monkeypatch.setattr(groups, "_PATIENCE", 1e-3)
    for number in (4, 5):
        queue.disk.proceed.release()
        queue.complete(queue.append(number)).join(10)
    monkeypatch.setattr(groups, "_PATIENCE", 1e6)
    queue.disk.proceed.release()
    queue.complete(queue.append(6))
    queue.finish()
    assert queue.visible[-1] == p64(6)


def test_a_leader_whose_work_another_one_did_leaves_the_lead_to_the_next(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_up_to = queue.queue._sync_up_to
    outside: list[threading.Thread] = []

    def overtaken(end: int) -> None:
        # Another one syncs, for nobody in the queue, and the leader finds its work done.
        monkeypatch.setattr(queue.queue, "_sync_up_to", sync_up_to)
        outside.append(threading.Thread(target=queue.queue.make_durable, args=(EVERYTHING,)))
        outside[0].start()
        outside[0].join(30)
        sync_up_to(end)

    monkeypatch.setattr(queue.queue, "_sync_up_to", overtaken)
    queue.disk.proceed.release()
    queue.complete(queue.announced(1)).join(30)
    assert (queue.visible, queue.disk.syncs) == ([p64(1)], 1)
    queue.disk.proceed.release()
    queue.complete(queue.announced(2)).join(30)
    queue.finish()
    assert (queue.visible, queue.disk.syncs) == ([p64(1), p64(2)], 2)


def test_a_crowd_that_came_once_is_not_waited_for(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e6)
    queue.disk.proceed.release()
    queue.complete(queue.append(0)).join(10)
    assert queue.disk.started.acquire(timeout=10)
    committed_together(queue)
    queue.disk.proceed.release()
    queue.finish()
    assert queue.visible == [p64(number) for number in range(4)]


def test_who_waits_for_company_goes_on_when_somebody_else_synced(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e6)
    committed_together(queue)
    assert not queue.disk.started.acquire(timeout=0.05)
    queue.disk.proceed.release()
    queue.queue.make_durable(EVERYTHING)
    queue.finish()
    assert queue.visible == [p64(number) for number in (1, 2, 3)]


def test_whatever_ends_the_thread_that_leads_another_one_leads(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e-3)
    committed_together(queue)
    for _ in range(2):
        assert queue.disk.started.acquire(timeout=10)
        queue.disk.broken = MemoryError()  # from the second sync on
        queue.disk.proceed.release()
    queue.finish()
    assert len(queue.errors) == 2


def test_a_sync_that_fails_ends_the_wait_for_company(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PATIENCE", 1e6)
    committed_together(queue)
    assert not queue.disk.started.acquire(timeout=0.05)
    queue.disk.broken = OSError(5, "Input/output error")
    queue.disk.proceed.release()
    with pytest.raises(StorageSystemError):
        queue.queue.make_durable(EVERYTHING)
    queue.finish()
    assert len(queue.errors) == 2
    queue.queue.wait_until_empty()


def test_the_order_of_the_file_is_that_of_becoming_visible(queue: Queue) -> None:
    first, second, third = (queue.append(number) for number in (1, 2, 3))
    queue.disk.proceed.release()
    late = [queue.complete(third), queue.complete(second)]
    assert queue.disk.started.acquire(timeout=10)
    late[0].join(0.05)
    assert queue.visible == []  # durable, but not the first
    queue.complete(first)
    queue.finish()

    assert queue.visible == queue.told == [p64(1), p64(2), p64(3)]
    assert queue.disk.syncs == 1


def test_a_callback_that_raises_does_not_hold_up_the_others(queue: Queue) -> None:
    def func(tid: bytes) -> None:
        raise StorageSystemError("no use")

    first, second = queue.append(1, func), queue.append(2)
    queue.disk.proceed.release()
    queue.complete(first)
    queue.complete(second)
    queue.finish()
    assert [str(error) for error in queue.errors] == ["no use"]
    assert queue.visible == [p64(1), p64(2)]


def test_records_of_the_queue_are_found_newest_first(queue: Queue) -> None:
    assert queue.queue.position(p64(7)) == 0
    first, second = queue.append(1), queue.append(2)
    assert queue.queue.position(p64(7)) == second.positions[p64(7)]
    assert queue.queue.position(p64(8)) == 0
    queue.disk.proceed.release()
    for written in (first, second):
        queue.complete(written)
    queue.finish()
    assert queue.queue.position(p64(7)) == 0


def test_a_sync_that_fails_is_everybodys_failure_and_the_last(queue: Queue) -> None:
    queue.complete(queue.append(1))
    assert queue.disk.started.acquire(timeout=10)
    for number in (2, 3):
        queue.complete(queue.append(number))
    queue.disk.broken = OSError(5, "Input/output error")
    queue.disk.proceed.release()
    queue.finish()

    assert len(queue.errors) == 3
    assert queue.disk.syncs == 1
    assert (queue.visible, queue.told) == ([], [])
    queue.queue.wait_until_empty()
    with pytest.raises(StorageSystemError):
        queue.append(4)


def test_what_was_durable_before_a_sync_failed_becomes_visible(queue: Queue) -> None:
    entered, leave = threading.Event(), threading.Event()

    def func(tid: bytes) -> None:
        entered.set()
        assert leave.wait(30)

    queue.disk.proceed.release()
    queue.complete(queue.append(1, func))
    assert entered.wait(10)
    queue.disk.broken = OSError(5, "Input/output error")
    queue.complete(queue.append(2))
    queue.disk.proceed.release()
    while not queue.errors:
        queue.disk.started.acquire(timeout=0.1)
    leave.set()
    queue.finish()
    queue.queue.wait_until_empty()
    assert queue.visible == [p64(1)]


def test_an_interrupt_while_waiting_comes_after_the_transaction_is_visible(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = queue.append(1)
    interrupts = iter([KeyboardInterrupt])

    def sync() -> None:
        for interrupt in interrupts:
            raise interrupt

    monkeypatch.setattr(queue.queue, "_sync", sync)
    with pytest.raises(KeyboardInterrupt):
        queue.queue.complete(written)
    assert queue.told == queue.visible == [p64(1)]
    queue.queue.wait_until_empty()


def test_an_interrupt_before_the_leader_syncs_leaves_nobody_asleep(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = queue.queue._lead
    interrupted = threading.Event()

    def interrupt(written: Written) -> None:
        monkeypatch.setattr(queue.queue, "_lead", lead)
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(queue.queue, "_lead", interrupt)
    first = queue.append(1)
    queue.disk.proceed.release()

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            queue.queue.complete(first)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert interrupted.is_set()
    assert not thread.is_alive()
    assert queue.visible == [p64(1)]


def test_an_interrupt_when_all_are_visible_leaves_nobody_asleep_and_tells_of_none_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = queue.queue._let_go
    interrupted: list[bytes] = []

    def interrupt() -> None:
        if queue.visible and not interrupted:
            interrupted.extend(queue.visible)
            raise KeyboardInterrupt
        let_go()

    monkeypatch.setattr(queue.queue, "_let_go", interrupt)
    first, second = queue.announced(1), queue.announced(2)

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            queue.queue.complete(first)

    thread = threading.Thread(target=run)
    thread.start()
    queue.disk.started.acquire(timeout=30)
    queue.complete(second)
    queue.disk.proceed.release()
    thread.join(30)
    queue.finish()
    assert interrupted == queue.visible == [p64(1), p64(2)]
    assert queue.queue.waiting == ()


def test_waiting_for_an_empty_queue_lasts_until_all_are_visible(queue: Queue) -> None:
    queue.queue.wait_until_empty()
    written = queue.append(1)
    done = threading.Event()

    def wait() -> None:
        queue.queue.wait_until_empty()
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    queue.complete(written)
    assert not done.is_set()
    queue.disk.proceed.release()
    queue.finish()
    assert done.wait(10)
    thread.join()


# What any thread may announce


def test_who_synced_makes_all_visible_that_any_thread_may_announce(queue: Queue) -> None:
    first, second, third = (queue.announced(number) for number in (1, 2, 3))
    queue.disk.proceed.release()
    queue.complete(first)
    queue.finish()
    # Without their threads.
    assert queue.visible == [p64(1), p64(2), p64(3)]
    assert queue.announcements(3) == {p64(7)}
    queue.queue.wait_until_empty()
    for written in (second, third):
        queue.complete(written)
    queue.finish()
    assert queue.disk.syncs == 1


def test_what_ends_the_thread_that_makes_all_visible_has_another_one_go_on(queue: Queue) -> None:
    queue.fails_once_at = p64(2)
    for written in [queue.announced(number) for number in (1, 2, 3)]:
        queue.complete(written)
    queue.disk.started.acquire(timeout=30)
    queue.disk.proceed.release()
    queue.finish()
    assert queue.visible == [p64(1), p64(2), p64(3)]
    assert [str(error) for error in queue.errors] == ["no room to publish it"]
    assert queue.queue.waiting == ()
    queue.queue.wait_until_empty()


def test_it_stops_before_one_whose_own_thread_has_to_tell(queue: Queue) -> None:
    told_by: list[int] = []
    first = queue.announced(1)
    second = queue.append(2, lambda tid: told_by.append(threading.get_ident()))
    third = queue.announced(3)
    queue.disk.proceed.release()
    queue.complete(first).join(10)
    queue.complete(third)
    assert queue.visible == [p64(1)]
    own = queue.complete(second).ident
    queue.finish()
    assert told_by == [own]
    assert queue.visible == [p64(1), p64(2), p64(3)]


# What is not in the file yet


def test_who_syncs_writes_what_finished_before_in_one_go(queue: Queue) -> None:
    queue.complete(queue.announced(1, b"one"))
    assert queue.disk.started.acquire(timeout=10)
    assert queue.written == [[(p64(1), b"one")]]
    for number, kept in ((2, b"two"), (3, b""), (4, b"four")):
        queue.complete(queue.announced(number, kept))
    for _ in range(2):
        queue.disk.proceed.release()
    queue.finish()
    assert queue.written[1:] == [[(p64(2), b"two"), (p64(4), b"four")]]
    assert queue.disk.syncs == 2


def test_anybody_may_have_it_written_and_then_it_is_not_written_again(queue: Queue) -> None:
    written = queue.announced(1, b"one")
    queue.queue.write_kept()
    queue.queue.write_kept()
    queue.disk.proceed.release()
    queue.complete(written)
    queue.finish()
    assert queue.written == [[(p64(1), b"one")]]
    assert queue.visible == [p64(1)]


def test_a_write_that_fails_is_everybodys_failure_also_of_a_sync_beside_it(queue: Queue) -> None:
    queue.complete(queue.announced(1, b"one"))
    assert queue.disk.started.acquire(timeout=10)
    queue.complete(queue.announced(2, b"two"))
    queue.disk.full = True
    with pytest.raises(StorageSystemError, match="No space left"):
        queue.queue.write_kept()
    queue.disk.proceed.release()
    queue.finish()
    assert len(queue.errors) == 2
    assert queue.visible == []
    queue.queue.wait_until_empty()


def test_an_interrupt_while_writing_has_it_written_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, interrupts = queue.queue._write, iter([KeyboardInterrupt])

    def interrupted(kept: Sequence[Written]) -> None:
        write(kept)
        for interrupt in interrupts:
            raise interrupt

    monkeypatch.setattr(queue.queue, "_write", interrupted)
    written = queue.announced(1, b"one")
    queue.disk.proceed.release()
    with pytest.raises(KeyboardInterrupt):
        queue.queue.complete(written)
    assert queue.written == [[(p64(1), b"one")]] * 2
    assert queue.visible == [p64(1)]
