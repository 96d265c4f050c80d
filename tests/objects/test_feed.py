import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from perdure.errors import StorageClosedError, Unsupported
from perdure.interfaces import Storage, declares
from perdure.objects import Change, Connection, Database
from perdure.storages.memory import MappingStorage
from samples.objects import Node


class Collector:
    """Collects changes; `wait_for(n)` until there are n of them."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.threads: set[int] = set()
        self._news = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._news:
            self.changes.append(change)
            self.threads.add(threading.get_ident())
            self._news.notify_all()

    def wait_for(self, count: int) -> list[Change]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.changes) >= count, 30)
            return list(self.changes)


def commit_note(connection: Connection, note: str) -> bytes:
    connection.root()[note] = Node()
    current = connection.transaction_manager.get()
    current.note(note)
    current.setUser("zoë")
    connection.transaction_manager.commit()
    tid: bytes = connection.root()._p_serial
    return tid


def test_changes_since_a_tid_are_all_that_came_later(db: Database, one: Connection) -> None:
    start = db.lastTransaction()
    tids = [commit_note(one, note) for note in ("a", "b", "c")]
    found = list(db.changes(start))
    assert [change.tid for change in found] == tids
    assert [change.description for change in found] == ["a", "b", "c"]
    assert found[0].user.strip("/ ") == "zoë"
    assert set(found[0].oids) == {one.root()._p_oid, one.root()["a"]._p_oid}
    assert found[0].time.tzinfo is not None
    assert [change.tid for change in db.changes(tids[1])] == tids[2:]
    assert list(db.changes(tids[2])) == []
    assert next(db.changes()).description == "initial database creation"


def test_changes_end_where_they_were_when_asked(db: Database, one: Connection) -> None:
    commit_note(one, "a")
    changes = db.changes()
    commit_note(one, "b")
    assert [change.description for change in changes] == ["initial database creation", "a"]


def test_undo_is_a_change_too(db: Database, one: Connection) -> None:
    commit_note(one, "a")
    last = db.lastTransaction()
    db.undo(db.undoLog(0, 1)[0]["id"], one.transaction_manager.get())
    one.transaction_manager.commit()
    (change,) = db.changes(last)
    assert one.root()._p_oid in change.oids


def test_subscribers_are_told_in_order_on_another_thread(
    db: Database, one: Connection, two: Connection
) -> None:
    collector = Collector()
    subscription = db.subscribe(collector)
    tids = []
    for number in range(20):
        connection = one if number % 2 else two
        connection.sync()
        tids.append(commit_note(connection, f"note {number}"))
    found = collector.wait_for(20)
    assert [change.tid for change in found] == tids
    assert threading.get_ident() not in collector.threads
    subscription.unsubscribe()


def test_changes_of_many_threads_arrive_once_and_in_order(db: Database) -> None:
    collector = Collector()
    subscription = db.subscribe(collector)

    def put(connection: Connection, *key: int) -> None:
        connection.root()[key] = Node()

    def work(number: int) -> None:
        for count in range(10):
            db.run(put, number, count, retries=200)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = collector.wait_for(40)
    tids = [change.tid for change in found]
    assert len(tids) == 40
    assert tids == sorted(set(tids))
    subscription.unsubscribe()


def test_a_subscriber_hears_nothing_older_than_itself_and_nothing_after_leaving(
    db: Database, one: Connection
) -> None:
    first, second = Collector(), Collector()
    stays = db.subscribe(first)
    commit_note(one, "a")
    first.wait_for(1)
    leaves = db.subscribe(second)
    commit_note(one, "b")
    assert [change.description for change in second.wait_for(1)] == ["b"]
    leaves.unsubscribe()
    leaves.unsubscribe()
    commit_note(one, "c")
    first.wait_for(3)
    assert len(second.changes) == 1
    stays.unsubscribe()


def test_a_subscriber_that_fails_is_logged_and_stays(
    db: Database, one: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector()

    def fail(change: Change) -> None:
        raise RuntimeError(f"cannot take {change.description}")

    with caplog.at_level(logging.ERROR, "perdure"):
        subscriptions = [db.subscribe(fail), db.subscribe(collector)]
        commit_note(one, "a")
        commit_note(one, "b")
        assert len(collector.wait_for(2)) == 2
    assert "cannot take a" in caplog.text
    assert "cannot take b" in caplog.text
    for subscription in subscriptions:
        subscription.unsubscribe()


def test_the_thread_ends_with_the_last_subscriber(db: Database, one: Connection) -> None:
    collector = Collector()
    subscription = db.subscribe(collector)
    commit_note(one, "a")
    collector.wait_for(1)
    thread = db._feed._thread
    assert thread is not None
    subscription.unsubscribe()
    thread.join(30)
    assert not thread.is_alive()
    again = db.subscribe(collector)
    commit_note(one, "b")
    assert [change.description for change in collector.wait_for(2)] == ["a", "b"]
    again.unsubscribe()


def test_closing_delivers_what_was_committed(db: Database, one: Connection) -> None:
    collector = Collector()
    db.subscribe(collector)
    for number in range(5):
        commit_note(one, str(number))
    db.close()
    assert len(collector.changes) == 5
    with pytest.raises(StorageClosedError):
        db.subscribe(collector)


def test_a_callback_may_use_the_database(db: Database, one: Connection) -> None:
    names: list[Any] = []
    done = threading.Event()

    def look(change: Change) -> None:
        with db.transaction() as connection:
            names.append(sorted(connection.root()))
        done.set()

    subscription = db.subscribe(look)
    commit_note(one, "a")
    assert done.wait(30)
    assert names == [["a"]]
    subscription.unsubscribe()


@declares(Storage)
class NoIteration:
    """A storage that cannot list its transactions."""

    def __init__(self) -> None:
        self._storage = MappingStorage()

    def __len__(self) -> int:
        return len(self._storage)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def test_a_storage_without_iteration_cannot_be_followed(
    make_db: Callable[..., Database],
) -> None:
    database = make_db(NoIteration())
    with pytest.raises(Unsupported, match="cannot list its transactions"):
        database.changes()
    with pytest.raises(Unsupported, match="cannot list its transactions"):
        database.subscribe(print)


def test_subscribing_does_not_keep_a_commit_waiting(db: Database, one: Connection) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(change: Change) -> None:
        entered.set()
        leave.wait(30)

    subscription = db.subscribe(slow)
    commit_note(one, "a")
    assert entered.wait(30)
    commit_note(one, "b")  # returns although the subscriber is still busy
    leave.set()
    subscription.unsubscribe()
