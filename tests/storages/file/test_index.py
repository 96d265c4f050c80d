from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.ids import p64
from perdure.storages.file.index import PositionIndex

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


def test_what_is_not_there_cannot_be_removed() -> None:
    index = PositionIndex()
    with pytest.raises(KeyError):
        index.remove(p64(1))


def test_only_bytes_are_in_an_index() -> None:
    assert 1 not in PositionIndex()
