"""Classes that are stored in the database themselves, and their instances."""

from collections.abc import Callable
from typing import Any

import pytest
import transaction
from persistent import Persistent
from persistent.mapping import PersistentMapping

from perdure.objects import Connection, Database
from perdure.objects.persistentclass import PersistentMetaClass
from perdure.records import find_global
from perdure.storages.memory import MappingStorage


def from_the_database(connection: Connection, module: str, name: str) -> Any:
    if module == "__stored__":
        return connection.root()["classes"][name]
    return find_global(module, name)


@pytest.fixture
def db(make_db: Callable[..., Database]) -> Database:
    database = make_db(MappingStorage(), class_factory=from_the_database)
    thing = PersistentMetaClass(
        "Thing", (Persistent,), {"__module__": "__stored__", "greeting": "hello", "size": len}
    )
    with database.transaction() as connection:
        connection.root.classes = PersistentMapping(Thing=thing)
        connection.root.things = PersistentMapping(first=thing())
        connection.root.things["first"].name = "first"
    return database


def connect(db: Database) -> Connection:
    return db.open(transaction.TransactionManager())


def test_a_class_is_stored_with_what_it_holds(db: Database) -> None:
    thing = connect(db).root.classes["Thing"]
    assert (thing.__name__, thing.__module__, thing.greeting) == ("Thing", "__stored__", "hello")
    assert thing.size("four") == 4
    assert thing._p_oid is not None
    assert issubclass(thing, Persistent)


def test_instances_are_of_the_class_in_their_own_connection(db: Database) -> None:
    one, two = connect(db), connect(db)
    assert type(one.root.things["first"]) is one.root.classes["Thing"]
    assert one.root.classes["Thing"] is not two.root.classes["Thing"]
    assert two.root.things["first"].name == "first"


def test_a_change_of_a_class_is_a_change_like_any_other(db: Database) -> None:
    one, two = connect(db), connect(db)
    mine, theirs = one.root.classes["Thing"], two.root.classes["Thing"]
    mine.greeting = "good day"
    assert mine._p_changed
    assert theirs.greeting == "hello"
    one.transaction_manager.commit()
    assert theirs.greeting == "hello"
    two.sync()
    assert theirs.greeting == "good day"
    assert two.root.things["first"].greeting == "good day"
    assert mine._p_serial == theirs._p_serial == db.lastTransaction()


def test_abort_and_rollback_take_changes_of_a_class_back(db: Database) -> None:
    one = connect(db)
    thing = one.root.classes["Thing"]
    thing.greeting = "good day"
    savepoint = one.transaction_manager.savepoint()
    thing.greeting = "good night"
    savepoint.rollback()
    assert thing.greeting == "good day"
    one.transaction_manager.abort()
    assert thing.greeting == "hello"


def test_a_class_that_was_never_committed_is_a_stranger_after_abort(db: Database) -> None:
    one = connect(db)
    other = PersistentMetaClass("Other", (Persistent,), {"__module__": "__stored__"})
    one.root.classes["Other"] = other
    one.transaction_manager.savepoint()
    one.transaction_manager.abort()
    assert (other._p_oid, other._p_jar) == (None, None)
    assert "Other" not in one.root.classes


def test_a_class_survives_minimizing_the_cache(db: Database) -> None:
    one = connect(db)
    thing = one.root.classes["Thing"]
    one.cacheMinimize()
    assert thing.greeting == "hello"
    assert one.root.things["first"].name == "first"
