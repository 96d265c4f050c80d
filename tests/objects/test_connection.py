import logging
import threading
from collections.abc import Callable

import pytest
import transaction
from BTrees.OOBTree import OOBTree
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from perdure.errors import (
    ConflictError,
    ConnectionStateError,
    InvalidObjectReference,
    POSKeyError,
    ReadConflictError,
    ReadOnlyHistoryError,
    RecordTooLargeError,
    StateLoadError,
    UnpicklableError,
)
from perdure.ids import ROOT_OID, p64
from perdure.objects import Connection, Database, resetCaches
from samples.objects import (
    Counter,
    CustomState,
    Node,
    RefusesItsState,
    Slow,
    Stubborn,
    WithNewArgs,
    WithNewArgsEx,
)

Connect = Callable[[], Connection]


def commit(connection: Connection) -> None:
    connection.transaction_manager.commit()


def abort(connection: Connection) -> None:
    connection.transaction_manager.abort()


# Objects


def test_what_is_committed_is_there_in_another_connection(one: Connection, two: Connection) -> None:
    one.root()["node"] = Node(name="a", numbers=[1, 2])
    commit(one)
    two.sync()
    node = two.root()["node"]
    assert (node.name, node.numbers) == ("a", [1, 2])
    assert node is not one.root()["node"]


def test_an_object_is_a_ghost_until_it_is_touched(one: Connection, two: Connection) -> None:
    one.root()["node"] = Node(name="a")
    commit(one)
    two.sync()
    node = two.root()["node"]
    assert node._p_changed is None
    assert node.name == "a"
    assert node._p_changed is False
    assert node._p_serial == two.db().lastTransaction()
    assert node._p_jar is two


def test_the_root_has_its_items_as_attributes(one: Connection) -> None:
    one.root.node = Node(name="a")
    assert one.root()["node"] is one.root.node
    assert "node" in dir(one.root)
    assert repr(one.root) == "<root: node>"
    del one.root.node
    assert "node" not in one.root()
    with pytest.raises(AttributeError, match="no item 'node'"):
        one.root.node  # noqa: B018
    with pytest.raises(AttributeError, match="no item 'node'"):
        del one.root.node


def test_mappings_lists_and_trees_keep_their_items(one: Connection, two: Connection) -> None:
    one.root.mapping = PersistentMapping(a=1)
    one.root.list = PersistentList([1, 2])
    one.root.tree = OOBTree({str(number): Node(number=number) for number in range(1000)})
    commit(one)
    two.sync()
    assert dict(two.root.mapping) == {"a": 1}
    assert list(two.root.list) == [1, 2]
    assert [two.root.tree[str(number)].number for number in range(1000)] == list(range(1000))


def test_volatile_attributes_are_not_stored(one: Connection, two: Connection) -> None:
    one.root.node = Node(name="a", _v_cached=1)
    commit(one)
    two.sync()
    assert not hasattr(two.root.node, "_v_cached")
    two.root.node._v_cached = 2
    assert not two.root.node._p_changed


def test_new_arguments_are_stored_and_passed_again(one: Connection, two: Connection) -> None:
    one.root.thing = WithNewArgs("a")
    commit(one)
    two.sync()
    WithNewArgs.made_with.clear()
    assert two.root.thing.name == "a"
    assert WithNewArgs.made_with == ["a"]


def test_new_arguments_by_keyword_are_not_used_as_in_zodb(one: Connection, two: Connection) -> None:
    one.root.thing = WithNewArgsEx(size=2)
    commit(one)
    two.sync()
    assert two.root.thing.size == 2


def test_a_class_may_shape_its_own_state(one: Connection, two: Connection) -> None:
    one.root.thing = CustomState([1, 2, 3])
    commit(one)
    two.sync()
    assert two.root.thing.items == [1, 2, 3]


def test_a_weak_reference_finds_its_object_and_does_not_keep_it(
    one: Connection, two: Connection
) -> None:
    one.root.node = node = Node(name="a")
    one.root.weak = Node(ref=WeakRef(node))
    commit(one)
    two.sync()
    assert two.root.weak.ref() is two.root.node


