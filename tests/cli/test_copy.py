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


@pytest.fixture
def with_blob(tmp_path: Path) -> str:
    """A database with two transactions, and a third that has a blob; the address with blobs."""
    address = f"file:{tmp_path}/blobs.fs?blob_dir={tmp_path}/blobs"
    with perdure.open(address) as db:
        with db.transaction() as connection:
            connection.root.greeting = "hello"
        with db.transaction() as connection:
            connection.root.picture = perdure.Blob(b"a picture")
    return address


def picture(address: str) -> bytes:
    with perdure.open(address) as db, db.transaction() as connection:
        opened = connection.root.picture.open()
        content: bytes = opened.read()
        opened.close()
        return content


def test_a_source_without_its_blobs_is_refused_and_the_same_with_them_goes_on(
    with_blob: str, tmp_path: Path
) -> None:
    target = f"file:{tmp_path}/new.fs?blob_dir={tmp_path}/copied"
    refused = invoke("copy", tmp_path / "blobs.fs", target)
    assert refused.exit_code == 2
    assert f"{tmp_path}/blobs.fs was opened without its blobs, and oid 0x" in refused.stderr
    assert "open it with its blob_dir" in refused.stderr

    done = invoke("copy", with_blob, target)
    assert done.exit_code == 0
    assert picture(target) == b"a picture"
    assert log(tmp_path / "new.fs") == log(tmp_path / "blobs.fs")


def test_neither_has_a_place_for_blobs(with_blob: str, tmp_path: Path) -> None:
    refused = invoke("copy", tmp_path / "blobs.fs", tmp_path / "new.fs")
    assert (refused.exit_code, "without its blobs" in refused.stderr) == (2, True)


def test_records_of_blobs_can_be_copied_without_them(with_blob: str, tmp_path: Path) -> None:
    source, target = tmp_path / "blobs.fs", tmp_path / "new.fs"
    done = run_perdure("copy", "--without-blobs", source, target)
    assert done.returncode == 0
    assert log(target) == log(source)


def test_a_blob_that_was_lost_keeps_nobody_from_copying(with_blob: str, tmp_path: Path) -> None:
    for lost in (tmp_path / "blobs").rglob("*.blob"):
        lost.unlink()
    done = run_perdure("copy", with_blob, f"file:{tmp_path}/new.fs?blob_dir={tmp_path}/copied")
    assert done.returncode == 0
    assert "is copied without its blob" in done.stderr


def test_a_missing_argument_is_named() -> None:
    for given, missing in (((), "FROM"), (("app.fs",), "TO")):
        refused = invoke("copy", *given)
        assert refused.exit_code == 2
        assert f"Missing argument '{missing}'" in refused.stderr
        assert "Usage: " in refused.stderr
        assert "FROM TO" in refused.stderr
