import gc
import itertools
from bisect import bisect_left
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.ids import p64
from perdure.storages.file.index import Pages, PositionIndex, make_pages
from perdure.storages.file.purepages import PurePages

# Oids that share pages, and some that do not.
oids = st.one_of(st.integers(0, 70), st.integers(0xFFF0, 0x1000F), st.integers(0, 2**64 - 1)).map(
    p64
)
positions = st.integers(1, 2**48 - 1)


@given(st.lists(st.dictionaries(oids, positions, max_size=20), max_size=5), st.data())
def test_an_index_is_a_sorted_mapping(batches: list[dict[bytes, int]], data: st.DataObject) -> None:
    index, model = PositionIndex(), {}
    for batch in batches:
        index.update(batch)
        model.update(batch)
    if model:
        gone = data.draw(st.sampled_from(sorted(model)))
        index.remove(gone)
        del model[gone]

    order = sorted(model)
    assert list(index) == order
    assert list(index.items()) == sorted(model.items())
    assert len(index) == len(model)
    assert index.highest() == (order[-1] if order else None)
    for oid in [*model, data.draw(oids)]:
        assert index.get(oid) == model.get(oid, 0)
        assert (oid in index) == (oid in model)
        number = bisect_left(order, oid)
        assert index.next(oid) == (order[number] if number < len(order) else None)


@pytest.mark.parametrize("make", list(dict.fromkeys([make_pages, PurePages])))
def test_a_snapshot_is_read_while_more_is_remembered_for_it(make: Callable[[], Pages]) -> None:
    index = PositionIndex(make)
    before = {p64(number): 1 for number in range(5000)}
    index.update(before)
    snapshot = index.snapshot(1, p64(1))
    index.update({p64(number): 2 for number in range(2000)})
    fresh = itertools.count(2000)

    def commit_meanwhile(phase: str, _info: dict[str, int]) -> None:
        # What another thread does when the collector lets it in.
        if phase == "stop" and (number := next(fresh)) < 5000:
            index.update({p64(number): 2})

    thresholds = gc.get_threshold()
    gc.callbacks.append(commit_meanwhile)
    gc.set_threshold(20)
    try:
        pages = list(snapshot.pages())
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(commit_meanwhile)
    seen = PositionIndex(make)
    seen.take_in(pages)
    assert dict(seen.items()) == before
    snapshot.release()
    now = PositionIndex(make)
    now.take_in(index.snapshot(2, p64(2)).pages())
    assert dict(now.items()) == dict(index.items()) != before


@given(st.lists(st.dictionaries(oids, positions, max_size=20), min_size=1, max_size=5))
def test_a_snapshot_has_no_objects_that_are_new(batches: list[dict[bytes, int]]) -> None:
    index = PositionIndex()
    index.update(batches[0])
    before = list(index.items())
    snapshot = index.snapshot(1, p64(1))
    for batch in batches[1:]:
        index.update(batch)
    seen = PositionIndex()
    seen.take_in(snapshot.pages())
    assert list(seen.items()) == before


def test_what_is_not_there_cannot_be_removed() -> None:
    index = PositionIndex()
    with pytest.raises(KeyError):
        index.remove(p64(1))


def test_only_bytes_are_in_an_index() -> None:
    assert 1 not in PositionIndex()
