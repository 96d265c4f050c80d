import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ids


@given(st.integers(0, 2**64 - 1))
def test_packing_and_unpacking_agree(number: int) -> None:
    assert ids.u64(ids.p64(number)) == number


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_byte_order_is_number_order(one: int, other: int) -> None:
    assert (ids.p64(one) < ids.p64(other)) == (one < other)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_what_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit into 64 unsigned bits"):
        ids.p64(number)


def test_unpacking_wants_eight_bytes() -> None:
    with pytest.raises(ValueError, match="expected 8 bytes, found 3"):
        ids.u64(b"abc")


@pytest.mark.parametrize("tid", [b"", b"1234567", b"123456789", b"\xff" * 8])
def test_what_is_no_tid_or_the_last_one_has_none_after_it(tid: bytes) -> None:
    with pytest.raises(ValueError, match=r"8 bytes|64 unsigned bits"):
        ids.after(tid)


def test_after_and_before_are_neighbours() -> None:
    assert ids.after(ids.ZERO) == ids.p64(1)
    assert ids.after(ids.p64(255)) == ids.p64(256)
    assert ids.after(b"\xff" * 7 + b"\xfe") == b"\xff" * 8
    assert ids.before(ids.p64(1)) == ids.ZERO
    assert ids.before(ids.ZERO) == ids.ZERO


def test_oids_are_shown_short_and_tids_in_full() -> None:
    assert ids.oid_repr(ids.p64(26)) == "0x1a"
    assert ids.tid_repr(ids.p64(26)) == "0x000000000000001a"
    assert ids.oid_repr(None) == "None"


@pytest.mark.parametrize("text", ["0x1a", "1a", "000000000000001a"])
def test_an_oid_can_be_written_by_hand(text: str) -> None:
    assert ids.parse_oid(text) == ids.p64(26)


@pytest.mark.parametrize("text", ["", "root", "0x1ffffffffffffffff", "-1"])
def test_what_is_no_oid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an oid"):
        ids.parse_oid(text)
