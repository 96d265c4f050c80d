from collections.abc import Callable, Iterator

import pytest
from BTrees.OOBTree import OOBTree

from perdure.errors import ConflictError, ConnectionStateError, StorageSystemError
from perdure.ids import ZERO, p64
from perdure.interfaces import Loaded
from perdure.objects import Connection
from perdure.objects.savepoint import SavepointStore
from samples.objects import Counter, Node

Connect = Callable[[], Connection]


class Below:
    """A snapshot with one object."""

    def load(self, oid: bytes) -> Loaded:
        return Loaded(b"below", p64(1))


@pytest.fixture
def store() -> Iterator[SavepointStore]:
    store = SavepointStore(Below())
    yield store
    store.close()


def test_a_savepoint_hides_what_is_below(store: SavepointStore) -> None:
    assert store.load(p64(1)) == (b"below", p64(1))
    store.store(p64(1), p64(1), b"above")
    assert store.load(p64(1)) == (b"above", p64(1))
    assert list(store) == [(p64(1), p64(1), b"above")]


def test_going_back_brings_back_what_was_replaced(store: SavepointStore) -> None:
    store.store(p64(1), p64(1), b"first")
    first = store.mark()
    store.store(p64(1), p64(1), b"second")
    store.store(p64(2), ZERO, b"new")
    store.note_created({p64(2): True})
    assert store.reset(first) == ([p64(1), p64(2)], [p64(2)])
    assert store.load(p64(1)).data == b"first"
    assert list(store) == [(p64(1), p64(1), b"first")]
    store.store(p64(3), ZERO, b"third")
    assert [oid for oid, _serial, _data in store] == [p64(1), p64(3)]


def test_what_is_large_goes_to_a_file(store: SavepointStore) -> None:
    record = b"x" * 100_000
    for number in range(10):
        store.store(p64(number), ZERO, record)
    assert getattr(store._file, "_rolled", False)
    assert all(store.load(p64(number)).data == record for number in range(10))


