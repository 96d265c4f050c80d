"""Oids are handed out one by one, and asked for more and more at a time."""

from typing import Any

import pytest

from perdure import native
from perdure.ids import p64
from perdure.mvcc.oids import PureOids, source_of_oids

SOURCES = [PureOids, *([native.storing.Oids] if native.storing else [])]


class Storage:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.last = 0

    def new_oid(self) -> bytes:
        return self.new_oids(1)[0]

    def new_oids(self, count: int) -> list[bytes]:
        self.asked.append(count)
        first, self.last = self.last + 1, self.last + count
        return [p64(number) for number in range(first, self.last + 1)]


@pytest.mark.parametrize("make", SOURCES)
def test_oids_come_in_order_and_the_storage_is_asked_less_and_less_often(make: Any) -> None:
    storage = Storage()
    oids = make(storage.new_oids, 8)
    assert [oids.next() for _ in range(25)] == [p64(number) for number in range(1, 26)]
    assert storage.asked == [1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("make", SOURCES)
def test_an_error_of_the_storage_passes(make: Any) -> None:
    oids = make(lambda count: 1 // 0, 8)
    with pytest.raises(ZeroDivisionError):
        oids.next()
    with pytest.raises(ZeroDivisionError):
        oids.next()


def test_a_storage_that_gives_one_at_a_time_is_asked_for_each() -> None:
    storage = Storage()
    new_oid = source_of_oids(storage, False)
    assert [new_oid() for _ in range(3)] == [p64(number) for number in range(1, 4)]
    assert storage.asked == [1, 1, 1]


def test_a_storage_that_can_is_asked_for_many() -> None:
    storage = Storage()
    new_oid = source_of_oids(storage, True)
    for _ in range(1000):
        new_oid()
    assert max(storage.asked) == 128
    assert len(storage.asked) < 16
