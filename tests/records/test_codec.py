"""Picklers and unpicklers as records need them."""

import pickle
from typing import Any

import pytest

from perdure.records.codec import (
    PROTOCOL,
    Pickles,
    RecordPickler,
    StateUnpickler,
    memo_behind,
    unpickler_of,
)


def by_name(module: str, name: str) -> Any:
    module = "builtins" if module == "__builtin__" else module
    return getattr(__import__(module, fromlist=["x"]), name)


def as_stored(stored: Any) -> Any:
    return stored


def unpickler(data: bytes, memo: Any = None) -> Any:
    return unpickler_of(Pickles(data), by_name, as_stored, memo)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("size", [0, 10, 1 << 16, (1 << 17) - 1, 1 << 17, 3 << 20])
def test_pickles_in_a_row_are_read_one_by_one_whatever_their_size(protocol: int, size: int) -> None:
    values = [{"text": "a" * size, "raw": b"b" * size}, [size], "last\nline"]
    data = [pickle.dumps(value, protocol) for value in values]
    source = Pickles(b"".join(data) + b"behind")
    reading = unpickler_of(source, by_name, as_stored)
    end = 0
    for value, pickled in zip(values, data, strict=True):
        assert reading.load() == value
        end += len(pickled)
        assert source.position == end


def test_reading_can_begin_in_the_middle() -> None:
    data = pickle.dumps("first", PROTOCOL) + pickle.dumps("x" * 100_000, PROTOCOL)
    source = Pickles(data, data.index(b".") + 1)
    assert unpickler_of(source, by_name, as_stored).load() == "x" * 100_000
    assert source.position == len(data)


@pytest.mark.parametrize("size", [10, 1 << 17, 1 << 20])
def test_a_string_that_is_cut_short_is_an_error(size: int) -> None:
    for value in ("x" * size, b"x" * size):
        data = pickle.dumps(value, PROTOCOL)
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            unpickler(data[: len(data) // 2]).load()


def test_old_short_strings_are_bytes() -> None:
    assert unpickler(b"U\x02ab.").load() == b"ab"
    assert unpickler(b"S'ab'\n.").load() == b"ab"


def test_the_memo_of_another_unpickler_is_copied() -> None:
    first = unpickler(b"\x80\x03X\x01\0\0\0aq\x00.")
    first.load()
    second = unpickler(b"\x80\x03](h\x00X\x01\0\0\0bq\x01h\x01e.", first.memo)
    assert second.load() == ["a", "b", "b"]
    assert first.memo.copy() == {0: "a"}


def test_a_pickler_goes_on_behind_what_was_read() -> None:
    pickler = RecordPickler(lambda value: None)
    word, words = "a word", ["more", "words"]
    head = pickler.dump([word, words])
    expected = pickler.dump([words, "new"])
    reading = unpickler(head)
    read = reading.load()
    again = RecordPickler(lambda value: None)
    again.start(memo_behind(reading))
    assert again.dump([read[1], "new"]) == expected
    assert unpickler(head + expected).load() == [word, words]


@pytest.mark.parametrize(
    "head", [b"\x80\x02cbuiltins\nint\nq\x01.", b"\x80\x02](K\x01q\x00K\x02q\x07e."]
)
def test_a_memo_with_gaps_is_not_continued(head: bytes) -> None:
    reading = unpickler(head)
    reading.load()
    assert memo_behind(reading) is None


def test_a_pickler_starts_anew_for_each_record() -> None:
    pickler = RecordPickler(lambda value: None)
    value = ["a word", "another"]
    first = pickler.dump(value)
    assert pickler.dump(value) != first  # refers to what it has written already
    pickler.start()
    assert pickler.dump(value) == first


def test_values_of_any_size_are_dumped_whole() -> None:
    pickler = RecordPickler(lambda value: None)
    value = [b"x" * (1 << 20), "y" * (1 << 20)]
    assert pickle.loads(pickler.dump(value)) == value


def test_a_state_unpickler_reads_one_pickle_after_the_other_behind_the_same_head() -> None:
    head = unpickler(b"\x80\x03cbuiltins\nint\nq\x00.")
    assert head.load() is int
    states = StateUnpickler(by_name, as_stored)
    for value in ([1], {"a": "b" * 300}, (), "x", b"y" * 60_000):
        assert states.load(pickle.dumps((value, value), 3), unpickler(b"").memo) == (value, value)
        assert states.load(b"\x80\x03h\x00.", head.memo) is int
        assert states.is_reusable()


def test_a_state_unpickler_that_did_not_read_everything_says_so() -> None:
    states = StateUnpickler(by_name, as_stored)
    assert states.load(b"\x80\x03K\x01.K\x02.", unpickler(b"").memo) == 1
    assert not states.is_reusable()


def test_a_cut_state_is_noticed() -> None:
    whole = pickle.dumps({"a": [1, 2, "text"]}, 3)
    for end in range(len(whole)):
        with pytest.raises((EOFError, pickle.UnpicklingError)):
            StateUnpickler(by_name, as_stored).load(whole[:end], unpickler(b"").memo)