def test_a_cycle_is_stored(one: Connection, two: Connection) -> None:
    here, there = Node(), Node()
    here.other, there.other = there, here
    one.root.here = here
    commit(one)
    two.sync()
    assert two.root.here.other.other is two.root.here


def test_an_object_that_two_refer_to_is_one_object(one: Connection, two: Connection) -> None:
    shared = Node()
    one.root.a, one.root.b = Node(shared=shared), Node(shared=shared)
    commit(one)
    two.sync()
    assert two.root.a.shared is two.root.b.shared


def test_a_plain_object_that_two_refer_to_becomes_two(one: Connection, two: Connection) -> None:
    shared = [1]
    one.root.a, one.root.b = Node(shared=shared), Node(shared=shared)
    commit(one)
    two.sync()
    assert two.root.a.shared == two.root.b.shared
    assert two.root.a.shared is not two.root.b.shared


def test_a_long_chain_of_new_objects_is_stored(one: Connection, two: Connection) -> None:
    first = last = Node()
    for _ in range(20_000):
        last.next = last = Node()
    one.root.first = first
    commit(one)
    two.sync()
    length, node = 0, two.root.first
    while hasattr(node, "next"):
        length, node = length + 1, node.next
    assert length == 20_000


def test_an_object_can_be_got_by_its_oid(one: Connection, two: Connection) -> None:
    one.root.node = node = Node(name="a")
    commit(one)
    assert one.get(node._p_oid) is node
    two.sync()
    assert two.get(node._p_oid).name == "a"
    assert two[node._p_oid] is two.get(node._p_oid)
    assert two.get(ROOT_OID) is two.root()


def test_adding_gives_an_oid_and_stores_without_a_reference(
    one: Connection, two: Connection
) -> None:
    node = Node(name="a")
    one.add(node)
    oid = node._p_oid
    assert one.get(oid) is node
    one.add(node)  # again: nothing to do
    commit(one)
    two.sync()
    assert two.get(oid).name == "a"


def test_an_added_object_is_a_stranger_again_after_abort(one: Connection) -> None:
    node = Node(name="a")
    one.add(node)
    oid = node._p_oid
    abort(one)
    assert (node._p_oid, node._p_jar, node.name) == (None, None, "a")
    with pytest.raises(POSKeyError):
        one.get(oid)


def test_only_persistent_objects_can_be_added(one: Connection) -> None:
    with pytest.raises(
        TypeError, match=r"only persistent objects can be added, not builtins\.dict"
    ):
        one.add({})


def test_abort_takes_changes_back(one: Connection) -> None:
    one.root.node = Node(name="a")
    commit(one)
    one.root.node.name = "b"
    one.root.other = Node()
    abort(one)
    assert one.root.node.name == "a"
    assert "other" not in one.root()


def test_a_new_object_that_failed_to_commit_can_be_committed_later(
    one: Connection, two: Connection
) -> None:
    one.root.node = node = Node(child=Node(name="child"), bad=threading.Lock())
    with pytest.raises(UnpicklableError):
        commit(one)
    abort(one)
    assert (node._p_oid, node._p_jar) == (None, None)
    assert (node.child._p_oid, node.child._p_jar) == (None, None)
    del node.bad
    one.root.node = node
    commit(one)
    two.sync()
    assert two.root.node.child.name == "child"


def test_an_old_state_can_be_read(one: Connection) -> None:
    one.root.node = node = Node(name="a")
    commit(one)
    first = node._p_serial
    node.name = "b"
    commit(one)
    assert one.oldstate(node, first) == {"name": "a"}
    assert one.oldstate(node, node._p_serial) == {"name": "b"}


# Snapshots and conflicts


def test_a_connection_sees_one_moment(one: Connection, two: Connection) -> None:
    one.root.a, one.root.b = Node(value=1), Node(value=1)
    commit(one)
    two.sync()
    assert two.root.a.value == 1
    one.root.a.value = one.root.b.value = 2
    commit(one)
    # `b` is loaded only now, after the commit, and still as of the same moment.
    assert (two.root.a.value, two.root.b.value) == (1, 1)
    two.sync()
    assert (two.root.a.value, two.root.b.value) == (2, 2)


