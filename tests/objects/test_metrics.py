from collections.abc import Callable
from pathlib import Path

import pytest
import transaction

from perdure.errors import ConflictError
from perdure.objects import Connection, Database, resetCaches
from perdure.storages.file import FileStorage
from samples.objects import Counter, Node


def commit(connection: Connection) -> None:
    connection.transaction_manager.commit()


def test_what_connections_do_is_counted(db: Database, one: Connection, two: Connection) -> None:
    before = db.metrics()
    one.root.a = Node(value=1)
    one.root.b = Node(other=one.root.a)
    commit(one)
    two.sync()
    assert two.root.a.value == 1
    assert two.root.b.other is two.root.a
    now = db.metrics()
    assert now.commits - before.commits == 1
    assert now.stores - before.stores == 3
    assert now.loads - before.loads == 4  # the root in both, and two nodes
    assert now.cache_hits - before.cache_hits == 1  # from b to a
    assert (now.connections_open, now.connections_resting) == (2, 0)
    assert now.objects_in_memory == 6


def test_conflicts_are_counted_and_so_are_resolved_ones(
    db: Database, one: Connection, two: Connection
) -> None:
    one.root.node, one.root.counter = Node(value=0), Counter()
    commit(one)
    two.sync()
    two.root.counter.add(1)
    one.root.counter.add(1)
    commit(one)
    commit(two)
    one.sync()
    two.root.node.value = 1
    one.root.node.value = 2
    commit(one)
    with pytest.raises(ConflictError):
        commit(two)
    two.transaction_manager.abort()
    metrics = db.metrics()
    assert (metrics.resolved, metrics.conflicts) == (1, 1)
    assert metrics.commits == 4


def test_an_undo_is_a_commit(db: Database, one: Connection) -> None:
    one.root.a = 1
    commit(one)
    before = db.metrics()
    manager = transaction.TransactionManager()
    db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
    assert db.metrics().commits == before.commits
    manager.commit()
    assert db.metrics().commits == before.commits + 1


def test_connections_that_are_gone_still_count(make_db: Callable[..., Database]) -> None:
    database = make_db(pool_size=1)
    connections = [database.open(transaction.TransactionManager()) for _ in range(3)]
    for number, connection in enumerate(connections):
        connection.sync()
        connection.root()[number] = Node()
        commit(connection)
    for connection in connections:
        connection.close()
    assert database.metrics().connections_resting == 1
    assert database.metrics().commits == 3


def test_a_cache_that_is_reset_does_not_lose_its_hits(db: Database) -> None:
    with db.transaction() as connection:
        connection.root.a = Node()
        connection.root.b = Node(other=connection.root.a)
    connection.cacheMinimize()
    with db.transaction() as connection:
        assert connection.root.a is connection.root.b.other
    hits = db.metrics().cache_hits
    assert hits > 0
    resetCaches()
    with db.transaction():
        assert db.metrics().cache_hits >= hits


def test_syncs_of_a_file_are_counted_and_timed(tmp_path: Path) -> None:
    with Database(FileStorage(tmp_path / "test.fs")) as database:
        before = database.metrics().storage
        with database.transaction() as connection:
            connection.root.node = Node()
        after = database.metrics().storage
        assert after["syncs"] - before["syncs"] == 1
        assert after["sync_s"] > before["sync_s"]


def test_clearing_transfer_counts_leaves_the_metrics_alone(db: Database, one: Connection) -> None:
    one.root.node = Node()
    commit(one)
    stores = db.metrics().stores
    assert one.getTransferCounts(True)[1] == 2
    assert one.getTransferCounts() == (0, 0)
    assert db.metrics().stores == stores
