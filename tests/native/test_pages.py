"""The pages of an index in C hold what those in Python do, and pack it to the same bytes."""

import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from BTrees.fsBTree import fsBucket
from hypothesis import given
from hypothesis import strategies as st

from perdure import native as in_use
from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.purepages import PurePages
from perdure.storages.file.reader import View
from samples.file_operations import Unsynced

native = pytest.importorskip("perdure.native._pages", reason="it is not built")

EDGES = (0, 1, 63, 64, 127, 128, 255, 256, 257, 0x7FFF, 0xFF00, 0xFFFE, 0xFFFF)

suffixes = st.one_of(
    st.sampled_from(EDGES), st.integers(0, 300), st.integers(0x0800, 0x0830), st.integers(0, 0xFFFF)
).map(lambda number: number.to_bytes(2, "big"))
values = st.one_of(st.binary(min_size=6, max_size=6), st.sampled_from([bytes(6), b"\xff" * 6]))


def outcome(call: Callable[..., object], *arguments: object) -> object:
    """Return what a call returns, or the type of what it raises."""
    try:
        return call(*arguments)
    except (KeyError, ValueError, TypeError) as error:
        return type(error)


def spread(seed: int, count: int) -> dict[bytes, bytes]:
    """Return so many entries in some order: in a row, with gaps, in heaps or anywhere."""
    random = Random(seed)
    first = random.randrange(0x10000 - count)
    numbers = {
        0: range(first, first + count),
        1: random.sample(range(first, min(first + 3 * count, 0x10000)), count),
        2: {random.randrange(0, 0x10000, 0x900) + random.randrange(0x80) for _ in range(count)},
        3: random.sample(range(0x10000), count),
    }[seed % 4]
    order = list(numbers)
    if seed % 3 == 0:
        random.shuffle(order)
    return {number.to_bytes(2, "big"): random.randbytes(6) for number in order}


