from collections.abc import Callable
from typing import Any

import pytest
import transaction
from persistent.wref import WeakRef

from perdure.errors import ConnectionStateError, InvalidObjectReference, POSKeyError
from perdure.objects import Connection, Database
from perdure.storages.memory import MappingStorage
from samples.objects import Node, WithNewArgs


class Failing(MappingStorage):
    """Votes no, once it is told to."""

    failing = False

    def tpc_vote(self, transaction: Any) -> list[bytes]:
        if self.failing:
            raise RuntimeError("no")
        return super().tpc_vote(transaction)


@pytest.fixture
def databases(make_db: Callable[..., Database]) -> dict[str, Database]:
    databases: dict[str, Database] = {}
    for name in ("one", "two", "three"):
        make_db(database_name=name, databases=databases)
    return databases


@pytest.fixture
def one(databases: dict[str, Database]) -> Connection:
    return databases["one"].open(transaction.TransactionManager())


@pytest.fixture
def two(one: Connection) -> Connection:
    return one.get_connection("two")


def fresh(databases: dict[str, Database]) -> Connection:
    return databases["one"].open(transaction.TransactionManager())


def test_connections_know_each_other(one: Connection, two: Connection) -> None:
    assert two.db().database_name == "two"
    assert two.get_connection("one") is one
    assert one.get_connection("two") is two
    three = two.get_connection("three")
    assert one.connections is two.connections is three.connections
    assert set(one.connections) == {"one", "two", "three"}


def test_an_unknown_database_is_named_with_those_there_are(one: Connection) -> None:
    with pytest.raises(ConnectionStateError, match=r"no database 'four'.*'one', 'three', 'two'"):
        one.get_connection("four")


def test_a_name_can_be_taken_once(
    make_db: Callable[..., Database], databases: dict[str, Database]
) -> None:
    with pytest.raises(ValueError, match="'one' already in databases"):
        make_db(database_name="one", databases=databases)


def test_two_databases_commit_together(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    one.root.node, two.root.node = Node(value=1), Node(value=2)
    one.transaction_manager.commit()
    other = fresh(databases)
    assert other.root.node.value == 1
    assert other.get_connection("two").root.node.value == 2


def test_two_databases_abort_together(make_db: Callable[..., Database]) -> None:
    databases: dict[str, Database] = {}
    make_db(database_name="good", databases=databases)
    bad = Failing()
    make_db(bad, database_name="bad", databases=databases)
    bad.failing = True
    good = databases["good"].open(transaction.TransactionManager())
    good.root.node = Node()
    good.get_connection("bad").root.node = Node()
    with pytest.raises(RuntimeError, match="no"):
        good.transaction_manager.commit()
    good.transaction_manager.abort()
    assert "node" not in good.root()
    assert "node" not in good.get_connection("bad").root()
    again = databases["good"].open(transaction.TransactionManager())
    assert "node" not in again.root()
    again.root.node = Node()
    again.transaction_manager.commit()
    assert "node" in again.root()


def test_a_reference_leads_from_one_database_to_another(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    two.root.target = target = Node(name="target")
    one.transaction_manager.commit()
    one.root.source = Node(target=target)
    one.transaction_manager.commit()
    other = fresh(databases)
    found = other.root.source.target
    assert found.name == "target"
    assert found._p_jar is other.get_connection("two")
    assert found is other.get_connection("two").root.target


def test_a_new_object_is_referred_to_once_it_was_added_on_purpose(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    target = Node(name="target")
    two.add(target)
    one.root.source = Node(target=target)
    one.transaction_manager.commit()
    assert fresh(databases).root.source.target.name == "target"


def test_an_object_with_new_arguments_is_referred_to_by_oid_alone(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    two.root.target = target = WithNewArgs("target")
    one.transaction_manager.commit()
    one.root.source = Node(target=target)
    one.transaction_manager.commit()
    found = fresh(databases).root.source.target
    assert found.name == "target"


def test_a_weak_reference_leads_to_another_database(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    two.root.target = target = Node(name="target")
    one.transaction_manager.commit()
    one.root.weak = Node(ref=WeakRef(target))
    one.transaction_manager.commit()
    other = fresh(databases)
    assert other.root.weak.ref() is other.get_connection("two").root.target


def test_a_new_object_reachable_from_two_databases_is_refused(
    one: Connection, two: Connection
) -> None:
    shared = Node()
    one.root.shared = shared
    two.root.shared = shared
    with pytest.raises(InvalidObjectReference, match="reachable from two databases"):
        one.transaction_manager.commit()
    one.transaction_manager.abort()
    assert shared._p_jar is None


def test_a_new_object_saved_from_two_databases_is_refused(one: Connection, two: Connection) -> None:
    shared = Node()
    one.root.shared = shared
    one.transaction_manager.savepoint()
    two.root.shared = shared
    with pytest.raises(InvalidObjectReference, match="reachable from two databases"):
        one.transaction_manager.commit()
    one.transaction_manager.abort()


def test_references_across_can_be_forbidden(make_db: Callable[..., Database]) -> None:
    databases: dict[str, Database] = {}
    make_db(database_name="one", databases=databases, xrefs=False)
    make_db(database_name="two", databases=databases)
    one = databases["one"].open(transaction.TransactionManager())
    one.get_connection("two").root.target = target = Node()
    one.transaction_manager.commit()
    one.root.source = target
    with pytest.raises(InvalidObjectReference, match=r"xrefs=False"):
        one.transaction_manager.commit()
    one.transaction_manager.abort()


def test_an_object_of_a_stranger_to_the_group_is_refused(
    databases: dict[str, Database], one: Connection
) -> None:
    stranger = databases["two"].open(transaction.TransactionManager())
    stranger.root.node = node = Node()
    stranger.transaction_manager.commit()
    one.get_connection("two")
    one.root.node = node
    with pytest.raises(InvalidObjectReference, match="belongs to <connection to 'two'"):
        one.transaction_manager.commit()
    one.transaction_manager.abort()


def test_a_missing_object_of_another_database_is_a_key_error(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    with pytest.raises(POSKeyError):
        two.get(b"\0" * 7 + b"\x7f")


def test_the_group_is_closed_and_opened_together(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    one.close()
    assert (one.opened, two.opened) == (None, None)
    again = databases["one"].open(transaction.TransactionManager())
    assert again is one
    assert two.opened is not None
    assert again.get_connection("two") is two
    assert two.transaction_manager is again.transaction_manager


def test_a_historical_connection_has_a_historical_group(
    databases: dict[str, Database], one: Connection, two: Connection
) -> None:
    one.root.node, two.root.node = Node(value=1), Node(value=1)
    one.transaction_manager.commit()
    moment = max(database.lastTransaction() for database in databases.values())
    one.root.node.value = two.root.node.value = 2
    one.transaction_manager.commit()
    past = databases["one"].open(transaction.TransactionManager(), at=moment)
    assert past.root.node.value == 1
    assert past.get_connection("two").root.node.value == 1
    past.close()


def test_two_storages_in_memory_are_locked_in_one_order(
    make_db: Callable[..., Database],
) -> None:
    first, second = MappingStorage(), MappingStorage()
    assert first.sortKey() < second.sortKey()
    databases: dict[str, Database] = {}
    make_db(first, database_name="first", databases=databases)
    make_db(second, database_name="second", databases=databases)
    for _ in range(5):
        one = databases["second"].open(transaction.TransactionManager())
        keys = [one.get_connection(name).sortKey() for name in ("first", "second")]
        assert keys == sorted(keys)
