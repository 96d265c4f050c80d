import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import transaction
import ZODB
import ZODB.FileStorage
import ZODB.MappingStorage
from BTrees.OOBTree import OOBTree
from persistent.mapping import PersistentMapping

from perdure.clock import time_of
from perdure.errors import (
    ConflictError,
    POSError,
    SnapshotError,
    StorageClosedError,
    UndoError,
    Unsupported,
)
from perdure.ids import ROOT_OID, ZERO, after
from perdure.objects import ActivityMonitor, Connection, Database
from perdure.records import Broken, references
from perdure.storages.memory import MappingStorage
from samples.objects import Counter, Node

MakeDatabase = Callable[..., Database]


def commit(connection: Connection, note: str = "") -> None:
    if note:
        connection.transaction_manager.get().note(note)
    connection.transaction_manager.commit()


# The root


def test_a_new_database_has_an_empty_root(db: Database, one: Connection) -> None:
    assert isinstance(one.root(), PersistentMapping)
    assert dict(one.root()) == {}
    assert one.root()._p_oid == ROOT_OID
    assert db.objectCount() == 1


def test_the_new_root_is_the_record_that_zodb_makes(db: Database) -> None:
    theirs = ZODB.MappingStorage.MappingStorage()
    their_db = ZODB.DB(theirs)
    assert db.storage.load(ROOT_OID)[0] == theirs.load(ROOT_OID)[0]
    their_db.close()


def test_opening_again_leaves_the_root_alone(make_db: MakeDatabase) -> None:
    storage = MappingStorage()
    first = make_db(storage)
    with first.transaction() as connection:
        connection.root.node = Node()
    last = first.lastTransaction()
    again = make_db(storage, database_name="again")
    assert again.lastTransaction() == last
    with again.transaction() as connection:
        assert "node" in connection.root()


# Opening


def test_connections_are_pooled_and_keep_their_caches(db: Database) -> None:
    first = db.open(transaction.TransactionManager())
    first.root.node = Node(name="a")
    commit(first)
    node = first.root.node
    first.close()
    assert db.open(transaction.TransactionManager()) is first
    assert first.root.node is node
    assert node._p_changed is False


def test_two_open_connections_are_two(one: Connection, two: Connection) -> None:
    assert one is not two


def test_a_pooled_connection_learns_what_changed_meanwhile(
    db: Database, one: Connection, two: Connection
) -> None:
    one.root.node = Node(value=1)
    commit(one)
    two.sync()
    assert two.root.node.value == 1
    two.close()
    one.root.node.value = 2
    commit(one)
    again = db.open(transaction.TransactionManager())
    assert again is two
    assert again.root.node.value == 2


def test_a_transaction_commits_at_the_end_and_aborts_on_an_error(db: Database) -> None:
    with db.transaction("first things first") as connection:
        connection.root.a = Node()
    with pytest.raises(ZeroDivisionError), db.transaction() as connection:
        connection.root.b = Node(value=1 / 0)
    with db.transaction() as connection:
        assert sorted(connection.root()) == ["a"]
    assert [change.description for change in db.changes()][-1] == "first things first"


def test_the_past_can_be_opened_by_tid_and_by_time(db: Database, one: Connection) -> None:
    tids = []
    for value in range(3):
        one.root.node = Node(value=value)
        commit(one)
        tids.append(db.lastTransaction())
    manager = transaction.TransactionManager

    def value_of(**moment: Any) -> int:
        connection = db.open(manager(), **moment)
        value: int = connection.root.node.value
        connection.close()
        return value

    assert [value_of(at=tid) for tid in tids] == [0, 1, 2]
    assert [value_of(before=tid) for tid in tids[1:]] == [0, 1]
    when = datetime.fromtimestamp(time_of(tids[1]), UTC) + timedelta(microseconds=1)
    expected = 1 if time_of(tids[2]) > when.timestamp() else 2
    assert value_of(at=when) == expected
    assert value_of(at=when.astimezone(timezone(timedelta(hours=9)))) == expected
    assert value_of(at=when.replace(tzinfo=None)) == expected
    assert value_of(at=datetime.now(UTC)) == 2