def compare(page: Any, bucket: fsBucket) -> None:
    assert page.toString() == bucket.toString()
    assert list(page) == list(bucket)
    assert list(page.items()) == list(bucket.items())
    assert len(page) == len(bucket)
    assert outcome(page.minKey) == outcome(bucket.minKey)
    assert outcome(page.maxKey) == outcome(bucket.maxKey)
    again = native.Page().fromString(bucket.toString())
    assert again.toString() == bucket.toString()
    there = list(bucket)
    for suffix in [*there[:: 1 + len(there) // 200], *(n.to_bytes(2, "big") for n in EDGES)]:
        assert page.get(suffix) == again.get(suffix) == bucket.get(suffix)


@given(st.lists(st.tuples(suffixes, st.none() | values), max_size=60), st.lists(suffixes))
def test_a_page_does_what_a_bucket_does(
    changes: list[tuple[bytes, bytes | None]], asked: list[bytes]
) -> None:
    page, bucket = native.Page(), fsBucket()
    for suffix, value in changes:
        for each in (page, bucket):
            if value is not None:
                each[suffix] = value
            elif suffix in each:
                del each[suffix]
    compare(page, bucket)
    for suffix in asked:
        assert (suffix in page) == (suffix in bucket)
        assert page.get(suffix, b"none") == bucket.get(suffix, b"none")
        for call in ("__getitem__", "minKey", "__delitem__"):
            assert outcome(getattr(page, call), suffix) == outcome(getattr(bucket, call), suffix)
    compare(page, bucket)


@pytest.mark.parametrize("count", [1, 2, 64, 255, 257, 700, 4097])
@pytest.mark.parametrize("seed", range(5))
def test_pages_of_many_entries_do_what_buckets_do(seed: int, count: int) -> None:
    page, bucket = native.Page(), fsBucket()
    entries = spread(seed * 100 + count, count)
    for suffix, value in entries.items():
        page[suffix] = value
    bucket.update(entries)
    compare(page, bucket)
    random = Random(seed)
    for suffix in random.sample(list(entries), len(entries) * 2 // 3):
        del page[suffix]
        del bucket[suffix]
    compare(page, bucket)
    for suffix, value in spread(seed + 1, count).items():
        page[suffix] = value
        bucket[suffix] = value
    compare(page, bucket)
    for suffix in list(bucket):
        del page[suffix]
    compare(page, fsBucket())


def test_a_full_page_can_be_emptied_and_filled_again() -> None:
    packed = b"".join(number.to_bytes(2, "big") for number in range(0x10000))
    packed += b"".join(number.to_bytes(6, "big") for number in range(0x10000))
    page = native.Page().fromString(packed)
    assert page.toString() == packed
    for number in range(0x10000):
        assert page.get(number.to_bytes(2, "big")) == number.to_bytes(6, "big")
    for number in range(0x10000):
        del page[number.to_bytes(2, "big")]
    assert not page
    assert page.fromString(packed).toString() == packed


@pytest.mark.parametrize(
    "packed", [b"abab111111222222", b"baab111111222222", b"b\0a\0b\0" + b"1" * 6 + b"2" * 12]
)
def test_entries_that_are_not_packed_in_order_are_put_into_it(packed: bytes) -> None:
    count = len(packed) // 8
    last = {
        packed[2 * n : 2 * n + 2]: packed[2 * count + 6 * n : 2 * count + 6 * n + 6]
        for n in range(count)
    }
    assert list(native.Page().fromString(packed).items()) == sorted(last.items())


@pytest.mark.parametrize("make", [native.Page, fsBucket])
def test_what_does_not_fit_a_page_is_refused_as_by_a_bucket(make: Callable[[], Any]) -> None:
    page = make()
    page[b"ab"] = b"123456"
    for key in (b"a", b"abc", "ab", 1, None):
        assert page.get(key) is None
        assert page.get(key, 5) == 5
        assert key not in page
        assert outcome(page.__getitem__, key) is KeyError
        assert outcome(page.__setitem__, key, b"123456") is TypeError
        assert outcome(page.__delitem__, key) is TypeError
    for value in (b"12345", b"1234567", "123456", 1, None):
        assert outcome(page.__setitem__, b"ab", value) is TypeError
    assert outcome(page.__delitem__, b"zz") is KeyError
    assert outcome(page.minKey, b"zz") is ValueError
    assert outcome(page.minKey, 5) is TypeError
    assert outcome(make().minKey) is ValueError
    assert outcome(make().maxKey) is ValueError
    assert outcome(page.fromString, b"1234567") is ValueError
    assert outcome(page.fromString, 5) is TypeError
    assert list(page.items()) == [(b"ab", b"123456")]


def test_a_page_may_change_while_it_is_walked_over() -> None:
    page = native.Page()
    for number in range(3000):
        page[number.to_bytes(2, "big")] = bytes(6)
    seen = []
    for suffix in page:
        seen.append(suffix)
        del page[suffix]
        for number in (0xF000, 0xF100, 0xF200):
            page[number.to_bytes(2, "big")] = bytes(6)
        if len(seen) == 3003:
            break
    assert seen[:3000] == [number.to_bytes(2, "big") for number in range(3000)]
    assert seen[3000:] == [b"\xf0\x00", b"\xf1\x00", b"\xf2\x00"]


# Few prefixes, and some whose places in the table collide or wrap around.
prefixes = st.one_of(st.integers(0, 40), st.integers(0, 2**48 - 1)).map(
    lambda number: number.to_bytes(6, "big")
)


@given(st.lists(st.tuples(prefixes, st.booleans()), max_size=80))
def test_pages_are_kept_as_by_a_dictionary(changes: list[tuple[bytes, bool]]) -> None:
    pages, model = native.Pages(), {}
    for prefix, there in changes:
        if there:
            pages[prefix] = model[prefix] = native.Page()
        elif prefix in model:
            del pages[prefix], model[prefix]
        else:
            with pytest.raises(KeyError):
                del pages[prefix]
        assert len(pages) == len(model)
        for each in model:
            assert pages[each] is pages.get(each) is model[each]
    assert list(pages) == sorted(model)
    assert pages.items() == sorted(model.items())
    for prefix, _ in changes:
        assert (prefix in pages) == (prefix in model)
    while pages:
        prefix, page = pages.popitem()
        assert model.pop(prefix) is page
        assert list(pages) == sorted(model)
    assert not model


def test_what_is_no_page_is_refused() -> None:
    pages = native.Pages()
    pages[b"123456"] = page = native.Page()
    for key in (b"12345", "123456", 6, None):
        assert pages.get(key) is None
        assert pages.get(key, page) is page
        assert key not in pages
        assert outcome(pages.__getitem__, key) is KeyError
        assert outcome(pages.__setitem__, key, native.Page()) is TypeError
        assert outcome(pages.load, key, b"") is TypeError
    assert outcome(pages.__setitem__, b"123456", fsBucket()) is TypeError
    for prefix in (b"123456", b"654321"):
        assert outcome(pages.load, prefix, b"1234567") is ValueError
    assert list(pages) == [b"123456"]
    assert outcome(pages.enter, []) is TypeError
    assert outcome(pages.position, 5) is TypeError
    assert outcome(native.Pages().popitem) is KeyError
    assert pages.position(b"short") == pages.position(b"123456789") == 0
    assert outcome(native.Page, 1) is TypeError
    assert outcome(native.Pages, {}) is TypeError
    assert outcome(type(iter(page))) is TypeError
    assert outcome(page.get) is TypeError
    assert outcome(pages.get) is TypeError
    assert outcome(page.minKey, b"ab", b"cd") is TypeError


@pytest.mark.parametrize("make", [native.Pages, PurePages])
def test_what_cannot_be_entered_is_an_error(make: Callable[[], Any]) -> None:
    with pytest.raises(OverflowError):
        make().enter({p64(1): 1 << 80})
    with pytest.raises(OverflowError):
        make().enter({p64(1): -1})


def test_only_oids_and_positions_are_entered() -> None:
    pages = native.Pages()
    for positions in ({b"short": 1}, {p64(1): 1 << 48}, {"12345678": 1}):
        with pytest.raises(ValueError, match="oids of 8 bytes"):
            pages.enter(positions)
    with pytest.raises(TypeError):
        pages.enter({p64(1): "4"})


@pytest.mark.parametrize("seed", range(10))
def test_positions_enter_the_same_pages(seed: int) -> None:
    random = Random(seed)
    pure, ours = PositionIndex(PurePages), PositionIndex(native.Pages)
    for _ in range(5):
        oids = [random.randrange(1 << random.choice((8, 20, 63))) for _ in range(300)]
        positions = {p64(oid): random.randrange(1, 1 << 48) for oid in oids}
        pure.update(positions)
        ours.update(positions)
        packed = [(prefix, page.toString()) for prefix, page in sorted(pure.pages.items())]
        assert [(prefix, page.toString()) for prefix, page in ours.pages.items()] == packed
        assert [ours.get(p64(oid)) for oid in oids] == [pure.get(p64(oid)) for oid in oids]
    assert list(ours.items()) == list(pure.items())
    assert len(ours) == len(pure) > 100
    loaded = PositionIndex(native.Pages)
    loaded.take_in(packed)
    loaded.take_in([(b"\0" * 6, b"\0\1" + p64(7)[2:])])
    pure.take_in([(b"\0" * 6, b"\0\1" + p64(7)[2:])])
    assert list(loaded.items()) == list(pure.items())


@pytest.mark.parametrize("expected", [1, 1 << 20, 3 << 20, 40 << 20])
def test_what_is_loaded_as_expected_can_change_like_all_else(expected: int) -> None:
    random = Random(3)
    oids = [p64(number) for number in range(400_000) if number % 1024 < 1000]
    pure, ours = PositionIndex(PurePages), PositionIndex(native.Pages)
    pure.update({oid: number for number, oid in enumerate(oids, 4)})
    ours.pages.expect(expected)
    ours.take_in([(prefix, page.toString()) for prefix, page in pure.pages.items()])
    ours.pages.expect(0)
    for oid in random.sample(oids, 2000):
        pure.remove(oid)
        ours.remove(oid)
    new = {p64(random.randrange(500_000)): random.randrange(1 << 48) for _ in range(3000)}
    pure.update(new)
    ours.update(new)
    for prefix in pure.pages:
        assert ours.pages[prefix].toString() == pure.pages[prefix].toString()
    copy = ours.copy()
    ours.pages.expect(expected)  # while pages are where the first expectation put them
    prefix, page = ours.pages.popitem()
    del ours
    assert page.toString() == copy.pages[prefix].toString() == pure.pages[prefix].toString()


def test_nothing_can_be_expected_but_a_size() -> None:
    assert outcome(native.Pages().expect, "much") is TypeError
    with pytest.raises(OverflowError):
        native.Pages().expect(-1)
    native.Pages().expect((1 << 64) - 1)  # more than there is: nothing is prepared


@pytest.mark.skipif(not in_use.pages, reason="native code is switched off")
def test_the_index_of_a_file_may_have_pages_of_either_kind(tmp_path: Path) -> None:
    with closing(FileStorage(tmp_path / "data.fs", operations=Unsynced())) as storage:
        oids = [*map(p64, range(1, 300)), p64(1 << 40)]
        for data in (b"first", b"second"):
            transaction = TransactionMetaData()
            storage.tpc_begin(transaction)
            for oid in oids:
                storage.store(oid, storage.lastTid(oid) or ZERO, data, "", transaction)
            storage.tpc_vote(transaction)
            tid = storage.tpc_finish(transaction)
        transaction = TransactionMetaData()  # one more: of the last one, the index is not asked
        storage.tpc_begin(transaction)
        storage.store(p64(600), ZERO, b"another", "", transaction)
        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)
        view = storage._opened()
        assert isinstance(view.index.pages, native.Pages)
        index = PositionIndex(PurePages)
        index.update(dict(view.index.items()))
        other = View(view.file, index, view.end, view.last_tid)
        queue = storage._committer._queue  # type: ignore[union-attr]
        seen = [CommittedRecords(each, queue) for each in (view, other)]
        batch = tuple((oid, tid, b"third") for oid in [*oids, p64(999)])
        plans = [records.new_plan() for records in seen]
        for records, plan in zip(seen, plans, strict=True):
            assert records.plan_unchanged(batch, 0, plan) == len(batch)
        assert dict(plans[0].items()) == dict(plans[1].items())
        undone = [records.plan_undone(tid) for records in seen]
        assert None not in undone
        assert [*undone[0].items()] == [*undone[1].items()]  # type: ignore[union-attr]
        for oid in [*oids, p64(500), p64(1 << 50)]:
            for before in (tid, after(tid)):
                arguments = oid, before
                found = outcome(view.load_before, *arguments)
                assert outcome(other.load_before, *arguments) == found


@given(st.lists(st.lists(st.integers(0, 400), max_size=30), max_size=6))
def test_both_kinds_remember_what_was_there_first(batches: list[list[int]]) -> None:
    kept, current = (native.Pages(), PurePages()), (native.Pages(), PurePages())
    for time, batch in enumerate(batches, 1):
        positions = {p64(number * 400): time for number in batch}
        for memory, pages in zip(kept, current, strict=True):
            memory.remember(positions, pages)
            pages.enter(positions)
    packed = [[(prefix, each.toString()) for prefix, each in sorted(m.items())] for m in kept]
    assert packed[0] == packed[1]


def test_pages_remember_nothing_but_what_pages_have() -> None:
    pages = native.Pages()
    for others in (PurePages(), None):
        assert outcome(pages.remember, {p64(1): 4}, others) is TypeError
    assert outcome(pages.remember, [], native.Pages()) is TypeError
    assert outcome(pages.remember, {b"short": 4}, native.Pages()) is ValueError


def test_an_index_takes_little_memory() -> None:
    def bytes_each(oids: list[bytes], packed: bool) -> float:
        positions = dict.fromkeys(oids, 1 << 40)
        filled = PositionIndex(PurePages)
        filled.update(positions)
        pages = [(prefix, page.toString()) for prefix, page in filled.pages.items()]
        del filled
        tracemalloc.start()
        try:
            index = PositionIndex(native.Pages)
            if packed:
                index.take_in(pages)
            else:
                index.update(positions)
            del pages
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert index.get(oids[-1]) == 1 << 40
        return taken / len(oids)

    random = Random(1)
    dense = [p64(number) for number in range(1 << 17)]
    assert bytes_each(dense, packed=True) < 6.4
    assert bytes_each(dense, packed=False) < 6.5
    assert bytes_each(dense[::2], packed=True) < 6.7
    assert bytes_each(dense[::64], packed=True) < 8.2
    assert bytes_each(random.sample(dense, 1 << 15), packed=False) < 9
    anywhere = [random.randbytes(8) for _ in range(5000)]  # each in a page of its own
    assert bytes_each(anywhere, packed=False) < 100


def test_nothing_is_leaked() -> None:
    random = Random(2)
    positions = {p64(random.randrange(1 << 20)): number for number in range(1, 3000)}

    def all_of_it() -> None:
        index = PositionIndex(native.Pages)
        index.update(positions)
        snapshot = index.snapshot(4, p64(1))
        index.update(positions)
        assert sum(len(packed) for _, packed in snapshot.pages()) == 8 * len(positions)
        snapshot.release()
        copy = index.copy()
        pages: Any = index.pages
        # Few tuples at a time: Python keeps those that it does not need any more.
        assert sum(1 for _ in copy.items()) == len(positions)
        while pages:
            prefix, page = pages.popitem()
            pages[prefix] = page.fromString(page.toString())
            del pages[prefix]
        for oid in positions:
            copy.remove(oid)

    all_of_it()
    tracemalloc.start()
    try:
        all_of_it()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            all_of_it()
        assert tracemalloc.get_traced_memory()[0] - before < 3000
    finally:
        tracemalloc.stop()