def test_a_full_disk_is_a_typed_error(
    store: SavepointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store._file.close()
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr(store, "_file", full)
        monkeypatch.setattr(store, "_end", 0)
        with pytest.raises(StorageSystemError, match="no room for a savepoint"):
            store.store(p64(1), ZERO, b"data")


def test_rolling_back_takes_back_what_came_after(one: Connection) -> None:
    one.root.node = Node(value=1)
    manager = one.transaction_manager
    savepoint = manager.savepoint()
    one.root.node.value = 2
    one.root.other = other = Node()
    savepoint.rollback()
    assert one.root.node.value == 1
    assert "other" not in one.root()
    assert other._p_jar is None
    manager.commit()
    one.cacheMinimize()
    assert one.root.node.value == 1


def test_savepoints_nest(one: Connection) -> None:
    manager = one.transaction_manager
    one.root.node = Node(value=0)
    savepoints = []
    for value in range(1, 6):
        savepoints.append(manager.savepoint())
        one.root.node.value = value
    savepoints[3].rollback()
    assert one.root.node.value == 3
    one.root.node.value = 30
    savepoints[1].rollback()
    assert one.root.node.value == 1
    manager.commit()
    one.cacheMinimize()
    assert one.root.node.value == 1


def test_one_savepoint_can_be_gone_back_to_again_and_again(one: Connection) -> None:
    one.root.node = Node(value=0)
    savepoint = one.transaction_manager.savepoint()
    for value in range(1, 4):
        one.root.node.value = value
        one.root.other = Node()
        savepoint.rollback()
        assert one.root.node.value == 0
        assert "other" not in one.root()


def test_changes_after_an_earlier_rollback_commit(one: Connection, two: Connection) -> None:
    one.root.node = Node(value=0)
    savepoint = one.transaction_manager.savepoint()
    one.root.node.value = 1
    savepoint.rollback()
    one.root.node.value = 2
    one.root.child = Node(value=3)
    one.transaction_manager.commit()
    two.sync()
    assert (two.root.node.value, two.root.child.value) == (2, 3)


def test_objects_leave_memory_and_come_back_from_the_savepoint(
    one: Connection, two: Connection
) -> None:
    one.root.nodes = OOBTree()
    for number in range(1000):
        one.root.nodes[str(number)] = Node(number=number)
        if number % 100 == 99:
            one.transaction_manager.savepoint()
            one.cacheMinimize()
            assert one._cache.cache_non_ghost_count == 0
    assert one.root.nodes["0"].number == 0
    one.transaction_manager.commit()
    assert one.root.nodes["500"].number == 500
    two.sync()
    assert sorted(node.number for node in two.root.nodes.values()) == list(range(1000))
    assert all(node._p_serial == one.root.nodes._p_serial for node in two.root.nodes.values())


def test_nobody_else_sees_a_savepoint(one: Connection, two: Connection) -> None:
    one.root.node = Node()
    one.transaction_manager.savepoint()
    two.sync()
    assert "node" not in two.root()


def test_abort_forgets_savepoints(one: Connection) -> None:
    one.root.node = Node(value=1)
    one.transaction_manager.commit()
    one.root.node.value = 2
    one.root.new = new = Node(value=3)
    one.transaction_manager.savepoint()
    one.transaction_manager.abort()
    assert one.root.node.value == 1
    assert "new" not in one.root()
    assert (new._p_oid, new._p_jar, new.value) == (None, None, 3)
    one.root.new = new
    one.transaction_manager.commit()
    one.cacheMinimize()
    assert one.root.new.value == 3


def test_a_savepoint_of_a_finished_transaction_is_useless(one: Connection) -> None:
    one.root.node = Node(value=1)
    savepoint = one.savepoint()
    one.transaction_manager.commit()
    with pytest.raises(ConnectionStateError, match="transaction is over"):
        savepoint.rollback()
    assert one.root.node.value == 1


def test_conflicts_are_found_through_savepoints(one: Connection, two: Connection) -> None:
    one.root.node, one.root.counter = Node(value=1), Counter()
    one.transaction_manager.commit()
    two.sync()
    two.root.node.value = 2
    two.transaction_manager.savepoint()
    one.root.node.value = 3
    one.transaction_manager.commit()
    with pytest.raises(ConflictError, match=r"samples\.objects\.Node"):
        two.transaction_manager.commit()
    two.transaction_manager.abort()
    assert two.root.node.value == 3


def test_conflicts_are_resolved_through_savepoints(one: Connection, two: Connection) -> None:
    one.root.counter = Counter()
    one.transaction_manager.commit()
    two.sync()
    two.root.counter.add(1)
    two.transaction_manager.savepoint()
    two.root.counter.add(1)
    one.root.counter.add(10)
    one.transaction_manager.commit()
    two.transaction_manager.commit()
    assert two.root.counter.value == 12


def test_what_was_read_stays_relied_on_after_a_rollback(one: Connection, two: Connection) -> None:
    one.root.rule, one.root.node = Node(limit=1), Node(value=0)
    one.transaction_manager.commit()
    two.sync()
    two.readCurrent(two.root.rule)
    savepoint = two.transaction_manager.savepoint()
    two.root.node.value = 5
    savepoint.rollback()
    two.root.node.value = 1
    one.root.rule.limit = 0
    one.transaction_manager.commit()
    with pytest.raises(ConflictError):
        two.transaction_manager.commit()
    two.transaction_manager.abort()


def test_an_added_object_survives_a_savepoint(one: Connection) -> None:
    node = Node(value=1)
    one.add(node)
    oid = node._p_oid
    one.transaction_manager.savepoint()
    one.cacheMinimize()
    assert node.value == 1
    one.transaction_manager.commit()
    one.cacheMinimize()
    assert one.get(oid).value == 1