def test_the_second_of_two_writers_gets_a_conflict(one: Connection, two: Connection) -> None:
    one.root.node = Node(value=1)
    commit(one)
    two.sync()
    two.root.node.value = 2
    read = two.root.node._p_serial
    one.root.node.value = 3
    commit(one)
    with pytest.raises(ConflictError) as caught:
        commit(two)
    error = caught.value
    assert error.oid == one.root.node._p_oid
    assert error.class_name == "samples.objects.Node"
    assert error.serials == (one.root.node._p_serial, read)
    assert "samples.objects.Node" in str(error)
    abort(two)
    assert two.root.node.value == 3
    two.root.node.value = 4
    commit(two)
    one.sync()
    assert one.root.node.value == 4


def test_a_conflict_leaves_nothing_behind(one: Connection, two: Connection) -> None:
    one.root.node = Node(value=1)
    one.root.other = Node(value=1)
    commit(one)
    two.sync()
    two.root.other.value = 2
    two.root.node.value = 2
    one.root.node.value = 3
    commit(one)
    with pytest.raises(ConflictError):
        commit(two)
    abort(two)
    one.sync()
    assert one.root.other.value == two.root.other.value == 1


def test_a_class_can_resolve_its_conflicts(one: Connection, two: Connection) -> None:
    one.root.counter = Counter()
    commit(one)
    two.sync()
    two.root.counter.add(1)
    one.root.counter.add(10)
    commit(one)
    commit(two)
    assert two.root.counter.value == 11
    one.sync()
    assert one.root.counter.value == 11
    assert one.root.counter._p_serial == two.root.counter._p_serial


def test_an_object_resolved_once_can_be_changed_again(one: Connection, two: Connection) -> None:
    one.root.counter = Counter()
    commit(one)
    two.sync()
    for round_number in range(3):
        two.root.counter.add(1)
        one.root.counter.add(10)
        commit(one)
        commit(two)
        one.sync()
        assert one.root.counter.value == 11 * (round_number + 1)


def test_an_unresolvable_conflict_says_why(one: Connection, two: Connection) -> None:
    one.root.thing = Stubborn()
    commit(one)
    two.sync()
    two.root.thing.value = 1
    one.root.thing.value = 2
    commit(one)
    with pytest.raises(ConflictError, match="two drivers, one wheel"):
        commit(two)
    abort(two)


def test_trees_resolve_inserts_of_different_keys(one: Connection, two: Connection) -> None:
    one.root.tree = OOBTree({"a": 1})
    commit(one)
    two.sync()
    two.root.tree["b"] = 2
    one.root.tree["c"] = 3
    commit(one)
    commit(two)
    assert dict(two.root.tree) == {"a": 1, "b": 2, "c": 3}


def test_reading_can_be_relied_on(one: Connection, two: Connection) -> None:
    one.root.rule, one.root.node = Node(limit=1), Node(value=0)
    commit(one)
    two.sync()
    two.readCurrent(two.root.rule)
    two.root.node.value = two.root.rule.limit
    one.root.rule.limit = 0
    commit(one)
    with pytest.raises(ReadConflictError) as caught:
        commit(two)
    assert caught.value.oid == one.root.rule._p_oid
    assert caught.value.class_name == "samples.objects.Node"
    abort(two)
    assert two.root.rule.limit == 0


def test_reading_that_nobody_disturbed_commits(one: Connection, two: Connection) -> None:
    one.root.rule, one.root.node = Node(limit=1), Node(value=0)
    commit(one)
    two.sync()
    two.readCurrent(two.root.rule)
    two.root.node.value = 1
    commit(two)
    one.sync()
    assert one.root.node.value == 1


def test_a_historical_connection_shows_the_past_and_takes_no_changes(
    db: Database, one: Connection
) -> None:
    one.root.node = Node(value=1)
    commit(one)
    moment = db.lastTransaction()
    one.root.node.value = 2
    commit(one)
    manager = transaction.TransactionManager()
    past = db.open(manager, at=moment)
    assert past.root.node.value == 1
    assert past.isReadOnly()
    past.root.node.value = 3
    with pytest.raises(ReadOnlyHistoryError, match="open one without `at`"):
        manager.commit()
    manager.abort()
    assert past.root.node.value == 1
    past.close()