def test_historical_connections_are_pooled_by_moment(db: Database, one: Connection) -> None:
    commit(one)
    tid = db.lastTransaction()
    one.root.node = Node()
    commit(one)
    past = db.open(transaction.TransactionManager(), at=tid)
    past.close()
    assert db.open(transaction.TransactionManager(), at=db.lastTransaction()) is not past
    assert db.open(transaction.TransactionManager(), before=after(tid)) is past


def test_the_future_cannot_be_opened(db: Database) -> None:
    with pytest.raises(ValueError, match="in the future"):
        db.open(at=datetime.now(UTC) + timedelta(minutes=5))


def test_at_and_before_exclude_each_other(db: Database) -> None:
    with pytest.raises(ValueError, match="zero or one of `at` and `before`"):
        db.open(at=ZERO, before=ZERO)


# Undo


def test_a_transaction_can_be_undone(db: Database, one: Connection, two: Connection) -> None:
    one.root.node = Node(value=1)
    commit(one, "first")
    one.root.node.value = 2
    commit(one, "second")
    two.sync()
    assert two.root.node.value == 2
    (newest,) = db.undoLog(0, 1)
    assert newest["description"] == "second"
    db.undo(newest["id"], one.transaction_manager.get())
    commit(one, "undone")
    assert one.root.node.value == 1
    two.sync()
    assert two.root.node.value == 1
    assert db.undoInfo(0, -20, {"description": b"first"})[0]["description"] == "first"


def test_several_transactions_can_be_undone_at_once(db: Database, one: Connection) -> None:
    for value in range(4):
        one.root.node = Node(value=value)
        commit(one)
    ids = [entry["id"] for entry in db.undoLog(0, 2)]
    db.undoMultiple(ids[::-1], one.transaction_manager.get())
    commit(one)
    assert one.root.node.value == 1


def test_an_undo_that_later_work_forbids_is_an_error(db: Database, one: Connection) -> None:
    one.root.node = Node(value=1)
    commit(one)
    one.root.node.value = 2
    commit(one)
    one.root.node.value = 3
    commit(one)
    db.undo(db.undoLog(0, 2)[1]["id"], one.transaction_manager.get())
    with pytest.raises(UndoError):
        commit(one)
    one.transaction_manager.abort()
    assert one.root.node.value == 3
    one.root.node.value = 4
    commit(one)


def test_the_threads_own_transaction_is_the_default_for_undo(db: Database) -> None:
    with db.transaction() as connection:
        connection.root.node = Node()
    db.undo(db.undoLog(0, 1)[0]["id"])
    transaction.commit()
    with db.transaction() as connection:
        assert "node" not in connection.root()


def test_undo_and_changes_in_one_transaction_on_one_database_do_not_hang(
    db: Database, one: Connection
) -> None:
    one.root.a, one.root.b = Node(value=1), Node(value=1)
    commit(one)
    one.root.a.value = 2
    commit(one)
    db.undo(db.undoLog(0, 1)[0]["id"], one.transaction_manager.get())
    one.root.b.value = 2
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            commit(one)
        except Exception as error:
            failures.append(error)
            one.transaction_manager.abort()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "the commit waits for itself"
    assert len(failures) == 1
    assert "one transaction" in str(failures[0])
    one.root.b.value = 3
    commit(one)


def test_what_cannot_undo_says_so(make_db: MakeDatabase) -> None:
    database = make_db(ZODB.MappingStorage.MappingStorage("simple"))
    assert not database.supportsUndo()
    assert database.undoLog() == []
    assert database.undoInfo() == []
    with pytest.raises(Unsupported, match="simple cannot undo"):
        database.undo(b"x" * 8)


# Somebody else's storage


def test_a_storage_of_zodb_serves_as_well(make_db: MakeDatabase) -> None:
    database = make_db(ZODB.MappingStorage.MappingStorage())
    one = database.open(transaction.TransactionManager())
    two = database.open(transaction.TransactionManager())
    one.root.node = Node(value=1)
    commit(one)
    two.sync()
    assert two.root.node.value == 1
    two.root.node.value = 2
    commit(two)
    assert one.root.node.value == 1 or one.root.node.value == 2
    one.sync()
    assert one.root.node.value == 2


