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
        for number in range(30):
            with db.transaction(f"number {number}\nmore") as connection:
                connection.transaction_manager.get().user = f"user{number % 2}"
                connection.root.number = number
    return path


def test_the_log_lists_the_newest_transactions_first(path: Path) -> None:
    lines = invoke("log", path, "-n", "2").stdout.splitlines()
    assert [line.strip() for line in lines if line.startswith("    ")] == [
        "by user1",
        "number 29",
        "more",
        "by user0",
        "number 28",
        "more",
    ]
    assert lines[0].startswith("0x")
    assert "  1 object, " in lines[0]


def test_twenty_are_listed_unless_told_otherwise(path: Path) -> None:
    assert len(json.loads(invoke("log", path, "--json").stdout)) == 20
    assert len(json.loads(invoke("log", path, "--json", "--limit", "0").stdout)) == 31


def test_the_log_as_json_is_data(path: Path) -> None:
    (entry,) = json.loads(invoke("log", path, "--json", "-n", "1").stdout)
    assert entry["user"] == "user1"
    assert entry["description"] == "number 29\nmore"
    assert entry["oids"] == ["0x0"]
    assert entry["size_bytes"] > 0
    assert entry["status"] == " "


def test_filters_are_those_of_the_function(path: Path) -> None:
    entries = json.loads(invoke("log", path, "--json", "--user", "user1", "-n", "2").stdout)
    assert [e["description"][:9] for e in entries] == ["number 29", "number 27"]
    tid = entries[1]["tid"]
    since = json.loads(invoke("log", path, "--json", "--since", tid).stdout)
    assert [e["description"][:9] for e in since] == ["number 29", "number 28", "number 27"]
    until = json.loads(invoke("log", path, "--json", "--until", tid, "-n", "1").stdout)
    assert until[0]["tid"] == tid
    assert json.loads(invoke("log", path, "--json", "--since", "2099-01-01").stdout) == []
    assert len(json.loads(invoke("log", path, "--json", "--oid", "0x0").stdout)) == 20


def test_an_object_that_is_not_there_is_an_error(path: Path) -> None:
    result = invoke("log", path, "--oid", "0x77")
    assert result.exit_code == 1
    assert result.stderr == "perdure: no object with oid 0x77\n"


@pytest.mark.parametrize("wrong", [["--since", "yesterday"], ["--oid", "book"], ["-n", "-1"]])
def test_what_is_not_understood_is_an_error_of_usage(path: Path, wrong: list[str]) -> None:
    assert invoke("log", path, *wrong).exit_code == 2


def test_the_log_runs_while_another_process_writes(path: Path) -> None:
    with perdure.DB(path):
        result = run_perdure("log", path, "-n", "1")
    assert (result.returncode, result.stderr) == (0, "")
    assert "number 29" in result.stdout


def test_a_missing_file_is_an_error_of_usage(tmp_path: Path) -> None:
    result = invoke("log", tmp_path / "missing.fs")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
