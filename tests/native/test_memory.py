"""Memory stays bounded however many objects are loaded, committed and aborted."""

import enum
import gc
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

import pytest
import transaction
from BTrees.IOBTree import IOBTree

from perdure import DB, FileStorage
from perdure.errors import POSKeyError, StateLoadError, UnpicklableError
from perdure.ids import p64
from perdure.records.opcodes import memo_overflow
from perdure.storages.file.blocks import KEPT_BYTES
from samples.record_corpus import damaged
from samples.records_generated import graph, tricked
from samples.records_jar import Jar
from samples.records_objects import Node, Point

OBJECTS = 500


class Colour(enum.Enum):
    RED = 1


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a connection and objects of several shapes that it has stored."""
    db = DB(FileStorage(str(tmp_path / "data.fs")))
    connection = db.open(transaction.TransactionManager())
    tree = connection.root.tree = IOBTree()
    for number in range(OBJECTS):
        tree[number] = Node(number=number, text="x" * 50, values=[number, (1.5, b"bytes")])
    connection.transaction_manager.commit()
    yield connection, list(tree.values())
    connection.transaction_manager.abort()
    connection.close()
    db.close()


def one_round(connection: Any, nodes: list[Any], number: int) -> None:
    """Commit, load again and abort changes of all objects; among what is written, new ones."""
    manager = connection.transaction_manager
    for node in nodes:
        node.number = number
        node.point = Point(number, [datetime(2026, 1, 1)])  # reduced in C, and by the pickler
        node.values = [number, {"key": (number, "text")}]
        if node.number % 10 == 0:
            node.friend = Node(back=node)
    manager.commit()
    connection.cacheMinimize()
    assert sum(node.number for node in nodes) == number * len(nodes)
    for node in nodes:
        node.number = Node()
        node.cannot = [node, {"be": "kept"}]
    manager.abort()
    connection.cacheMinimize()
    if number % 200 == 0:
        connection.db().pack()


def blocks_after(connection: Any, nodes: list[Any], rounds: range) -> int:
    """Return how many blocks of memory are in use after these rounds."""
    for number in rounds:
        one_round(connection, nodes, number)
    # The storage remembers the records of the last 64 transactions, unless one is large.
    for new in ([Node() for _ in range(2 * OBJECTS)], None):
        connection.root.many = new
        connection.transaction_manager.commit()
    del new
    connection._cache.full_sweep()
    gc.collect()
    return sys.getallocatedblocks()


def bounded(connection: Any, nodes: list[Any], objects: int) -> None:
    rounds = objects // (3 * OBJECTS)
    before = blocks_after(connection, nodes, range(1, 2 + rounds // 10))
    after = blocks_after(connection, nodes, range(1, rounds))
    # A block lost with each object, or each commit of one, would be many more. What the storage
    # keeps of its file is in pieces of a page.
    kept = KEPT_BYTES // 4096
    assert after - before < 2000 + kept + objects // 100, (before, after)


def test_a_hundred_thousand_objects_take_no_memory_when_they_are_gone(nodes: Any) -> None:
    bounded(*nodes, 100_000)


def test_records_that_fail_or_are_handed_over_take_no_memory() -> None:
    chance = Random(20261121)
    jar = Jar()
    for seed in range(5, 10):
        jar.store(graph(seed))
    spoilt = [
        spoil
        for record in jar.records.values()
        for _ in range(8)
        for spoil in (damaged(chance, record), tricked(record, chance))
        if not memo_overflow(spoil, 2)
    ]
    again = jar.reopened()

    def read_all() -> int:
        for record in spoilt:
            with suppress(StateLoadError, POSKeyError, KeyError):
                again.reader.set_state(Node(), record)
            node = Node(lock=Lock() if len(record) % 2 else Colour.RED, record=[record])
            node._p_oid, node._p_jar = p64(1), jar
            with suppress(UnpicklableError):
                jar.writer.serialize(node)
        gc.collect()
        return sys.getallocatedblocks()

    blocks = [read_all() for _ in range(20)]
    # Less than one for three records: damaged names become broken classes, which are kept.
    assert (blocks[19] - blocks[9]) / 10 < len(spoilt) / 3, blocks


def test_connections_that_are_dropped_are_collected_with_what_reads_and_writes_for_them() -> None:
    jar = Jar()
    node = Node(a=Node(), point=Point(1, 2))
    jar.store(node)
    again = jar.reopened()
    again.get(node._p_oid)._p_activate()
    watched = [weakref.ref(each) for each in (jar, again, again.reader, jar.writer)]
    del jar, again, node
    gc.collect()
    assert [each() for each in watched] == [None] * 4


@pytest.mark.slow
def test_ten_million_objects_take_no_memory_when_they_are_gone(nodes: Any) -> None:
    bounded(*nodes, 10_000_000)
