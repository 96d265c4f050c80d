"""RelStorage on SQLite, unchanged, on Perdure."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from processes import python

PROGRAM = str(Path(__file__).parent / "relstorage_program.py")


@pytest.mark.skipif(find_spec("relstorage") is None, reason="RelStorage is not installed here")
def test_a_database_in_sqlite(tmp_path: Path) -> None:
    ran = python("-W", "ignore", "-m", "perdure.compat", PROGRAM, "main", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "/perdure/" in ran.stdout
