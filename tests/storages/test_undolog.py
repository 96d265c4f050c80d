import pytest

from perdure.errors import UndoError
from perdure.ids import p64
from perdure.storages import undolog

TID = p64(0x03F1C2A4B5D6E7F8)


def test_an_id_leads_back_to_its_tid_and_so_does_a_tid() -> None:
    assert undolog.transaction_id(TID) == b"A/HCpLXW5/g="
    assert undolog.undone_tid(b"A/HCpLXW5/g=") == TID
    assert undolog.undone_tid(TID) == TID


@pytest.mark.parametrize("wrong", [b"", b"nonsense!", b"AAAA", b"A/HCpLXW5/g=A/HCpLXW5/g="])
def test_anything_else_names_no_transaction(wrong: bytes) -> None:
    with pytest.raises(UndoError, match="not the id of a transaction"):
        undolog.undone_tid(wrong)


def test_a_description_has_the_items_of_the_extension() -> None:
    found = undolog.describe(TID, b"me", b"why", {"request": "/x"}, 120)
    assert found.pop("time") == pytest.approx(1045077960.1, rel=1)
    assert found == {
        "id": b"A/HCpLXW5/g=",
        "user_name": b"me",
        "description": b"why",
        "size": 120,
        "request": "/x",
    }


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0, -2, [0, 1]), (1, -2, [1, 2]), (0, 3, [0, 1, 2]), (2, 3, [2]), (3, 3, []), (4, 20, [4])],
)
def test_numbers_or_a_count_choose(first: int, last: int, expected: list[int]) -> None:
    descriptions = [{"n": n} for n in range(5)]
    assert [d["n"] for d in undolog.choose(descriptions, first, last, None)] == expected


def test_numbers_count_what_the_filter_takes() -> None:
    descriptions = [{"n": n} for n in range(10)]
    chosen = undolog.choose(descriptions, 1, 3, lambda d: d["n"] % 2)
    assert [d["n"] for d in chosen] == [3, 5]


def test_a_specification_asks_for_all_its_items() -> None:
    accept = undolog.having({"user_name": b"me", "request": "/x"})
    assert accept is not None
    assert accept({"user_name": b"me", "request": "/x", "more": 1})
    assert not accept({"user_name": b"me"})
    assert undolog.having({}) is None
    assert undolog.having(None) is None
