import threading

import pytest

from perdure.ids import ZERO, p64
from perdure.storages.oids import OidSource, oids_from, pure_oids_from


def test_oids_count_up_from_behind_the_root() -> None:
    source = OidSource()
    assert [source.next(), source.next()] == [p64(1), p64(2)]


def test_an_oid_that_was_seen_is_not_handed_out() -> None:
    source = OidSource(p64(5))
    source.seen(p64(0xFF))
    source.seen(p64(3))
    source.seen(ZERO)
    assert source.next() == p64(0x100)


@pytest.mark.native
@pytest.mark.parametrize("first", [0, 1, 0xFF, 0x1234567890, (1 << 64) - 3])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_oids_in_a_row_are_the_same_in_c(first: int, count: int) -> None:
    assert oids_from(first, count) == pure_oids_from(first, count)
    assert len(oids_from(first, count)) == count


def test_no_two_threads_get_the_same_oid() -> None:
    source = OidSource()
    found: list[bytes] = []

    def take() -> None:
        found.extend([source.next() for _ in range(1000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4000
