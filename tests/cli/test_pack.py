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


def revisions(path: Path) -> int:
    return len(json.loads(invoke("show", path, "/", "--history", "--json").stdout))


def test_a_pack_tells_what_it_brought(path: Path) -> None:
    before = path.stat().st_size
    result = run_perdure("pack", path)
    assert (result.returncode, result.stderr) == (0, "")
    bytes_line, objects_line = result.stdout.splitlines()
    assert bytes_line == f"bytes    {before:,} -> {path.stat().st_size:,}"
    assert objects_line == "objects  1 -> 1"
    assert revisions(path) == 1


def test_a_moment_keeps_what_came_later(path: Path) -> None:
    log = json.loads(invoke("log", path, "--json").stdout)
    packed = json.loads(invoke("pack", path, "--at", log[1]["tid"], "--json").stdout)
    assert packed["size_after"] < packed["size_before"]
    assert revisions(path) == 3  # and what was current a microsecond before


def test_days_keep_what_is_younger(path: Path) -> None:
    assert invoke("pack", path, "--days", "1").exit_code == 0
    assert revisions(path) == 6


def test_a_file_that_is_in_use_is_left_alone(path: Path) -> None:
    with perdure.DB(path):
        result = invoke("pack", path)
    assert result.exit_code == 1
    assert "is open for writing by" in result.stderr


def test_a_dry_run_changes_nothing_and_needs_no_lock(path: Path) -> None:
    before = path.read_bytes()
    with perdure.DB(path):
        result = invoke("pack", path, "--dry-run")
    assert result.exit_code == 0
    assert dict(line.split() for line in result.stdout.splitlines())["revisions"] == "5"
    assert json.loads(invoke("pack", path, "--dry-run", "--json").stdout)["objects"] == 0
    assert path.read_bytes() == before
    assert invoke("pack", "memory:", "--dry-run").exit_code == 2
