"""Perdure logs below the logger `perdure`, and is quiet unless somebody listens."""

import re
import shutil
from pathlib import Path

import pytest

import perdure
from processes import python, run_perdure, stderr_on_a_terminal

SOURCES = Path(perdure.__file__).parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database about which there is something to warn of: its index is damaged."""
    path = tmp_path / "app.fs"
    with perdure.DB(path):
        pass
    path.with_name("app.fs.index").write_bytes(b"no index")
    return path


def test_a_program_that_does_not_ask_gets_no_output(path: Path) -> None:
    result = python("-c", f"import perdure; perdure.DB({str(path)!r}).close()")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_program_that_asks_is_told(path: Path) -> None:
    code = f"import logging, perdure; logging.basicConfig(); perdure.DB({str(path)!r}).close()"
    result = python("-c", code)
    assert result.stderr.startswith("WARNING:perdure.storages.file:")
    assert "app.fs.index" in result.stderr


def test_commands_print_warnings_like_errors(path: Path) -> None:
    result = run_perdure("info", path)
    assert result.returncode == 0
    assert result.stderr.startswith("perdure: ")
    assert "app.fs.index" in result.stderr
    assert result.stderr.count("\n") == 1


def test_commands_inform_who_sits_before_a_terminal(tmp_path: Path) -> None:
    address = f"file:{tmp_path / 'app.fs'}?blob_dir={tmp_path}/blobs"
    arguments = ("shell", "--create", address, "-c", "pass")
    shown = stderr_on_a_terminal(*arguments)
    assert shown == f"perdure: {tmp_path}/blobs: made a new blob directory\n"
    shutil.rmtree(tmp_path / "blobs")
    assert run_perdure(*arguments).stderr == ""


def test_every_logger_is_below_that_of_the_package() -> None:
    names = [
        name
        for source in SOURCES.rglob("*.py")
        if SOURCES / "compat" not in source.parents  # where ZODB's loggers keep their names
        for name in re.findall(r"getLogger\(([^)]*)\)", source.read_text())
    ]
    assert len(names) > 5
    assert {
        name for name in names if name != "__name__" and not name.startswith('"perdure')
    } == set()
