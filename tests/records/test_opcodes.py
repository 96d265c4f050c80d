"""Finding opcodes without running them, compared with `pickletools`."""

import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from perdure.errors import StateLoadError
from perdure.records import plain_record, rebuild
from perdure.records.opcodes import globals_in, memo_overflow

anything = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from([int, rebuild]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@for_all(anything, st.integers(0, 3))
@settings(deadline=None)
def test_globals_are_found_where_pickletools_finds_them(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    expected = [at for opcode, _, at in pickletools.genops(data) if opcode.name == "GLOBAL"]
    assert [start for start, _ in globals_in(data)] == expected


@pytest.mark.parametrize("data", [b"\x80\x03X\xff\0\0\0a.", b"\xff.", b"cos\n"])
def test_what_is_no_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        list(globals_in(data))


@for_all(anything, st.integers(0, pickle.HIGHEST_PROTOCOL), st.floats(0, 1))
@settings(deadline=None)
def test_sound_pickles_number_within_reason(value: Any, protocol: int, part: float) -> None:
    data = pickle.dumps(value, protocol)
    assert not memo_overflow(data, 1)
    assert not memo_overflow(data + data, 2)
    assert not memo_overflow(data[: int(len(data) * part)], 1)


def test_a_sound_pickle_that_is_cut_anywhere_numbers_within_reason() -> None:
    data = pickle.dumps({"one": [rebuild, 1.5], b"two": (int, "text", 2**40)}, 2)
    data += pickle.dumps([rebuild, {"three": None}], 0)
    for end in range(len(data)):
        assert not memo_overflow(data[:end], 2), data[:end]


def test_a_run_may_be_of_any_length() -> None:
    data = pickle.dumps([[n % 100, rebuild, n] for n in range(5000)], 2)
    assert len(list(globals_in(data + data))) == 2
    beyond = data[:-1] + b"r\xff\xff\xff\x7f."
    assert memo_overflow(beyond, 1)


def test_a_large_sound_pickle_numbers_within_reason() -> None:
    assert not memo_overflow(pickle.dumps([[n] for n in range(5000)], 3), 1)
    assert not memo_overflow(pickle.dumps([[n] for n in range(5000)], 0), 1)


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p999999999\n", b"r\x40\x00\x00\x00"])
def test_a_number_beyond_reason_is_noticed_where_it_counts(put: bytes) -> None:
    assert memo_overflow(b"\x80\x03]" + put + b".", 1)
    assert memo_overflow(b"\x80\x03].\x80\x03]" + put + b".", 2)
    assert not memo_overflow(b"\x80\x03]." + put, 1)
    text = len(put).to_bytes(4, "little") + put
    assert not memo_overflow(b"\x80\x03X" + text + b".", 1)


def test_a_damaged_number_does_not_take_all_memory() -> None:
    record = b"\x80\x03cno.such\nThing\nq\x00.\x80\x03}r\xff\xff\xff\x7f."
    with pytest.raises(StateLoadError, match="damaged"):
        plain_record(record)
