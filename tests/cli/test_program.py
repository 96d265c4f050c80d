from pathlib import Path

import pytest

import perdure
from processes import run_perdure


def test_the_version_is_the_package_s() -> None:
    assert run_perdure("--version").stdout == f"perdure, version {perdure.__version__}\n"


@pytest.mark.parametrize("command", [[], ["tour"], ["info"], ["shell"]])
def test_every_command_has_help(command: list[str]) -> None:
    result = run_perdure(*command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: {' '.join(['perdure', *command])} ")


def test_a_typed_error_is_one_line_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, but long enough to have a header of some kind")
    result = run_perdure("info", path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("perdure: ")
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr


def test_traceback_shows_where_an_error_came_from(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, but long enough to have a header of some kind")
    result = run_perdure("--traceback", "info", path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_address_that_is_not_understood_is_an_error_of_usage() -> None:
    result = run_perdure("info", "fil:app.fs")
    assert result.returncode == 2
    assert "did you mean 'file:app.fs'?" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_unknown_command_is_an_error_of_usage() -> None:
    assert run_perdure("tuor").returncode == 2