# The cache


def test_minimizing_makes_ghosts_and_keeps_changes(one: Connection) -> None:
    one.root.a, one.root.b = Node(value=1), Node(value=1)
    commit(one)
    one.root.a.value = 2
    b = one.root.b
    one.cacheMinimize()
    assert b._p_changed is None
    assert one.root.a.value == 2
    assert b.value == 1


def test_the_cache_shrinks_to_its_size(db: Database, connect: Connect) -> None:
    db.setCacheSize(10)
    connection = connect()
    connection.root.nodes = [Node(value=number) for number in range(100)]
    commit(connection)
    for node in connection.root.nodes:
        assert isinstance(node.value, int)
    connection.cacheGC()
    assert connection._cache.cache_non_ghost_count <= 10


def test_a_reset_gives_an_empty_cache_when_opened_again(db: Database, one: Connection) -> None:
    one.root.node = Node(name="a")
    commit(one)
    node = one.root.node
    one.close()
    resetCaches()
    again = db.open(transaction.TransactionManager())
    assert again is one
    assert again.root.node is not node
    assert again.root.node.name == "a"
    again.root.node.name = "b"
    commit(again)
    assert again.root.node._p_serial == db.lastTransaction()


def test_loads_and_stores_are_counted(one: Connection, two: Connection) -> None:
    one.getTransferCounts(True)
    two.root()
    two.getTransferCounts(True)
    one.root.node = Node()
    commit(one)
    assert one.getTransferCounts() == (1, 2)  # the root loaded; root and node stored
    assert one.getTransferCounts(True) == (1, 2)
    assert one.getTransferCounts() == (0, 0)


def test_prefetching_takes_objects_oids_and_lists_of_them(one: Connection) -> None:
    one.root.node = Node()
    commit(one)
    one.prefetch(one.root.node, [one.root.node._p_oid], iter([one.root.node]))
    assert one.root.node is not None


def test_one_object_can_take_the_place_of_another(one: Connection, two: Connection) -> None:
    one.root.node = old = Node(name="old")
    commit(one)
    new = Node(name="new")
    one.exchange(old, new)
    commit(one)
    two.sync()
    assert two.root.node.name == "new"


def test_debug_info_is_kept_until_closing(one: Connection) -> None:
    one.setDebugInfo("a", 1)
    one.setDebugInfo("b")
    assert one.getDebugInfo() == ("a", 1, "b")
    one.close()
    assert one.getDebugInfo() == ()


# Bad input


def test_what_cannot_be_pickled_is_named(one: Connection) -> None:
    one.root.node = Node(settings={"lock": threading.Lock()})
    with pytest.raises(UnpicklableError) as caught:
        commit(one)
    assert caught.value.class_name == "samples.objects.Node"
    assert "settings" in str(caught.value)
    assert "lock" in str(caught.value)
    abort(one)
    one.root.node = Node(name="fine")
    commit(one)


def test_a_record_is_limited_to_4_gigabytes(one: Connection) -> None:
    one.root.node = Node(data=bytes(1 << 32))
    with pytest.raises(RecordTooLargeError, match=r"samples\.objects\.Node"):
        commit(one)
    abort(one)
    assert "node" not in one.root()


def test_a_large_record_gets_a_warning(make_db: Callable[..., Database]) -> None:
    database = make_db(large_record_size=1000)
    large = r"samples\.objects\.Node object, oid 0x1, has 1\d\d\d"
    with pytest.warns(UserWarning, match=large), database.transaction() as connection:
        connection.root.node = Node(data=b"x" * 1000)


