"""Databases to change and throw away, without pytest's fixtures."""

import threading
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import transaction

import perdure
from perdure.errors import ReadOnlyError, StorageError
from perdure.interfaces import TransactionMetaData
from perdure.objects.connection import Connection
from perdure.opening import parse
from perdure.storages import MappingStorage
from perdure.testing import Layer, LeftBehindWarning, build_file, layer


def fill(connection: Connection) -> None:
    connection.root.numbers = perdure.PersistentList([1, 2, 3])


def numbers(db: perdure.DB) -> list[int]:
    with db.transaction() as connection:
        return list(connection.root.numbers)


def append(db: perdure.DB, number: int) -> None:
    with db.transaction() as connection:
        connection.root.numbers.append(number)


@pytest.fixture
def base() -> Iterator[perdure.DB]:
    db = perdure.DB(None)
    with db.transaction() as connection:
        fill(connection)
    yield db
    db.close()


def test_changes_to_a_layer_are_gone_with_it(base: perdure.DB) -> None:
    with layer(base) as opened:
        append(opened.db, 4)
        assert numbers(opened.db) == [1, 2, 3, 4]
    with layer(base) as opened:
        assert numbers(opened.db) == [1, 2, 3]
    assert numbers(base) == [1, 2, 3]


def test_push_and_pop_go_up_and_down(base: perdure.DB) -> None:
    with layer(base) as opened:
        append(opened.db, 4)
        opened.push()
        append(opened.db, 5)
        opened.push(lambda connection: connection.root.numbers.append(6))
        assert numbers(opened.db) == [1, 2, 3, 4, 5, 6]
        opened.pop()
        assert numbers(opened.db) == [1, 2, 3, 4, 5]
        opened.pop()
        assert numbers(opened.db) == [1, 2, 3, 4]


def test_the_lowest_database_of_a_layer_cannot_be_popped(base: perdure.DB) -> None:
    with layer(base, name="the shop") as opened:
        with pytest.raises(StorageError, match="the shop has nothing to pop"):
            opened.pop()
        assert numbers(opened.db) == [1, 2, 3]


def test_a_closed_layer_has_no_database_and_closes_again_without_harm(base: perdure.DB) -> None:
    opened = Layer(base, "the shop")
    opened.close()
    opened.close()
    with pytest.raises(StorageError, match="the shop is closed"):
        _ = opened.db
    assert numbers(base) == [1, 2, 3]


def test_without_a_base_a_layer_is_an_empty_database() -> None:
    with layer() as opened, opened.db.transaction() as connection:
        assert list(connection.root()) == []


def test_a_layer_stands_on_a_storage_and_leaves_it_open() -> None:
    storage = MappingStorage()
    perdure.DB(storage)
    with layer(storage) as opened, opened.db.transaction() as connection:
        connection.root.more = 1
    with perdure.DB(storage).transaction() as connection:
        assert "more" not in connection.root()


def test_a_layer_stands_on_the_topmost_database_of_another(base: perdure.DB) -> None:
    with layer(base) as below:
        append(below.db, 4)
        with layer(below) as above:
            append(above.db, 5)
            assert numbers(above.db) == [1, 2, 3, 4, 5]
        assert numbers(below.db) == [1, 2, 3, 4]


@pytest.mark.parametrize("as_parsed", [False, True])
def test_a_layer_on_an_address_opens_the_file_for_reading_and_closes_it(
    tmp_path: Path, as_parsed: bool
) -> None:
    address = build_file(tmp_path / "base.fs", fill)
    base = parse(address, read_only=True) if as_parsed else address
    before = (tmp_path / "base.fs").read_bytes()
    with layer(base) as one, layer(base) as other:  # no lock keeps the second one out
        append(one.db, 4)
        assert numbers(other.db) == [1, 2, 3]
        with pytest.raises(ReadOnlyError):
            one.db.storage.base.tpc_begin(TransactionMetaData())
    assert (tmp_path / "base.fs").read_bytes() == before


def test_a_layer_whose_first_database_cannot_be_made_closes_what_it_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Layer(tmp_path / "missing.fs")


def test_a_fill_that_fails_pushes_nothing(base: perdure.DB) -> None:
    with layer(base) as opened:
        with pytest.raises(ZeroDivisionError):
            opened.push(lambda connection: 1 / 0)
        append(opened.db, 4)
        assert numbers(opened.db) == [1, 2, 3, 4]


def test_threads_share_the_database_of_a_layer(base: perdure.DB) -> None:
    with layer(base) as opened:
        threads = [
            threading.Thread(
                target=opened.db.run, args=(lambda c, n=n: c.root.__setattr__(f"t{n}", n),)
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        with opened.db.transaction() as connection:
            assert {f"t{n}" for n in range(4)} < set(connection.root())


# What is left behind


def test_a_connection_left_open_is_named_with_the_place_where_it_was_opened(
    base: perdure.DB,
) -> None:
    opened = Layer(base, "test_of_the_shop")
    connection = opened.open(transaction.TransactionManager())
    with pytest.warns(LeftBehindWarning) as caught:
        opened.close()
    [message] = [str(warning.message) for warning in caught]
    assert message.startswith("test_of_the_shop: a connection that was opened at ")
    assert f"{__file__}:" in message
    assert connection.opened is None


def test_changes_that_were_not_committed_are_named_by_class_and_oid(base: perdure.DB) -> None:
    opened = Layer(base, "test_of_the_shop")
    opened.push()
    connection = opened.open(transaction.TransactionManager())
    connection.root.numbers.append(4)
    with pytest.warns(LeftBehindWarning) as caught:
        opened.pop(expected=[connection])
    [message] = [str(warning.message) for warning in caught]
    assert "its connection has changes that were neither committed nor aborted" in message
    assert "persistent.list.PersistentList (oid 0x" in message
    opened.close()


def test_many_changes_are_named_in_part(base: perdure.DB) -> None:
    opened = Layer(base)
    connection = opened.open(transaction.TransactionManager())
    for _ in range(7):
        connection.add(perdure.PersistentMapping())
    with pytest.warns(LeftBehindWarning, match="and 2 more"):
        opened.close(expected=[connection])


def test_a_transaction_that_was_joined_without_changes_is_told(base: perdure.DB) -> None:
    opened = Layer(base)
    connection = opened.open(transaction.TransactionManager())
    connection.root.numbers.append(4)
    connection.transaction_manager.savepoint()
    with pytest.warns(LeftBehindWarning, match="takes part in a transaction that was neither"):
        opened.close(expected=[connection])


def test_nothing_is_said_of_a_layer_that_was_left_clean(base: perdure.DB) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = Layer(base)
        connection = opened.open(transaction.TransactionManager())
        connection.root.numbers.append(4)
        connection.transaction_manager.commit()
        opened.close(expected=[connection])


def test_a_layer_serves_unittest(base: perdure.DB) -> None:
    class ShopTest(unittest.TestCase):
        @classmethod
        def setUpClass(cls) -> None:
            cls.layer = cls.enterClassContext(layer(base, name="ShopTest"))

        def setUp(self) -> None:
            self.layer.push()
            self.addCleanup(self.layer.pop)

        def test_append(self) -> None:
            append(self.layer.db, 4)
            assert numbers(self.layer.db) == [1, 2, 3, 4]

        def test_other(self) -> None:
            append(self.layer.db, 5)
            assert numbers(self.layer.db) == [1, 2, 3, 5]

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(ShopTest).run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), result.failures + result.errors