# History and size


def test_history_is_newest_first(db: Database, one: Connection) -> None:
    for value in range(3):
        one.root.node = Node(value=value)
        commit(one, f"value {value}")
    history = db.history(ROOT_OID, 10)
    assert [entry["description"] for entry in history[:3]] == ["value 2", "value 1", "value 0"]
    assert history[0]["tid"] == db.lastTransaction()
    assert len(db.history(ROOT_OID)) == 1


def test_packing_drops_what_is_not_needed(db: Database, one: Connection) -> None:
    one.root.node = Node()
    commit(one)
    del one.root.node
    commit(one)
    assert db.objectCount() == 2
    db.pack()
    assert db.objectCount() == 1
    assert len(db.history(ROOT_OID, 10)) == 1


def test_packing_takes_days_and_datetimes(db: Database, one: Connection) -> None:
    one.root.node = Node()
    commit(one)
    db.pack(days=1)
    db.pack(datetime.now(UTC) - timedelta(days=1))
    assert len(db.history(ROOT_OID, 10)) == 2


def test_a_database_knows_its_name_and_size(db: Database) -> None:
    assert db.getName() == db.storage.getName()
    assert db.getSize() == db.storage.getSize()
    assert db.references is references
    assert db.database_name == "unnamed"
    assert db.databases == {"unnamed": db}


# Classes


def test_a_class_that_is_gone_leaves_broken_objects_that_survive(make_db: MakeDatabase) -> None:
    storage = MappingStorage()

    database = make_db(storage)
    with database.transaction() as connection:
        connection.root.node = Node(value=1)
    blind = make_db(storage, database_name="blind", classes=["somewhere.else"])
    with blind.transaction() as connection:
        node = connection.root.node
        assert isinstance(node, Broken)
        assert node.__Broken_state__ == {"value": 1}
        connection.root.renamed = node
        del connection.root.node
    with make_db(storage, database_name="sighted").transaction() as connection:
        assert connection.root.renamed.value == 1
        assert type(connection.root.renamed) is Node


def test_a_class_factory_chooses_classes(make_db: MakeDatabase) -> None:
    storage = MappingStorage()
    asked = []

    class Other(Node):
        pass

    def factory(connection: Connection, module: str, name: str) -> Any:
        asked.append((module, name))
        if name == "Node":
            return Other
        return database.classFactory(connection, module, name)

    database = make_db(storage)
    with database.transaction() as connection:
        connection.root.node = Node(value=1)
    chosen = make_db(storage, database_name="chosen", class_factory=factory)
    with chosen.transaction() as connection:
        assert type(connection.root.node) is Other
        assert connection.root.node.value == 1
    assert ("samples.objects", "Node") in asked


def test_a_class_factory_can_be_assigned_as_in_zodb(make_db: MakeDatabase) -> None:
    database = make_db()
    with database.transaction() as connection:
        connection.root.node = Node(value=1)
    found = []
    default = database.classFactory

    def factory(connection: Connection, module: str, name: str) -> Any:
        found.append(name)
        return default(connection, module, name)

    other = make_db(database.storage, database_name="other")
    other.classFactory = factory  # type: ignore[method-assign]
    with other.transaction() as connection:
        assert connection.root.node.value == 1
    assert "Node" in found


# Caches, pools, activity


def test_caches_can_be_looked_into(db: Database, one: Connection) -> None:
    one.root.node = Node(id="the node")
    commit(one)
    assert ("samples.objects.Node", 1) in db.cacheDetail()
    rows = [row for row in db.cacheExtremeDetail() if row["klass"] == "samples.objects.Node"]
    assert [(row["id"], row["oid"], row["state"]) for row in rows] == [
        ("the node", one.root.node._p_oid, False)
    ]
    (row,) = [row for row in db.cacheDetailSize() if row["connection"] == repr(one)]
    assert row["ngsize"] == row["size"] == 2
    assert db.cacheSize() == 2
    assert 0 <= time.time() - db.cacheLastGCTime() < 60
    db.cacheFullSweep()
    db.cacheMinimize()
    assert db.cacheSize() == 0


