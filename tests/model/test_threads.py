"""Threads that transfer money never lose any, and nobody ever sees some missing."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import transaction

from model.engines import ENGINES, Engine, engine
from samples.model_objects import Counter, Node

ACCOUNTS = 8
TOTAL = ACCOUNTS * 100
WRITERS = 4
READERS = 2
TRANSFERS = 60  # of each writer
TIMEOUT_S = 120


def populate(db: Any) -> None:
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    root = connection.root()
    for number in range(ACCOUNTS):
        root[f"account{number}"] = Node(balance=TOTAL // ACCOUNTS)
    root["transfers"] = Counter()
    manager.commit()
    connection.close()


@contextmanager
def opened(db: Any, **moment: Any) -> Iterator[tuple[Any, Any]]:
    manager = transaction.TransactionManager()
    connection = db.open(manager, **moment)
    try:
        yield manager, connection
    finally:
        manager.abort()
        connection.close()


def balances(connection: Any) -> list[int]:
    root = connection.root()
    return [root[f"account{number}"]["balance"] for number in range(ACCOUNTS)]


def transfer(db: Any, conflict_error: type[Exception], seed: int) -> int:
    """Make transfers, each again until it succeeds; return how many attempts conflicted."""
    choices = random.Random(seed)
    conflicts = 0
    with opened(db) as (manager, connection):
        for number in range(TRANSFERS):
            if number % 20 == 0:
                connection.cacheMinimize()
            giver, taker = choices.sample(range(ACCOUNTS), 2)
            amount = choices.randint(1, 20)
            while True:
                manager.begin()
                root = connection.root()
                root[f"account{giver}"]["balance"] -= amount
                root[f"account{taker}"]["balance"] += amount
                root["transfers"].value += 1
                try:
                    manager.commit()
                    break
                except conflict_error:
                    manager.abort()
                    conflicts += 1
    return conflicts


def audit(db: Any, done: threading.Event, packed_away: tuple[type[Exception], ...] = ()) -> int:
    """Add up all balances, in one snapshot after the other; return how often.

    `packed_away` are the errors that say that a pack has removed what a snapshot needs.
    """
    audits = 0
    with opened(db) as (manager, connection):
        while not done.is_set():
            manager.begin()
            try:
                first = balances(connection)
                connection.cacheMinimize()  # what comes now is loaded late
                second = balances(connection)
            except packed_away:
                continue
            assert first == second
            assert sum(first) == TOTAL
            audits += 1
    return audits


def pack_again_and_again(db: Any, done: threading.Event) -> int:
    """Pack to a moment ago, over and over; return how often."""
    packs = 0
    while not done.wait(0.02):
        db.pack(time.time() - 0.1)
        packs += 1
    return packs


def started(function: Callable[..., int], *args: Any) -> "Future[int]":
    """Run a function in a thread that cannot keep the tests from ending."""
    future: Future[int] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_all(db: Any, conflict_error: type[Exception], *others: Callable[..., int]) -> list[int]:
    """Run writers and, until they are through, the others; return what these return."""
    done = threading.Event()
    running = [started(other, db, done) for other in others]
    try:
        writers = [started(transfer, db, conflict_error, seed) for seed in range(WRITERS)]
        for writer in writers:
            writer.result(TIMEOUT_S)
    finally:
        done.set()
    return [future.result(TIMEOUT_S) for future in running]


def check_afterwards(db: Any) -> None:
    with opened(db) as (_, connection):
        assert sum(balances(connection)) == TOTAL
        assert connection.root()["transfers"].value == WRITERS * TRANSFERS
    tids = [stored.tid for stored in db.storage.iterator()]
    for tid in tids[1::8]:
        with opened(db, at=tid) as (_, connection):
            assert sum(balances(connection)) == TOTAL


@pytest.mark.parametrize("name", ENGINES)
def test_no_money_is_lost_and_no_reader_sees_it_travel(name: str, tmp_path: Path) -> None:
    tested: Engine = engine(name)
    db = tested.make(tested.product, tmp_path, populate)
    try:
        audits = run_all(db, tested.error("ConflictError"), *[audit] * READERS)
        check_afterwards(db)
    finally:
        db.close()
    assert all(audits)


@pytest.mark.parametrize("name", [name for name in ENGINES if name.endswith("-file")])
def test_packing_meanwhile_loses_nothing(name: str, tmp_path: Path) -> None:
    tested: Engine = engine(name)
    db = tested.make(tested.product, tmp_path, populate)
    gone = tested.error("ReadConflictError"), tested.error("POSKeyError")
    try:
        counts = run_all(
            db,
            tested.error("ConflictError"),
            partial(audit, packed_away=gone),
            pack_again_and_again,
        )
        with opened(db) as (_, connection):
            assert sum(balances(connection)) == TOTAL
            assert connection.root()["transfers"].value == WRITERS * TRANSFERS
    finally:
        db.close()
    assert all(counts)
