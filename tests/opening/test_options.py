import inspect
from typing import Any

import pytest

from perdure.objects.database import Database
from perdure.opening.options import (
    COUNT,
    DATABASE_OPTIONS,
    FLAG,
    NAMES,
    PATH,
    SECONDS,
    SIZE,
    TEXT,
    TIME,
    Kind,
    level_up_to,
    one_of,
    option_text,
)

KINDS = [
    FLAG,
    COUNT,
    SECONDS,
    SIZE,
    TEXT,
    PATH,
    TIME,
    NAMES,
    level_up_to(9),
    one_of("bushy", "lawn"),
]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (FLAG, "1", True),
        (FLAG, "0", False),
        (FLAG, "True", True),
        (FLAG, "off", False),
        (FLAG, "t", True),
        (FLAG, "f", False),
        (PATH, "~/app.fs", "~/app.fs"),
        (one_of("bushy", "lawn"), "lawn", "lawn"),
        (level_up_to(9), "1", 1),
        (level_up_to(9), "9", 9),
        (COUNT, "0", 0),
        (COUNT, "12", 12),
        (SECONDS, "1.5", 1.5),
        (SIZE, "512", 512),
        (SIZE, "1kb", 1 << 10),
        (SIZE, "3 MB", 3 << 20),
        (SIZE, "2g", 2 << 30),
        (TEXT, "main", "main"),
        (TIME, "0x03f1c2a4b5d6e7f8", bytes.fromhex("03f1c2a4b5d6e7f8")),
        (NAMES, "myapp.*, BTrees.*", ("myapp.*", "BTrees.*")),
    ],
)
def test_a_kind_reads_its_text(kind: Kind, text: str, value: Any) -> None:
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (FLAG, ""),
        (FLAG, "2"),
        (level_up_to(9), "0"),
        (level_up_to(9), "10"),
        (level_up_to(9), "fast"),
        (COUNT, "-1"),
        (COUNT, "1.5"),
        (COUNT, ""),
        (SECONDS, "-1"),
        (SECONDS, "nan"),
        (SECONDS, "inf"),
        (SIZE, "mb"),
        (SIZE, "-5"),
        (SIZE, "5 miles"),
        (TEXT, ""),
        (PATH, ""),
        (one_of("bushy", "lawn"), "garden"),
        (TIME, "yesterday"),
        (NAMES, "a,,b"),
    ],
)
def test_a_kind_refuses_other_text(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  what is said about it, the parser says
        kind.read(text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_right(kind: Kind) -> None:
    kind.read(kind.example)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_written_as_text_that_its_kind_reads(kind: Kind) -> None:
    value = kind.read(kind.example)
    assert kind.read(option_text(value)) == value


def test_every_argument_of_a_database_that_text_can_say_is_an_option() -> None:
    arguments = set(inspect.signature(Database).parameters)
    assert arguments - {"storage", "databases", "class_factory"} == set(DATABASE_OPTIONS)
