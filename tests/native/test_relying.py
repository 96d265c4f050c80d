"""What a connection is told to rely on, in C, compared with what Python does."""

from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from typing import Any

import pytest
import transaction

from perdure import DB, PersistentMapping, native
from perdure.errors import ConnectionStateError
from perdure.ids import ZERO
from perdure.objects.registration import Registration

pytestmark = pytest.mark.skipif(not native.relying, reason="it is not in use")


@pytest.fixture
def connection() -> Iterator[Any]:
    manager = transaction.TransactionManager()
    with closing(DB(None)) as db, closing(db.open(manager)) as connection:
        for name in "abc":
            connection.root()[name] = PersistentMapping(name=name)
        manager.commit()
        yield connection
        manager.abort()


def functions(connection: Any) -> list[Any]:
    registration: Registration = connection._registration
    assert connection.readCurrent == registration.rely_on != registration._rely_on
    return [registration.rely_on, registration._rely_on]


def noted(connection: Any, rely_on: Any, *objects: Any) -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = connection._changes.read_current
    known.clear()
    for obj in objects:
        assert rely_on(obj) is None
    return dict(known)


def test_objects_are_noted_by_oid_with_the_serial_that_was_read(connection: Any) -> None:
    root = connection.root()
    ghost = root["b"]
    ghost._p_deactivate()
    for rely_on in functions(connection):
        ghost._p_deactivate()
        found = noted(connection, rely_on, root["a"], root["a"], ghost)
        assert found == {root["a"]._p_oid: root["a"]._p_serial, ghost._p_oid: ghost._p_serial}
        assert ghost._p_changed is False  # it was loaded for it


def test_a_serial_that_is_another_by_now_replaces_the_one_before(connection: Any) -> None:
    obj = connection.root()["a"]
    for rely_on in functions(connection):
        noted(connection, rely_on, obj)
        for known in (ZERO, b"short", None, obj._p_serial):
            connection._changes.read_current[obj._p_oid] = known
            rely_on(obj)
            assert connection._changes.read_current == {obj._p_oid: obj._p_serial}


def test_new_objects_and_those_of_others_are_not_noted(connection: Any) -> None:
    added = PersistentMapping()
    connection.add(added)
    with closing(DB(None)) as db, closing(db.open(transaction.TransactionManager())) as other:
        for rely_on in functions(connection):
            objects = (added, PersistentMapping(), other.root())
            assert noted(connection, rely_on, *objects) == {}


def test_what_is_not_persistent_is_an_error(connection: Any) -> None:
    for rely_on in functions(connection):
        with pytest.raises(AttributeError, match="_p_jar"):
            rely_on(5)


def test_a_closed_connection_refuses(connection: Any) -> None:
    obj = connection.root()["a"]
    connection.transaction_manager.abort()
    found = functions(connection)
    connection.close()
    for rely_on in found:
        with pytest.raises(ConnectionStateError, match="cannot rely on an object of"):
            rely_on(obj)
    connection.open(connection.transaction_manager)


def test_another_thread_is_refused_while_one_is_inside(connection: Any) -> None:
    obj = connection.root()["a"]
    refused: list[str] = []

    def try_it(rely_on: Any) -> None:
        try:
            rely_on(obj)
        except ConnectionStateError as error:
            refused.append(str(error))

    for rely_on in functions(connection):
        with connection._turn("stay in"):
            rely_on(obj)  # this thread may
            thread = Thread(target=try_it, args=(rely_on,))
            thread.start()
            thread.join(10)
    assert len(refused) == 2
    assert all("another thread is using it" in message for message in refused)
