import inspect
from typing import Any

import pytest

from perdure.objects.database import Database
from perdure.opening.options import (
    COUNT,
    DATABASE_OPTIONS,
    FLAG,
    NAMES,
    SECONDS,
    SIZE,
    TEXT,
    TIME,
    Kind,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (FLAG, "1", True),
        (FLAG, "0", False),
        (FLAG, "True", True),
        (FLAG, "off", False),
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
        (TIME, "yesterday"),
        (NAMES, "a,,b"),
    ],
)
def test_a_kind_refuses_other_text(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  what is said about it, the parser says
        kind.read(text)


@pytest.mark.parametrize("kind", [FLAG, COUNT, SECONDS, SIZE, TEXT, TIME, NAMES])
def test_the_example_of_a_kind_is_right(kind: Kind) -> None:
    kind.read(kind.example)


def test_every_argument_of_a_database_that_text_can_say_is_an_option() -> None:
    arguments = set(inspect.signature(Database).parameters)
    assert arguments - {"storage", "databases", "class_factory"} == set(DATABASE_OPTIONS)
