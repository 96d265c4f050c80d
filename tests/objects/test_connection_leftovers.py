"""What a connection says of work that is not done."""

import transaction

from perdure import DB, PersistentMapping


def test_uncommitted_are_the_objects_changed_since_the_last_commit_abort_or_savepoint() -> None:
    db = DB(None)
    connection = db.open(transaction.TransactionManager())
    manager = connection.transaction_manager
    root = connection.root()
    assert connection.uncommitted() == []

    root["one"] = one = PersistentMapping()
    connection.add(one)
    assert connection.uncommitted() == [root, one]

    manager.savepoint()
    assert connection.uncommitted() == []
    one["two"] = 2
    assert connection.uncommitted() == [one]
    manager.commit()
    assert connection.uncommitted() == []
    connection.close()
    db.close()


def test_a_connection_has_joined_from_its_first_change_to_the_end_of_the_transaction() -> None:
    db = DB(None)
    connection = db.open(transaction.TransactionManager())
    assert not connection.has_joined
    connection.root.value = 1
    assert connection.has_joined
    connection.transaction_manager.abort()
    assert not connection.has_joined
    connection.close()
    db.close()


def test_open_connections_are_those_in_use_also_to_the_past() -> None:
    db = DB(None)
    assert db.open_connections() == []
    present, past = db.open(), db.open(at=db.lastTransaction())
    assert set(db.open_connections()) == {present, past}
    present.close()
    assert db.open_connections() == [past]
    past.close()
    assert db.open_connections() == []
    db.close()
