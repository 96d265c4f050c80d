import logging
import threading

import pytest
import transaction
from transaction.interfaces import TransientError

from perdure.errors import ConflictError
from perdure.objects import Connection, Database, retrying
from samples.objects import Counter, Node


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not pause, but remember for how long."""
    paused: list[float] = []
    monkeypatch.setattr(retrying.time, "sleep", paused.append)
    return paused


def test_a_function_runs_in_a_transaction_and_its_result_comes_back(db: Database) -> None:
    def work(connection: Connection, name: str) -> str:
        connection.root()[name] = Node()
        return name.upper()

    assert db.run(work, "a", note="adding a") == "A"
    with db.transaction() as connection:
        assert "a" in connection.root()
    assert [change.description for change in db.changes()][-1] == "adding a"


def test_conflicts_are_tried_again_on_a_fresh_view(db: Database, pauses: list[float]) -> None:
    with db.transaction() as connection:
        connection.root.node = Node(value=0)
    seen = []

    def work(connection: Connection) -> None:
        seen.append(connection.root.node.value)
        if len(seen) < 3:
            with db.transaction() as other:
                other.root.node.value += 10
        connection.root.node.value += 1

    db.run(work)
    assert seen == [0, 10, 20]
    assert len(pauses) == 2
    with db.transaction() as connection:
        assert connection.root.node.value == 21


def test_giving_up_raises_the_conflict_with_its_attempts(db: Database, pauses: list[float]) -> None:
    def always(connection: Connection) -> None:
        raise ConflictError("again")

    with pytest.raises(ConflictError, match="again") as caught:
        db.run(always, retries=3)
    assert caught.value.attempts == 4
    assert "gave up after 4 attempts" in caught.value.__notes__
    assert len(pauses) == 3


def test_anything_transient_is_tried_again(db: Database, pauses: list[float]) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        attempts.append(connection)
        if len(attempts) == 1:
            raise TransientError("come back later")

    db.run(work)
    assert len(attempts) == 2


def test_other_errors_abort_at_once(db: Database) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        attempts.append(connection)
        connection.root.node = Node()
        raise LookupError("not there")

    with pytest.raises(LookupError):
        db.run(work)
    assert len(attempts) == 1
    with db.transaction() as connection:
        assert "node" not in connection.root()


def test_no_retries_is_one_attempt(db: Database, pauses: list[float]) -> None:
    def work(connection: Connection) -> None:
        raise ConflictError("again")

    with pytest.raises(ConflictError):
        db.run(work, retries=0)
    assert pauses == []
    with pytest.raises(ValueError, match="not -1"):
        db.run(work, retries=-1)


def test_pauses_grow_up_to_a_bound_and_differ() -> None:
    for attempt in range(1, 30):
        drawn = [retrying.pause_s(attempt) for _ in range(50)]
        assert all(0 <= pause <= min(0.002 * 2 ** (attempt - 1), 1.0) for pause in drawn)
        assert len(set(drawn)) > 1


def test_a_decorated_function_is_called_without_a_connection(db: Database) -> None:
    @db.transactional
    def put(connection: Connection, name: str, *, value: int) -> int:
        """Put something."""
        connection.root()[name] = Node(value=value)
        return value

    @db.transactional(retries=1, note="looking")
    def look(connection: Connection, name: str) -> int:
        value: int = connection.root()[name].value
        return value

    assert put("a", value=3) == 3
    assert look("a") == 3
    assert (put.__name__, put.__doc__) == ("put", "Put something.")
    assert [change.description for change in db.changes()][-1] == "put"


def test_many_threads_get_through(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with db.transaction() as connection:
        connection.root.node = Node(value=0)
        connection.root.counter = Counter()

    def work(connection: Connection) -> None:
        connection.root.node.value += 1
        connection.root.counter.add(1)

    def repeat() -> None:
        for _ in range(10):
            db.run(work, retries=1000)

    with caplog.at_level(logging.CRITICAL):
        threads = [threading.Thread(target=repeat) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    with db.transaction() as connection:
        assert connection.root.node.value == 40
        assert connection.root.counter.value == 40


def test_running_does_not_touch_the_threads_own_transaction(db: Database) -> None:
    mine = db.open()
    mine.root.mine = Node()
    db.run(lambda connection: connection.root().update(other=Node()))
    assert "mine" in mine.root()
    transaction.abort()
    assert "mine" not in mine.root()
    mine.close()
