import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db:
        for number in range(5):
            with db.transaction(f"number {number}") as connection:
                connection.root.number = number
    return path


def log(path: Path) -> str:
    return invoke("log", path, "--json", "-n", "0").stdout


def test_a_copy_has_the_same_log(path: Path, tmp_path: Path) -> None:
    result = run_perdure("copy", path, tmp_path / "new.fs")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("copied 6 transactions with 6 records, ")
    assert log(tmp_path / "new.fs") == log(path)


def test_a_second_copy_brings_what_is_new(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.fs"
    invoke("copy", path, target)
    assert json.loads(invoke("copy", path, target, "--json").stdout)["transactions"] == 0
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.number = "new"
    assert json.loads(invoke("copy", path, target, "--json").stdout)["transactions"] == 1
    assert log(target) == log(path)


def test_a_database_in_use_can_be_copied(path: Path, tmp_path: Path) -> None:
    with perdure.DB(path):
        assert invoke("copy", path, tmp_path / "new.fs").exit_code == 0


def test_a_target_that_has_something_else_is_left_alone(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "other.fs"
    with perdure.DB(target):
        pass
    before = target.read_bytes()
    result = invoke("copy", path, target)
    assert result.exit_code == 1
    assert "copy into an empty storage" in result.stderr
    assert target.read_bytes() == before


def test_a_missing_source_creates_nothing(tmp_path: Path) -> None:
    assert invoke("copy", tmp_path / "missing.fs", tmp_path / "new.fs").exit_code == 2
    assert list(tmp_path.iterdir()) == []
