import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure
from samples.objects import Counter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.counter = Counter()
    return path


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def test_a_sound_file_has_exit_code_0(path: Path) -> None:
    result = run_perdure("check", path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[-1] == "sound"
    assert "samples.objects.Counter" in result.stdout
    assert lines[-2].startswith(f"{path}: 2 transactions, 3 records of 2 objects, 0 transactions")


def test_a_damaged_file_has_exit_code_1(path: Path) -> None:
    damage(path)
    result = run_perdure("check", path, "--no-references")
    assert result.returncode == 1
    assert "wrong checksum: byte 4: found bytes that do not match their checksum" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("damaged: 1 finding")
    assert "references not followed" in result.stdout


def test_what_cannot_be_checked_has_exit_code_2(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"no database")
    result = invoke("check", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"perdure: {path}: found b'no d'")
    assert invoke("check", tmp_path / "nothing.fs").exit_code == 2
    assert invoke("check", tmp_path).exit_code == 2


def test_blobs_are_looked_for_where_the_address_or_the_option_says(
    path: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "blobs"
    assert invoke("check", path, "--blob-dir", missing).exit_code == 2
    assert invoke("check", f"file:{path}?blob_dir={missing}").exit_code == 2
    missing.mkdir()
    assert invoke("check", path, "--blob-dir", missing).exit_code == 0


def test_findings_as_json_are_data(path: Path) -> None:
    damage(path)
    data = json.loads(invoke("check", path, "--json").stdout)
    assert (data["sound"], data["transactions"], data["unchecked"]) == (False, 2, 0)
    finding = data["findings"][0]
    assert (finding["kind"], finding["position"], finding["oid"]) == ("wrong checksum", 4, None)
    assert finding["consequence"]
    assert {"class": "samples.objects.Counter"}.items() <= data["classes"][-1].items()


def test_any_storage_can_be_checked() -> None:
    result = invoke("check", "memory:")
    assert result.exit_code == 0
    assert invoke("check", "memory:", "--no-references").exit_code == 2
