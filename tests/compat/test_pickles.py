"""What one writes the other opens: ZODB and Perdure, each in a process of its own."""

from pathlib import Path

import pytest

from processes import python

PROGRAM = str(Path(__file__).parent / "pickles.py")


def run(which: str, what: str, directory: Path) -> None:
    prefix = ["-m", "perdure.compat"] if which == "perdure" else []
    ran = python("-W", "ignore", *prefix, PROGRAM, what, str(directory))
    assert ran.returncode == 0, ran.stderr
    assert ("/perdure/" in ran.stdout) == (which == "perdure")


@pytest.mark.parametrize(("first", "second"), [("perdure", "ZODB"), ("ZODB", "perdure")])
def test_objects_go_there_and_back(tmp_path: Path, first: str, second: str) -> None:
    run(first, "write", tmp_path)
    run(second, "read", tmp_path)
    run(second, "change", tmp_path)
    run(first, "read", tmp_path)
    assert b"perdure" not in (tmp_path / "d.fs").read_bytes().replace(b"\xf7Perdure", b"").lower()
