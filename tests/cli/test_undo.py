import json
from pathlib import Path

import pytest

import perdure
from commands import invoke


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db:
        for number in range(3):
            with db.transaction(f"number {number}") as connection:
                connection.root.number = number
    return path


def newest(path: Path) -> dict[str, str]:
    entry: dict[str, str] = json.loads(invoke("log", path, "-n", "1", "--json").stdout)[0]
    return entry


def test_the_newest_transaction_is_undone(path: Path) -> None:
    tid = newest(path)["tid"]
    result = invoke("undo", path, tid, "--user", "ada", "--note", "a mistake")
    assert result.exit_code == 0
    entry = newest(path)
    assert result.stdout == f"undone by {entry['tid']}\n"
    assert (entry["user"], entry["description"]) == ("ada", "a mistake")
    assert invoke("show", path, "/number").stdout == "1\n"


def test_an_undo_as_json_is_data(path: Path) -> None:
    data = json.loads(invoke("undo", path, newest(path)["tid"], "--json").stdout)
    assert data == {"tid": newest(path)["tid"]}


def test_what_cannot_be_undone_says_why(path: Path) -> None:
    oldest = json.loads(invoke("log", path, "--json").stdout)[1]["tid"]
    result = invoke("undo", path, oldest)
    assert result.exit_code == 1
    assert result.stderr.startswith("perdure: cannot undo")
    assert newest(path)["description"] == "number 2"


def test_a_time_is_no_transaction(path: Path) -> None:
    result = invoke("undo", path, "2026-01-01")
    assert result.exit_code == 2
    assert "is not a tid" in result.stderr
    assert invoke("undo", path).exit_code == 2


def test_a_file_that_is_in_use_is_named(path: Path) -> None:
    with perdure.DB(path):
        result = invoke("undo", path, "0" * 16)
    assert result.exit_code == 1
    assert "is open for writing by" in result.stderr


def test_a_file_opened_read_only_is_refused(path: Path) -> None:
    result = invoke("undo", f"file:{path}?read_only=1", newest(path)["tid"])
    assert result.exit_code in (1, 2)
    assert newest(path)["description"] == "number 2"


def test_a_blob_is_not_undone_without_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "blobs.fs"
    with perdure.DB(path, blob_dir=tmp_path / "blobs") as db, db.transaction() as connection:
        connection.root.photo = perdure.Blob(b"content")
    tid = newest(path)["tid"]
    refused = invoke("undo", path, tid)
    assert (refused.exit_code, newest(path)["tid"]) == (2, tid)
    assert "was opened without its blobs" in refused.stderr
    assert invoke("undo", f"file:{path}?blob_dir={tmp_path}/blobs", tid).exit_code == 0
