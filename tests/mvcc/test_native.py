"""Storages with snapshots of their own are used as they are."""

from collections.abc import Iterator

import pytest
import transaction

from perdure.errors import ConflictError, ReadOnlyHistoryError, Unsupported
from perdure.ids import ZERO
from perdure.mvcc import NativeSnapshots
from perdure.objects import Connection, Database
from samples.mvcc_storage import OwnSnapshots
from samples.objects import Counter, Node


@pytest.fixture
def storage() -> OwnSnapshots:
    return OwnSnapshots()


@pytest.fixture
def db(storage: OwnSnapshots) -> Iterator[Database]:
    database = Database(storage)
    yield database
    database.close()


def connect(db: Database) -> Connection:
    return db.open(transaction.TransactionManager())


def test_each_connection_has_an_instance_of_its_own(db: Database, storage: OwnSnapshots) -> None:
    made = len(storage.instances)
    one, two = connect(db), connect(db)
    assert len(storage.instances) == made + 2
    one.close()
    assert connect(db) is one
    assert len(storage.instances) == made + 2
    two.close()


def test_what_others_committed_is_seen_at_the_next_transaction(db: Database) -> None:
    one, two = connect(db), connect(db)
    one.root.node = Node(value=1)
    one.transaction_manager.commit()
    assert "node" not in two.root()
    two.sync()
    assert two.root.node.value == 1
    one.root.node.value = 2
    one.transaction_manager.commit()
    assert two.root.node.value == 1
    two.sync()
    assert two.root.node.value == 2


def test_conflicts_and_their_resolution_are_the_storages(db: Database) -> None:
    one, two = connect(db), connect(db)
    one.root.node, one.root.counter = Node(value=0), Counter()
    one.transaction_manager.commit()
    two.sync()
    one.root.counter.add(1)
    two.root.counter.add(2)
    one.transaction_manager.commit()
    two.transaction_manager.commit()
    assert two.root.counter.value == 3
    one.sync()
    one.root.node.value = 1
    two.root.node.value = 2
    one.transaction_manager.commit()
    with pytest.raises(ConflictError):
        two.transaction_manager.commit()
    two.transaction_manager.abort()
    assert two.root.node.value == 1


def test_undo_goes_through_an_instance_that_is_released(
    db: Database, storage: OwnSnapshots
) -> None:
    one, two = connect(db), connect(db)
    one.root.node = Node(value=1)
    one.transaction_manager.commit()
    one.root.node.value = 2
    one.transaction_manager.commit()
    two.sync()
    made = len(storage.instances)
    db.undo(db.undoLog(0, 1)[0]["id"], one.transaction_manager.get())
    one.transaction_manager.commit()
    assert one.root.node.value == 1
    two.sync()
    assert two.root.node.value == 1
    assert [instance.released for instance in storage.instances[made:]] == [True]


def test_the_past_is_an_instance_that_takes_no_changes(db: Database, storage: OwnSnapshots) -> None:
    one = connect(db)
    one.root.node = Node(value=1)
    one.transaction_manager.commit()
    moment = db.lastTransaction()
    one.root.node.value = 2
    one.transaction_manager.commit()
    past = db.open(transaction.TransactionManager(), at=moment)
    assert past.root.node.value == 1
    past.root.node.value = 3
    with pytest.raises(ReadOnlyHistoryError):
        past.transaction_manager.commit()
    past.transaction_manager.abort()
    past.close()


def test_a_connection_that_leaves_the_pool_releases_its_instance(
    db: Database, storage: OwnSnapshots
) -> None:
    db.setPoolSize(1)
    connections = [connect(db) for _ in range(2)]
    instances = storage.instances[-2:]
    for connection in connections:
        connection.close()
    assert [instance.released for instance in instances] == [True, False]


def test_the_storage_gets_a_wrapper_and_tells_it_of_changes(storage: OwnSnapshots) -> None:
    heard: list[str] = []
    snapshots = NativeSnapshots(storage, lambda: heard.append("changed"))
    assert storage.registered == [snapshots]
    snapshots.invalidate(ZERO, [])
    snapshots.invalidateCache()
    assert heard == ["changed", "changed"]
    assert snapshots.untransform_record_data(snapshots.transform_record_data(b"x")) == b"x"


def test_what_the_storage_cannot_do_is_said(db: Database) -> None:
    one = connect(db)
    one.root.node = Node()
    one.transaction_manager.commit()
    one.prefetch(one.root.node)  # no use, no harm
    one.readCurrent(one.root.node)
    one.root.other = Node()
    with pytest.raises(Unsupported, match="cannot verify reads"):
        one.transaction_manager.commit()
    one.transaction_manager.abort()
    snapshot = NativeSnapshots(OwnSnapshots()).new_instance()
    with pytest.raises(Unsupported, match="does not keep blobs"):
        snapshot.loadBlob(b"\0" * 8, ZERO)
