"""`import perdure`: what it offers, and what it costs."""

import pytest

import perdure
from processes import python


@pytest.mark.parametrize("name", perdure.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    assert getattr(perdure, name) is not None
    assert name in dir(perdure)


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
