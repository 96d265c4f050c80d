"""Positions with marks: the same in Python and, where it is built, in C."""

from collections.abc import Callable
from random import Random

import pytest

from perdure import native
from perdure.ids import p64
from perdure.storages.file.positions import Positions, PurePositions, index_of

pytestmark = pytest.mark.native

Make = Callable[[], Positions]


@pytest.fixture(params=["pure", "native"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "pure":
        return PurePositions
    if not native.filescan:
        pytest.skip("native code is not in use")
    return native.filescan.Positions


def test_what_was_put_can_be_got_and_is_in_an_index_of_it(make: Make) -> None:
    positions, random = make(), Random(1)
    model = {p64(random.randrange(1 << 18)): random.randrange(1, 1 << 48) for _ in range(3000)}
    for oid, position in model.items():
        positions.put(oid, position)
    assert all(positions.get(oid) == position for oid, position in model.items())
    assert positions.get(p64(1 << 40)) == 0
    assert list(index_of(positions).items()) == sorted(model.items())
    assert positions.count() == len(model)


def test_what_is_gone_does_not_count_and_comes_back(make: Make) -> None:
    positions = make()
    positions.set_gone(p64(1), True)
    assert (positions.count(), positions.is_gone(p64(1))) == (0, True)
    positions.put(p64(1), 10)
    positions.put(p64(2), 20)
    assert (positions.count(), positions.get(p64(1))) == (1, 10)
    positions.set_gone(p64(1), False)
    positions.set_gone(p64(3), False)
    assert (positions.count(), positions.is_gone(p64(1))) == (2, False)


def test_blobs_are_told_from_others(make: Make) -> None:
    positions = make()
    positions.put(p64(1), 10)
    positions.set_blob(p64(1), True)
    positions.put(p64(1), 30)
    assert (positions.is_blob(p64(1)), positions.is_blob(p64(2))) == (True, False)
    positions.set_blob(p64(1), False)
    assert not positions.is_blob(p64(1))