def test_cache_sizes_reach_open_connections(db: Database, one: Connection) -> None:
    db.setCacheSize(7)
    db.setCacheSizeBytes(1 << 20)
    assert (db.getCacheSize(), db.getCacheSizeBytes()) == (7, 1 << 20)
    assert (one._cache.cache_size, one._cache.cache_size_bytes) == (7, 1 << 20)
    db.setHistoricalCacheSize(3)
    db.setHistoricalCacheSizeBytes(99)
    assert (db.getHistoricalCacheSize(), db.getHistoricalCacheSizeBytes()) == (3, 99)
    past = db.open(transaction.TransactionManager(), at=db.lastTransaction())
    assert (past._cache.cache_size, past._cache.cache_size_bytes) == (3, 99)


def test_a_cache_can_be_bounded_in_bytes(make_db: MakeDatabase) -> None:
    database = make_db(cache_size=10_000, cache_size_bytes=50_000)
    with database.transaction() as connection:
        connection.root.nodes = [Node(data="x" * 1000) for _ in range(200)]
    connection = database.open(transaction.TransactionManager())
    for node in connection.root.nodes:
        assert len(node.data) == 1000
    assert connection._cache.total_estimated_size > 200_000
    connection.cacheGC()
    assert 0 < connection._cache.total_estimated_size <= 52_000
    assert connection._cache.cache_non_ghost_count < 60
    connection.cacheMinimize()
    assert connection._cache.total_estimated_size == 0


def test_pool_settings_can_be_read_and_changed(db: Database) -> None:
    db.setPoolSize(3)
    db.setHistoricalPoolSize(2)
    db.setHistoricalTimeout(17)
    assert (db.getPoolSize(), db.getHistoricalPoolSize(), db.getHistoricalTimeout()) == (3, 2, 17)


