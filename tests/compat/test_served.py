"""ZEO serves every storage, layers included: it asks for methods that no contract has."""

from pathlib import Path

from processes import python

PROGRAM = str(Path(__file__).parent / "served_program.py")


def test_every_layer_can_be_served(tmp_path: Path) -> None:
    ran = python("-W", "ignore", "-m", "perdure.compat", PROGRAM, str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "/perdure/" in ran.stdout
