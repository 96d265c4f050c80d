"""`import perdure`: what it offers, and what it costs."""

import ast
from pathlib import Path

import pytest

import perdure
from processes import python

SOURCE = Path(perdure.__file__).read_text()


@pytest.mark.parametrize("name", perdure.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    assert getattr(perdure, name) is not None
    assert name in dir(perdure)


def test_types_and_places_of_the_face_agree() -> None:
    typed = {
        alias.name: node.module
        for block in ast.parse(SOURCE).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == perdure._WHERE
    assert sorted([*typed, "__version__"]) == sorted(perdure.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = perdure.nonsense


def test_using_a_database_needs_neither_click_nor_rich_nor_zodb() -> None:
    program = (
        "import sys\n"
        "for name in ('click', 'rich', 'ZODB'):\n"
        "    sys.modules[name] = None\n"
        "import perdure\n"
        "db = perdure.DB(None)\n"
        "with db.transaction() as connection:\n"
        "    connection.root.x = perdure.PersistentMapping()\n"
        "db.close()\n"
    )
    result = python("-W", "error", "-c", program)
    assert (result.returncode, result.stderr) == (0, "")