def test_too_many_open_connections_are_logged(
    make_db: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = make_db(pool_size=1)
    with caplog.at_level(logging.WARNING, "perdure"):
        connections = [database.open(transaction.TransactionManager()) for _ in range(2)]
    assert "2 connections are open; the pool size is 1" in caplog.text
    for connection in connections:
        connection.close()


def test_debug_info_shows_who_uses_connections(db: Database, one: Connection) -> None:
    one.setDebugInfo("request", 17)
    rows = [row for row in db.connectionDebugInfo() if row["opened"]]
    assert [row["info"] for row in rows] == ["request 17"]
    assert rows[0]["before"] is None
    one.close()
    assert [row["opened"] for row in db.connectionDebugInfo()] == [None]


def test_activity_is_added_up_when_connections_close(db: Database, one: Connection) -> None:
    monitor = ActivityMonitor()
    db.setActivityMonitor(monitor)
    assert db.getActivityMonitor() is monitor
    one.root.node = Node()
    commit(one)
    one.close()
    parts = monitor.getActivityAnalysis(divisions=4)
    assert len(parts) == 4
    assert parts[-1]["loads"] == 1
    assert parts[-1]["stores"] == 2
    assert parts[-1]["connections"] == 1


# The end


def test_closing_closes_connections_and_the_storage(db: Database, one: Connection) -> None:
    one.root.node = Node()
    db.close()
    assert one.opened is None
    db.close()
    with pytest.raises(StorageClosedError, match="cannot open a connection"):
        db.open()
    with pytest.raises(StorageClosedError):
        db.storage.load(ROOT_OID)
    assert "unnamed" not in db.databases


def test_a_storage_closed_under_a_connection_is_a_typed_error(
    db: Database, one: Connection
) -> None:
    one.root.node = Node()
    commit(one)
    one.cacheMinimize()
    db.storage.close()
    with pytest.raises(StorageClosedError):
        one.root.node  # noqa: B018
    with pytest.raises(StorageClosedError):
        one.new_oid()


def test_a_database_is_a_context(make_db: MakeDatabase) -> None:
    with make_db() as database:
        assert "closed" not in repr(database)
    assert "closed" in repr(database)


def test_a_connection_can_take_its_database_along(make_db: MakeDatabase) -> None:
    database = make_db()
    connection = database.open_then_close_db_when_connection_closes()
    connection.close()
    with pytest.raises(StorageClosedError):
        database.open()


def test_closing_while_another_thread_commits_loses_nothing(make_db: MakeDatabase) -> None:
    """What was acknowledged is there; what was not has said why."""
    for _ in range(10):
        storage = StaysOpen()
        database = make_db(storage)
        with database.transaction() as connection:
            connection.root.counter = Counter()
            oid = connection.root()._p_oid
        writer = Writer(database)
        writer.start()
        assert writer.running.wait(30)
        database.close()
        writer.join(30)
        assert not writer.is_alive()
        assert isinstance(writer.refusal, POSError)
        with make_db(storage, database_name="again").transaction() as connection:
            assert connection.get(oid)["counter"].value in (writer.count, writer.count + 1)


class StaysOpen(MappingStorage):
    """Can be looked into after its database was closed."""

    def close(self) -> None: ...


class Writer(threading.Thread):
    """Commits until it is refused; counts what was acknowledged."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.count = 0
        self.refusal: Exception | None = None
        self.running = threading.Event()

    def run(self) -> None:
        try:
            while True:
                with self.database.transaction() as connection:
                    connection.root.counter.add(1)
                self.count += 1
                self.running.set()
        except Exception as error:
            self.refusal = error


def test_metadata_in_any_script_survives(db: Database, one: Connection) -> None:
    current = one.transaction_manager.get()
    current.setUser("Ζωή")
    current.note("变更 изменение")
    current.setExtendedInfo("clé", {"ключ": ["значение", 1]})
    one.root.node = Node()
    commit(one)
    (change,) = list(db.changes())[-1:]
    assert change.user.endswith("Ζωή")
    assert change.description == "变更 изменение"
    (stored,) = db.storage.iterator(change.tid, change.tid)
    assert stored.extension == {"clé": {"ключ": ["значение", 1]}}


def test_resolving_a_conflict_keeps_to_the_allowed_classes(make_db: MakeDatabase) -> None:
    storage = MappingStorage()
    open_to_all = make_db(storage)
    with open_to_all.transaction() as connection:
        connection.root.counter = Counter()
    oid = b"\0" * 7 + b"\1"
    first = storage.load(oid)
    open_to_all.run(lambda connection: connection.root.counter.add(1))
    make_db(storage, database_name="strict", classes=["somewhere.else"])
    second = storage.load(oid)
    with pytest.raises(ConflictError, match="not resolved"):
        storage.tryToResolveConflict(oid, second.tid, first.tid, first.data)


def test_the_past_can_be_named_in_text(db: Database, one: Connection) -> None:
    one.root.node = Node(value=1)
    commit(one)
    tid = db.lastTransaction()
    one.root.node.value = 2
    commit(one)
    past = db.open(transaction.TransactionManager(), at=tid.hex())
    assert past.root.node.value == 1
    with pytest.raises(ValueError, match="neither a tid"):
        db.open(at="last tuesday")


def test_before_everything_there_is_no_root(db: Database) -> None:
    past = db.open(transaction.TransactionManager(), before="2001-01-01")
    with pytest.raises(SnapshotError, match=r"of 2001-01-01 .* no root yet"):
        past.root()
    past.close()


def test_an_undo_id_may_be_text(db: Database, one: Connection) -> None:
    one.root.node = Node()
    commit(one)
    log_id = db.undoLog(0, 1)[0]["id"]
    db.undo(log_id.decode(), one.transaction_manager.get())
    commit(one)
    assert "node" not in one.root()


def test_trees_work_on_zodbs_file_storage(make_db: MakeDatabase, tmp_path: Path) -> None:
    database = make_db(ZODB.FileStorage.FileStorage(str(tmp_path / "theirs.fs")))
    with database.transaction() as connection:
        connection.root.tree = OOBTree({str(number): number for number in range(100)})
    with database.transaction() as connection:
        connection.root.tree["new"] = 1  # reads inner nodes, and relies on them
    with database.transaction() as connection:
        assert len(connection.root.tree) == 101
