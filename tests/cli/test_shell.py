import os
from pathlib import Path

import pytest

import perdure
from processes import run_perdure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.greeting = "hello"
    return path


def greeting(path: Path) -> str:
    with perdure.DB(path) as db, db.transaction() as connection:
        return str(connection.root.greeting)


def test_code_from_stdin_finds_the_database_open(path: Path) -> None:
    result = run_perdure("shell", path, stdin="print(root['greeting'], connection.root.greeting)\n")
    assert (result.stdout, result.stderr, result.returncode) == ("hello hello\n", "", 0)


def test_what_is_committed_stays(path: Path) -> None:
    run_perdure("shell", path, "-c", "root['greeting'] = 'bye'; transaction.commit()")
    assert greeting(path) == "bye"


def test_what_is_not_committed_is_gone(path: Path) -> None:
    assert run_perdure("shell", path, "-c", "root['greeting'] = 'bye'").returncode == 0
    assert greeting(path) == "hello"


def test_an_error_in_the_code_shows_its_traceback_and_fails(path: Path) -> None:
    result = run_perdure("shell", path, "-c", "root['greeting'] = 'bye'; root['nothing']")
    assert result.returncode == 1
    assert "KeyError: 'nothing'" in result.stderr
    assert greeting(path) == "hello"


def test_a_file_in_use_names_its_holder_in_one_line(path: Path) -> None:
    with perdure.DB(path):
        result = run_perdure("shell", path, "-c", "pass")
    assert result.returncode == 1
    assert (
        f"{path} is open for writing by the process with pid {os.getpid()} since" in result.stderr
    )
    assert result.stderr.count("\n") == 1


def test_a_missing_file_is_created_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new.fs"
    assert run_perdure("shell", path, "-c", "pass").returncode == 2
    assert not path.exists()
    assert run_perdure("shell", "--create", path, "-c", "pass").returncode == 0
    assert path.exists()


def test_read_only_refuses_to_write(path: Path) -> None:
    code = "root['greeting'] = 'bye'; transaction.commit()"
    result = run_perdure("shell", "--read-only", path, "-c", code)
    assert result.returncode == 1
    assert "ReadOnlyError" in result.stderr
    assert greeting(path) == "hello"


def test_a_memory_database_needs_no_file() -> None:
    assert run_perdure("shell", "memory:", "-c", "print(len(root))").stdout == "0\n"
