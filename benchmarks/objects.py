"""What is stored: records of about 300 bytes with one reference, and how to fill a database."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import transaction
from persistent import Persistent

__all__ = ["Record", "chain", "connected", "fill_chain", "leaping", "walk"]

TEXT = "Nothing is lost. A commit that returned is on disk and complete, whatever comes. " * 2


class Record(Persistent):
    """An object like many: a number, some text, a small list, one reference."""

    def __init__(self, number: int, following: "Record | None" = None) -> None:
        self.number = number
        self.title = f"record number {number}"
        self.text = TEXT
        self.values = [number, number + 1, number + 2]
        self.following = following


def chain(count: int) -> Record:
    """Return the first of `count` new records, each referring to the next."""
    record = None
    for number in reversed(range(count)):
        record = Record(number, record)
    assert record is not None
    return record


@contextmanager
def connected(db: Any, **moment: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a transaction manager of its own and a connection with it; abort at the end."""
    manager = transaction.TransactionManager()
    connection = db.open(manager, **moment)
    try:
        yield manager, connection
    finally:
        manager.abort()
        connection.close()


def leaping(count: int) -> tuple[int, dict[int, int]]:
    """Return a way through the numbers below `count`: the first, and which follows which."""
    order = list(range(count))
    random.Random(count).shuffle(order)
    return order[0], dict(pairwise(order))


def fill_chain(db: Any, count: int) -> None:
    """Store `count` records in one transaction, for walking from ``root.first``.

    The way from one to the next leaps about in the file.
    """
    records = [Record(number) for number in range(count)]
    first, following = leaping(count)
    for here, there in following.items():
        records[here].following = records[there]
    with connected(db) as (manager, connection):
        # Added by number, so that the file has them in this order.
        for record in records:
            connection.add(record)
        connection.root.first = records[first]
        manager.commit()


def walk(first: Record) -> tuple[int, int]:
    """Follow the references to the end; return how many records, and the sum of their numbers."""
    count = total = 0
    record: Record | None = first
    while record is not None:
        total += record.number
        count += 1
        record = record.following
    return count, total
