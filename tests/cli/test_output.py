import json

import pytest

from perdure.cli.output import count_text, echo_json_list, echo_table, size_text


@pytest.mark.parametrize("values", [[], [1], [{"a": 1}, {"b": "ü"}, None]])
def test_a_list_is_json(values: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    echo_json_list(values)
    assert json.loads(capsys.readouterr().out) == values


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table([("1", "a", "x"), ("1,000", "bbb", "")], right=(0,))
    assert capsys.readouterr().out == "    1  a    x\n1,000  bbb\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_440_000, "1.4 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text


def test_counts_agree_with_their_noun() -> None:
    counted = [count_text(count, "object") for count in (0, 1, 1200)]
    assert counted == ["0 objects", "1 object", "1,200 objects"]
