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
    with perdure.DB(path) as db:
        for number in range(3):
            with db.transaction() as connection:
                connection.root.counter = Counter(number)
    return path


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4 + 15] ^= 0x40  # the length of the first transaction
    path.write_bytes(data)


def test_a_sound_file_is_saved_whole(path: Path, tmp_path: Path) -> None:
    result = run_perdure("recover", path, tmp_path / "new.fs")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "saved 4 transactions with 7 records; lost 0, doubtful 0\n"
    with perdure.DB(tmp_path / "new.fs") as db, db.transaction() as connection:
        assert connection.root.counter.value == 2


def test_what_is_lost_and_what_is_doubtful_is_listed(path: Path, tmp_path: Path) -> None:
    damage(path)
    result = invoke("recover", path, tmp_path / "new.fs")
    assert result.exit_code == 1
    lost, doubtful, last = result.stdout.splitlines()
    assert lost.startswith("lost: byte 4: found length ")
    assert doubtful.startswith("doubtful: byte ")
    assert ", oid 0x0, transaction 0x" in doubtful
    assert last == "saved 4 transactions with 7 records; lost 1, doubtful 1"


def test_of_many_records_of_one_transaction_the_first_are_listed(
    path: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.fs"
    with perdure.DB(large) as db, db.transaction("x" * 50) as connection:
        connection.root.counters = [Counter(number) for number in range(30)]
    data = large.read_bytes()
    large.write_bytes(data.replace(b"x" * 50, b"x" * 49 + b"y"))
    result = invoke("recover", large, tmp_path / "new.fs")
    *listed, more, last = result.stdout.splitlines()
    assert len(listed) == 10
    assert more == "doubtful: 21 more records like this; --json lists all"
    assert last.endswith("lost 0, doubtful 31")
    as_json = invoke("recover", large, tmp_path / "new2.fs", "--json").stdout
    assert len(json.loads(as_json)["doubtful"]) == 31


def test_the_result_as_json_is_data(path: Path, tmp_path: Path) -> None:
    damage(path)
    data = json.loads(invoke("recover", path, tmp_path / "new.fs", "--json").stdout)
    assert (data["transactions"], data["records"]) == (4, 7)
    assert data["lost"][0]["position"] == 4
    assert data["doubtful"][0]["oid"] == "0x0"


def test_a_file_that_is_there_needs_force(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.fs"
    new.write_bytes(b"precious")
    result = invoke("recover", path, new)
    assert result.exit_code == 2
    assert "found a file, expected none" in result.stderr
    assert new.read_bytes() == b"precious"
    assert invoke("recover", path, new, "--force").exit_code == 0


def test_what_is_no_data_file_has_exit_code_2(tmp_path: Path) -> None:
    assert invoke("recover", tmp_path / "nothing.fs", tmp_path / "new.fs").exit_code == 2
