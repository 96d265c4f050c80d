"""Objects that are loaded, committed and aborted leave nothing behind in memory."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import transaction

from perdure.ids import ZERO
from perdure.objects import Connection, Database
from perdure.storages.file import FileStorage
from samples.objects import Node

AT_A_TIME = 100
WARMING_UP = 70  # rounds: the journal of commits keeps up to 64 of them
SLACK = 9_000
"""Blocks, and references, that may come and go; one for each object would be 20,000."""

SHARED = (None, True, False, ZERO, Node, b"", 0)
"""What a missing decrement would leak references of, though no memory."""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database = Database(FileStorage(str(tmp_path / "memory.fs")), cache_size=2 * AT_A_TIME)
    connection = database.open(transaction.TransactionManager())
    connection.root.nodes = [Node(number=0, other=Node()) for _ in range(AT_A_TIME)]
    connection.transaction_manager.commit()
    yield connection
    connection.transaction_manager.abort()
    connection.close()
    database.close()


def change(connection: Connection) -> None:
    for node in connection.root.nodes:
        node.number += 1


def load_and_commit(connection: Connection) -> None:
    connection.cacheMinimize()
    change(connection)
    connection.transaction_manager.commit()


def abort_changes(connection: Connection) -> None:
    change(connection)
    connection.transaction_manager.abort()


def abort_new_objects(connection: Connection) -> None:
    for node in connection.root.nodes:
        node.new = Node(name="new", back=node)
        connection.add(Node())
    connection.transaction_manager.savepoint(optimistic=True)
    connection.transaction_manager.abort()


def fail_to_commit(connection: Connection) -> None:
    for node in connection.root.nodes:
        node.new = Node()
    connection.root.nodes[-1].new.refused = sys  # a module cannot be stored
    with pytest.raises(TypeError):
        connection.transaction_manager.commit()
    connection.transaction_manager.abort()


def roll_back(connection: Connection) -> None:
    savepoint = connection.transaction_manager.savepoint()
    change(connection)
    connection.transaction_manager.savepoint()
    savepoint.rollback()
    connection.transaction_manager.abort()


WORK = (load_and_commit, abort_changes, abort_new_objects, fail_to_commit, roll_back)


def in_use() -> list[int]:
    gc.collect()
    return [sys.getallocatedblocks(), *map(sys.getrefcount, SHARED)]


@pytest.mark.parametrize(
    "objects", [100_000, pytest.param(10_000_000, marks=pytest.mark.slow)], ids="{:,}".format
)
def test_memory_stays_bounded(connection: Connection, objects: int) -> None:
    rounds = objects // (AT_A_TIME * len(WORK))
    for number in range(-WARMING_UP, rounds):
        if number == 0:
            before = in_use()  # all that is kept once is there by now
        for work in WORK:
            work(connection)
        if number % 1_000 == 999:
            connection.db().pack()
    grown = [now - then for now, then in zip(in_use(), before, strict=True)]
    assert all(count < SLACK for count in grown), grown
    assert connection._cache.cache_non_ghost_count <= 4 * AT_A_TIME


def test_connections_go_with_all_that_they_hold(tmp_path: Path) -> None:
    database = Database(FileStorage(str(tmp_path / "memory.fs")), pool_size=1)
    kept = []
    for _ in range(6):
        open_ones = [database.open(transaction.TransactionManager()) for _ in range(5)]
        for connection in open_ones:
            connection.root.node = Node()
            connection.transaction_manager.abort()
            connection.close()
        del connection, open_ones
        gc.collect()
        kept.append(sum(isinstance(each, Connection) for each in gc.get_objects()))
    assert max(kept) == min(kept)
    database.close()