def test_a_state_that_is_refused_leaves_the_connection_usable(
    one: Connection, two: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.root.thing, one.root.node = RefusesItsState(), Node(name="fine")
    one.root.thing.value = 1
    commit(one)
    two.sync()
    thing = two.root.thing
    with pytest.raises(StateLoadError, match=r"RefusesItsState.*this state is not for me"):
        thing.value  # noqa: B018
    assert two.root.node.name == "fine"
    monkeypatch.setattr(RefusesItsState, "refusing", False)
    assert thing.value == 1


def test_an_oid_that_does_not_exist_is_a_key_error(one: Connection) -> None:
    with pytest.raises(POSKeyError, match="no object with oid 0x3039") as caught:
        one.get(p64(12345))
    assert caught.value.oid == p64(12345)


def test_an_object_that_is_created_later_is_a_conflict_until_the_next_transaction(
    db: Database, one: Connection, two: Connection
) -> None:
    two.root()  # its moment is before what follows
    one.root.node = Node(name="new")
    commit(one)
    oid = one.root.node._p_oid
    assert oid is not None
    with pytest.raises(ReadConflictError, match="begin another one") as caught:
        two.get(oid)
    assert caught.value.oid == oid
    two._cache.new_ghost(oid, ghost := Node.__new__(Node))
    with pytest.raises(ReadConflictError, match="begin another one"):
        ghost.name  # noqa: B018
    two.sync()
    assert two.get(oid).name == "new"


def test_an_object_that_was_created_later_is_missing_in_the_past(
    db: Database, one: Connection
) -> None:
    before = db.lastTransaction()
    one.root.node = Node(name="new")
    commit(one)
    past = db.open(transaction.TransactionManager(), at=before)
    with pytest.raises(POSKeyError):
        past.get(one.root.node._p_oid)
    past.close()


def test_a_missing_object_says_from_where_it_was_reached(db: Database, one: Connection) -> None:
    one.root.shelf = Node(book=Node(title="a"))
    commit(one)
    shelf, book = one.root.shelf, one.root.shelf.book
    with db.transaction() as connection:
        connection.add(gone := Node())
        metadata = connection.transaction_manager.get()
        assert metadata is not None
        oid = gone._p_oid
    assert oid is not None
    # The book's record disappears under the feet of everybody.
    _delete(db, book._p_oid)
    one.cacheMinimize()
    one.sync()
    one.cacheMinimize()
    with pytest.raises(POSKeyError) as caught:
        one.root.shelf.book.title  # noqa: B018
    error = caught.value
    assert error.oid == book._p_oid
    assert error.class_name == "samples.objects.Node"
    assert error.referrer_oid == shelf._p_oid
    assert error.referrer_class == "samples.objects.Node"


def _delete(db: Database, oid: bytes) -> None:
    from perdure.interfaces import TransactionMetaData

    snapshot = db.new_snapshot(None)
    snapshot.poll_invalidations()
    serial = snapshot.load(oid).tid
    metadata = TransactionMetaData()
    snapshot.tpc_begin(metadata)
    snapshot.deleteObject(oid, serial, metadata)
    snapshot.tpc_vote(metadata)
    snapshot.tpc_finish(metadata)


def test_a_closed_connection_refuses_everything(one: Connection) -> None:
    one.root.node = node = Node(name="a")
    commit(one)
    one.cacheMinimize()
    one.close()
    with pytest.raises(ConnectionStateError, match="is closed; open another one"):
        node.name  # noqa: B018
    with pytest.raises(ConnectionStateError, match="is closed"):
        one.get(ROOT_OID)
    with pytest.raises(ConnectionStateError, match="is closed"):
        one.root()
    with pytest.raises(ConnectionStateError, match="is closed"):
        one.add(Node())
    one.close()  # again: nothing to do


def test_a_loaded_object_of_a_closed_connection_cannot_be_changed(one: Connection) -> None:
    one.root.node = node = Node(name="a")
    commit(one)
    one.close()
    with pytest.raises(ConnectionStateError, match="is closed"):
        node.name = "b"


def test_a_connection_with_changes_cannot_be_closed(one: Connection) -> None:
    one.root.node = Node()
    with pytest.raises(ConnectionStateError, match="neither committed nor aborted"):
        one.close()
    abort(one)
    one.close()


def test_a_second_thread_inside_a_connection_is_refused(one: Connection) -> None:
    one.root.slow = Slow("a")
    commit(one)
    one.cacheMinimize()
    Slow.inside, Slow.leave = threading.Event(), threading.Event()
    names = []
    thread = threading.Thread(target=lambda: names.append(one.root.slow.name))
    thread.start()
    assert Slow.inside.wait(30)
    try:
        with pytest.raises(ConnectionStateError, match="another thread is using it"):
            one.get(p64(1))
        with pytest.raises(ConnectionStateError, match="another thread is using it"):
            one.add(Node())
        with pytest.raises(ConnectionStateError, match="another thread is using it"):
            one.setstate(one.root())
    finally:
        Slow.leave.set()
        thread.join(30)
    assert names == ["a"]


def test_a_connection_may_pass_from_one_thread_to_another(one: Connection) -> None:
    one.root.node = Node(name="a")
    commit(one)
    one.cacheMinimize()
    names = []
    thread = threading.Thread(target=lambda: names.append(one.root.node.name))
    thread.start()
    thread.join(30)
    assert names == ["a"]


def test_joining_twice_by_hand_is_refused(one: Connection) -> None:
    one.root.node = Node()
    one.transaction_manager.get().join(one)
    with pytest.raises(ConnectionStateError, match="joined to its transaction twice"):
        commit(one)
    abort(one)
    one.root.node = Node()
    commit(one)


def test_an_object_of_another_connection_is_refused_with_the_way_to_it(
    one: Connection, two: Connection
) -> None:
    one.root.node = Node(name="a")
    commit(one)
    two.sync()
    two.root.outer = Node(inner=Node(things={"x": [one.root.node]}))
    with pytest.raises(InvalidObjectReference) as caught:
        commit(two)
    text = str(caught.value)
    assert text.startswith("oid 0x")
    assert repr(one) in text
    assert repr(two) in text
    assert "things" in text
    assert "'x'" in text
    # From the root over the outer to the inner node.
    assert len(caught.value.trail) == 3
    assert "PersistentMapping" in caught.value.trail[0]
    abort(two)
    assert "outer" not in two.root()
    two.root.outer = Node(name="fine")
    commit(two)


def test_adding_an_object_of_another_connection_is_refused(
    one: Connection, two: Connection
) -> None:
    one.root.node = Node()
    commit(one)
    with pytest.raises(InvalidObjectReference, match="belongs to"):
        two.add(one.root.node)


def test_a_close_callback_that_fails_is_logged(
    one: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    called = []
    one.onCloseCallback(lambda: called.append("first"))
    one.onCloseCallback(lambda: 1 / 0)
    one.onCloseCallback(lambda: called.append("last"))
    with caplog.at_level(logging.ERROR):
        one.close()
    assert called == ["first", "last"]
    assert "close callback" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_explicit_transaction_manager_moves_when_it_begins(
    db: Database, one: Connection
) -> None:
    one.root.node = Node(value=1)
    commit(one)
    manager = transaction.TransactionManager(explicit=True)
    reader = db.open(manager)
    manager.begin()
    assert reader.root.node.value == 1
    one.root.node.value = 2
    commit(one)
    assert reader.root.node.value == 1
    manager.commit()
    manager.begin()
    assert reader.root.node.value == 2
    manager.abort()
    reader.close()


def test_an_explicit_manager_without_a_transaction_is_named(db: Database) -> None:
    manager = transaction.TransactionManager(explicit=True)
    connection = db.open(manager)
    with pytest.raises(ConnectionStateError, match=r"no transaction was begun; call begin\(\)"):
        connection.root()
    manager.begin()
    assert dict(connection.root()) == {}
    manager.abort()
    connection.close()


def test_relying_on_an_object_is_nothing_to_commit(one: Connection, two: Connection) -> None:
    one.root.rule = Node(limit=1)
    commit(one)
    two.sync()
    two.readCurrent(two.root.rule)
    one.root.rule.limit = 2
    commit(one)
    last = one.db().lastTransaction()
    commit(two)  # nothing changed here, so nothing depends on what was read
    assert one.db().lastTransaction() == last


def test_an_object_that_is_added_and_changed_is_stored_once(one: Connection) -> None:
    one.getTransferCounts(True)
    node = Node(value=1)
    one.add(node)
    node.value = 2
    commit(one)
    assert one.getTransferCounts()[1] == 1
    one.cacheMinimize()
    assert node.value == 2
