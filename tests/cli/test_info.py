import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.things = perdure.PersistentMapping()
    return path


def test_info_tells_size_objects_and_age(path: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in run_perdure("info", path).stdout.splitlines())
    assert lines["name"] == str(path)
    assert lines["size"] == f"{path.stat().st_size:,} bytes"
    assert lines["objects"] == "2"
    assert "undo" in lines["can"]


def test_info_as_json_is_data(path: Path) -> None:
    data = json.loads(run_perdure("info", "--json", path).stdout)
    assert data["object_count"] == 2
    assert data["size_bytes"] == path.stat().st_size
    assert data["first_time"] <= data["last_time"]
    assert data["last_tid"].startswith("0x")


def test_info_leaves_the_file_and_its_directory_alone(path: Path) -> None:
    before = {found.name: found.read_bytes() for found in path.parent.iterdir()}
    assert run_perdure("info", path).returncode == 0
    after = {found.name: found.read_bytes() for found in path.parent.iterdir()}
    assert after == before


def test_info_works_while_another_process_writes(path: Path) -> None:
    with perdure.DB(path):
        assert run_perdure("info", path).returncode == 0


def test_info_of_a_file_that_is_not_there_creates_none(tmp_path: Path) -> None:
    path = tmp_path / "missing.fs"
    result = run_perdure("info", path)
    assert result.returncode == 2
    assert f"there is no file '{path}'" in result.stderr
    assert not path.exists()


def test_info_tells_the_state_of_the_file(path: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in invoke("info", path).stdout.splitlines()[3:9])
    assert lines["transactions"] == "2"
    assert lines["checksums"] == "in every transaction"
    assert lines["index"] == "up to date"
    path.with_name("app.fs.index").unlink()
    assert "none that can be used (there is none)" in invoke("info", path).stdout


def test_a_quick_info_counts_nothing(path: Path) -> None:
    data = json.loads(invoke("info", "--quick", "--json", path).stdout)
    assert (data["transaction_count"], data["file"]) == (None, None)
    assert "transactions " not in invoke("info", "--quick", path).stdout


def test_info_of_memory_has_no_file() -> None:
    data = json.loads(invoke("info", "memory:", "--json").stdout)
    assert (data["transaction_count"], data["file"]) == (0, None)


def test_a_file_of_no_bytes_has_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.fs"
    path.touch()
    assert "size               0 bytes\n" in invoke("info", path).stdout
    data = json.loads(invoke("info", "--json", path).stdout)
    assert (data["size_bytes"], data["object_count"], data["transaction_count"]) == (0, 0, 0)
    assert path.stat().st_size == 0


def test_a_missing_address_is_told_where_it_may_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PERDURE_ADDRESS", raising=False)
    refused = invoke("info")
    assert refused.exit_code == 2
    assert "Missing argument 'ADDRESS'. It is a path, or a storage" in refused.stderr
    assert "PERDURE_ADDRESS may have it" in refused.stderr
