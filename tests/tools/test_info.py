import perdure
from perdure.storages.memory import MappingStorage
from perdure.tools.info import describe


def test_an_empty_storage_has_neither_first_nor_last_transaction() -> None:
    info = describe(MappingStorage("empty"))
    assert (info.name, info.object_count) == ("empty", 0)
    assert (info.first_tid, info.last_tid) == (None, None)


def test_the_first_and_the_last_transaction_are_told() -> None:
    storage = MappingStorage()
    with perdure.DB(storage) as db:
        first = db.lastTransaction()
        with db.transaction() as connection:
            connection.root.x = 1
        info = describe(storage)
        assert (info.first_tid, info.last_tid) == (first, db.lastTransaction())
        assert info.object_count == 1


def test_capabilities_are_those_that_the_storage_declares() -> None:
    assert "undo" in describe(MappingStorage()).capabilities
    assert "mvcc" not in describe(MappingStorage()).capabilities
