import threading

from perdure.ids import ZERO, p64
from perdure.storages.oids import OidSource


def test_oids_count_up_from_behind_the_root() -> None:
    source = OidSource()
    assert [source.next(), source.next()] == [p64(1), p64(2)]


def test_an_oid_that_was_seen_is_not_handed_out() -> None:
    source = OidSource(p64(5))
    source.seen(p64(0xFF))
    source.seen(p64(3))
    source.seen(ZERO)
    assert source.next() == p64(0x100)


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
