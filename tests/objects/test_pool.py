import logging
import time

import pytest

from perdure.objects.metrics import Counters
from perdure.objects.pool import ConnectionPool


class Resting:
    """Stands for a connection."""

    def __init__(self) -> None:
        self.discarded = False
        self.counters = Counters(loads=1)

    def discard(self) -> None:
        self.discarded = True


def filled(pool: ConnectionPool, count: int, key: bytes | None = None) -> list[Resting]:
    connections = [Resting() for _ in range(count)]
    for connection in connections:
        pool.add(connection)  # type: ignore[arg-type]
    for connection in connections:
        pool.put(connection, key)  # type: ignore[arg-type]
    return connections


def test_the_one_used_last_is_taken_first() -> None:
    pool = ConnectionPool(5, 1000)
    connections = filled(pool, 3)
    assert pool.take() is connections[2]
    assert pool.take() is connections[1]
    assert pool.take() is connections[0]
    assert pool.take() is None


def test_a_connection_is_taken_under_its_own_key_only() -> None:
    pool = ConnectionPool(5, 1000)
    (past,) = filled(pool, 1, b"a")
    assert pool.take(b"b") is None
    assert pool.take(b"a") is past


def test_no_more_than_the_size_are_kept() -> None:
    pool = ConnectionPool(2, 1000)
    connections = filled(pool, 4)
    assert [connection.discarded for connection in connections] == [True, True, False, False]
    pool.resize(1)
    assert connections[2].discarded
    assert pool.forgotten.loads == 3
    assert set(pool) == {connections[3]}


def test_what_rests_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ConnectionPool(5, 10)
    (old,) = filled(pool, 1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    (young,) = filled(pool, 1)
    assert old.discarded
    assert pool.take() is young


def test_too_many_in_use_are_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    pool = ConnectionPool(2, 1000)
    connections = [Resting() for _ in range(5)]
    with caplog.at_level(logging.WARNING):
        for connection in connections:
            pool.add(connection)  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "CRITICAL"]
    assert "5 connections are open; the pool size is 2" in caplog.records[-1].getMessage()
