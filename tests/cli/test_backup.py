"""`perdure backup` and `perdure restore`, as an operator uses them."""

import filecmp
import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure


def grow(path: Path, note: str) -> str:
    """Commit once, and return the tid."""
    with perdure.DB(path) as db, db.transaction(note) as connection:
        connection.root.note = note
    return str(json.loads(invoke("log", path, "-n", "1", "--json").stdout)[0]["tid"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    grow(tmp_path / "app.fs", "one")
    return tmp_path / "app.fs"


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def test_a_file_is_backed_up_and_restored(path: Path, backups: Path, tmp_path: Path) -> None:
    with perdure.DB(path):  # in use
        result = run_perdure("backup", path, backups)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("full (the first): ")
    result = run_perdure("restore", backups, tmp_path / "new.fs")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"restored {tmp_path / 'new.fs'}, ")
    assert filecmp.cmp(path, tmp_path / "new.fs", shallow=False)


def test_what_was_added_is_told(path: Path, backups: Path) -> None:
    invoke("backup", path, backups)
    assert invoke("backup", path, backups).stdout == "nothing was added since the last backup\n"
    grow(path, "two")
    assert invoke("backup", path, backups).stdout.startswith("added: ")
    grow(path, "three")
    data = json.loads(invoke("backup", path, backups, "--json").stdout)
    assert (data["backup"]["number"], data["backup"]["follows"]) == (3, 2)
    invoke("pack", path)
    result = invoke("backup", path, backups, "--keep", "1")
    assert result.stdout.startswith("full (the file was packed or replaced since the last one): ")
    assert result.stdout.endswith("dropped 1 full backup\n")
    assert json.loads(invoke("backup", path, backups, "--json").stdout)["backup"] is None


def test_options_are_those_of_the_function(path: Path, backups: Path) -> None:
    invoke("backup", path, backups, "--no-compress")
    assert (backups / "000001.fs").read_bytes() == path.read_bytes()
    assert "full (as asked for)" in invoke("backup", path, backups, "--full").stdout
    assert "nothing was added" in invoke("backup", path, backups, "--thorough").stdout
    assert invoke("backup", path, backups, "--keep", "0").exit_code == 2


def test_a_moment_is_restored(path: Path, backups: Path, tmp_path: Path) -> None:
    tid = grow(path, "two")
    size = path.stat().st_size
    grow(path, "three")
    invoke("backup", path, backups)
    result = invoke("restore", backups, tmp_path / "new.fs", "--at", tid, "--json")
    data = json.loads(result.stdout)
    assert (data["last_tid"], data["size_bytes"], data["incomplete"]) == (tid, size, "")
    assert path.read_bytes()[:size] == (tmp_path / "new.fs").read_bytes()


def test_a_moment_that_no_backup_has_in_full_is_told(
    path: Path, backups: Path, tmp_path: Path
) -> None:
    invoke("backup", path, backups)
    between = grow(path, "two")
    grow(path, "three")
    invoke("pack", path)
    invoke("backup", path, backups)
    result = invoke("restore", backups, tmp_path / "new.fs", "--at", between)
    assert result.exit_code == 1
    assert result.stdout.startswith("restored ")
    assert "is in no backup of that moment" in result.stderr


def test_a_file_is_overwritten_only_with_force(path: Path, backups: Path) -> None:
    invoke("backup", path, backups)
    before = path.read_bytes()
    grow(path, "two")
    assert invoke("restore", backups, path).exit_code == 2
    assert path.read_bytes() != before
    assert invoke("restore", backups, path, "--force").exit_code == 0
    assert path.read_bytes() == before


def test_damage_is_one_line_that_names_the_file(path: Path, backups: Path, tmp_path: Path) -> None:
    invoke("backup", path, backups)
    (backups / "000001.fs.gz").write_bytes(b"rotten")
    result = run_perdure("restore", backups, tmp_path / "new.fs")
    assert (result.returncode, result.stdout) == (1, "")
    assert "000001.fs.gz: found bytes that gzip refuses" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_damaged_manifest_makes_a_backup_fail_loudly_and_work(path: Path, backups: Path) -> None:
    invoke("backup", path, backups)
    (backups / "000001.json").write_text("rotten")
    result = invoke("backup", path, backups)
    assert result.exit_code == 1
    assert result.stdout.startswith("full (an earlier one is damaged): ")
    assert "000001.json: found no manifest" in result.stderr


def test_what_cannot_be_done_is_an_error_of_usage(
    path: Path, backups: Path, tmp_path: Path
) -> None:
    assert invoke("backup", tmp_path / "missing.fs", backups).exit_code == 2
    assert not backups.exists()
    result = invoke("backup", "memory:", backups)
    assert result.exit_code == 2
    assert "use perdure copy" in result.stderr
    assert invoke("restore", tmp_path / "missing", tmp_path / "new.fs").exit_code == 2


def test_a_file_that_is_not_there_is_called_as_in_the_help(backups: Path, tmp_path: Path) -> None:
    result = invoke("backup", tmp_path / "nope.fs", backups)
    assert result.exit_code == 2
    assert "Invalid value for FILE: there is no file" in result.stderr


def test_blobs_go_with_the_file(path: Path, backups: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    with perdure.open(f"file:{path}?blob_dir={blobs}"):
        pass
    result = invoke("backup", f"file:{path}?blob_dir={blobs}", backups)
    assert "and 0 blobs" in result.stdout
    new = tmp_path / "new"
    result = invoke("restore", backups, f"{new}.fs", "--blob-dir", f"{new}.blobs")
    assert result.exit_code == 0
    assert (tmp_path / "new.blobs" / ".layout").read_text() == (blobs / ".layout").read_text()


def test_blobs_that_are_left_out_are_told(path: Path, backups: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    invoke("backup", path, backups)
    with perdure.DB(path, blob_dir=blobs) as db, db.transaction() as connection:
        connection.root.blob = perdure.Blob(b"one")
    result = invoke("backup", path, backups, "--blob-dir", blobs)
    assert result.stdout.startswith("full (blobs are backed up from now on, or no more): ")
    result = invoke("restore", backups, tmp_path / "new.fs")
    assert result.stdout.endswith("left out: 1 blob; --blob-dir restores blobs, too\n")
    data = json.loads(invoke("restore", backups, tmp_path / "new2.fs", "--json").stdout)
    assert (data["blob_count"], data["left_blob_count"]) == (0, 1)
