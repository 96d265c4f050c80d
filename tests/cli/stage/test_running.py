"""A command runs on a stage."""

import os
import signal
import sys
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import quote

import pytest
from click.testing import Result

import perdure
from commands import invoke
from perdure.ids import tid_repr
from perdure.opening import parse
from perdure.storages.keys import write_key_file
from perdure.tools.stage import prepare
from processes import run_perdure, start_perdure

ADD = """
import sys
import perdure
with perdure.open() as db, db.transaction("migrate") as connection:
    connection.root.count = connection.root.count + 1
    print(connection.root.count)
sys.exit(7)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    put(path, 1)
    return path


def put(path: Path, count: int) -> str:
    with perdure.DB(path) as db:
        with db.transaction() as connection:
            connection.root.count = count
        return tid_repr(db.lastTransaction())


def count(address: Path | str) -> object:
    with perdure.open(address, read_only=True) as db, db.transaction() as connection:
        found: object = connection.root.count
        return found


def stage(
    path: Path | str, *command: str, at: str = "", changes: str = "staged.fs"
) -> CompletedProcess[str]:
    options = ("--at", at) if at else ()
    directory = Path(str(path).removeprefix("file:").partition("?")[0]).parent
    return run_perdure("stage", path, "--changes", directory / changes, *options, "--", *command)


def staged(path: Path | str, **options: str) -> str:
    """Return the address of the stage, as a command that is run on it is given it."""
    result = stage(path, "printenv", "PERDURE_ADDRESS", **options)
    assert result.returncode == 0, result.stderr
    return result.stdout.rstrip("\n")


def add(address: str) -> int:
    """Do what `ADD` does in this process."""
    with perdure.open(address) as db, db.transaction("migrate") as connection:
        connection.root.count = found = connection.root.count + 1
        assert isinstance(found, int)
        return found


def test_the_command_finds_the_stage_and_its_exit_code_is_passed_on(path: Path) -> None:
    contents = path.read_bytes()
    result = stage(path, sys.executable, "-c", ADD)
    assert (result.stdout, result.returncode) == ("2\n", 7)
    assert "perdure: on a stage over" in result.stderr
    assert path.read_bytes() == contents


def test_the_next_run_goes_on_over_the_same_snapshot_while_production_is_written(
    path: Path,
) -> None:
    with perdure.DB(path) as db:
        assert add(staged(path)) == 2
        with db.transaction() as connection:
            connection.root.count = 100
        assert add(staged(path)) == 3
    assert count(path) == 100


def test_a_stage_can_stand_on_the_past(path: Path) -> None:
    tid = put(path, 10)
    put(path, 20)
    assert add(staged(path, at=tid)) == 11
    result = invoke(
        "stage", path, "--changes", path.parent / "other.fs", "--at", "1999-01-01", "--", "false"
    )
    assert result.exit_code == 1
    assert "its first transaction is" in result.stderr
    assert not (path.parent / "other.fs").exists()


def test_commands_of_perdure_use_the_stage(path: Path) -> None:
    result = stage(path, sys.executable, "-m", "perdure", "log")
    assert "staged over" in result.stdout


def test_the_address_is_a_demo_layer_over_a_snapshot_wherever_the_command_goes(
    path: Path,
) -> None:
    address = parse(staged(f"file:{path}?cache_size=77"))
    snapshot, changes = address.layers
    assert (address.scheme, snapshot.scheme) == ("demo", "before")
    assert snapshot.layers[0].text == str(path)
    assert changes.text == str(path.parent / "staged.fs")
    assert address.database == {"cache_size": 77}


def test_paths_with_anything_in_them_work(tmp_path: Path) -> None:
    directory = tmp_path / "50% (of) it ) #1 +"
    directory.mkdir()
    put(directory / "app ?.fs", 1)
    where = f"file:?path={quote(str(directory / 'app ?.fs'))}"
    command = "printenv", "PERDURE_ADDRESS"
    result = run_perdure("stage", where, "--changes", directory / "my (changes.fs", "--", *command)
    assert add(result.stdout.rstrip("\n")) == 2
    status = invoke("stage", "status", directory / "my (changes.fs")
    assert "persistent.mapping.PersistentMapping" in status.stdout


def test_blobs_are_staged_beside_the_changes(tmp_path: Path) -> None:
    address = f"file:{tmp_path / 'app.fs'}?blob_dir={tmp_path / 'blobs'}"
    with perdure.open(address) as db, db.transaction() as connection:
        connection.root.cover = perdure.Blob(b"plain")
    with perdure.open(staged(address)) as db, db.transaction() as connection:
        with connection.root.cover.open() as file:
            assert file.read() == b"plain"
        with connection.root.cover.open("w") as file:
            file.write(b"colourful")
    assert (tmp_path / "staged.fs.blobs").is_dir()
    assert invoke("stage", "apply", tmp_path / "staged.fs", address).exit_code == 0
    with perdure.open(address) as db, db.transaction() as connection:
        file = connection.root.cover.open()
        assert file.read() == b"colourful"
        file.close()
    assert invoke("stage", "discard", tmp_path / "staged.fs").exit_code == 0
    assert not (tmp_path / "staged.fs.blobs").exists()


def test_layers_below_and_above_are_staged_over_and_applied_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_key_file(tmp_path / "app.key")
    address = "encrypt:(zstd:(file:app.fs))?key_file=app.key"
    with perdure.open(address) as db, db.transaction() as connection:
        connection.root.count = 1
    changes = "encrypt:(file:staged.fs)?key_file=app.key"
    command = "printenv", "PERDURE_ADDRESS"
    result = run_perdure("stage", address, "--changes", changes, "--", *command)
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir("/")
        assert add(result.stdout.rstrip("\n")) == 2
    assert b"perdure.stage" not in (tmp_path / "staged.fs").read_bytes()
    assert '+      "count": 2' in invoke("stage", "status", changes).stdout
    assert invoke("stage", "apply", changes, address).exit_code == 0
    assert count(address) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_nobody_else(path: Path, number: int) -> None:
    code = """
import os, signal, time
def leave(number, frame):
    os.write(1, b"told\\n")  # print could be under way
    os._exit(5)
signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""
    running = start_perdure(
        "stage", path, "--changes", path.parent / "staged.fs", "--", sys.executable, "-c", code
    )
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        os.kill(running.pid, number)
        assert running.wait(60) == 5
        assert running.stdout.read() == "told\n"


def test_a_command_that_nobody_handles_signals_in_dies_of_them(path: Path) -> None:
    result = stage(path, "sh", "-c", "kill -PIPE $$; echo ignored")
    assert (result.returncode, result.stdout) == (-signal.SIGPIPE, "")


def refused(path: Path, *command: str, changes: str = "staged.fs") -> Result:
    """Return what is said of a stage that is not begun.

    In this process: if it were begun, `false` would take its place, and be seen to fail.
    """
    where = changes if ":" in changes else str(path.parent / changes)
    return invoke("stage", path, "--changes", where, "--", *command)


@pytest.mark.parametrize("end", [[], ["--"]])
def test_a_command_is_needed(path: Path, end: list[str]) -> None:
    result = invoke("stage", path, "--changes", path.parent / "staged.fs", *end)
    assert result.exit_code == 2
    assert "COMMAND is missing" in result.stderr
    assert not (path.parent / "staged.fs").exists()


def test_a_command_that_is_not_there_or_cannot_run_is_told_as_a_shell_does(path: Path) -> None:
    result = refused(path, "no-such-command-anywhere")
    assert result.exit_code == 127
    assert "there is no command 'no-such-command-anywhere'; nothing was staged" in result.stderr
    plain = path.parent / "plain.txt"
    plain.write_text("not a program")
    result = refused(path, str(plain))
    assert result.exit_code == 126
    assert "cannot be run" in result.stderr
    assert not (path.parent / "staged.fs").exists()


def test_a_command_that_the_system_refuses_to_run_is_told_too(path: Path) -> None:
    damaged = path.parent / "damaged"
    damaged.write_bytes(b"\0\0")
    damaged.chmod(0o755)
    result = stage(path, str(damaged))
    assert result.returncode == 126
    assert "cannot run" in result.stderr


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = refused(tmp_path / "missing.fs", "false")
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_changes_that_are_in_use_name_their_holder(path: Path) -> None:
    changes = perdure.FileStorage(path.parent / "staged.fs")
    result = refused(path, "false")
    changes.close()
    assert result.exit_code == 1
    assert f"is open for writing by this process, pid {os.getpid()}" in result.stderr


def test_the_database_itself_cannot_take_the_changes(path: Path) -> None:
    contents = path.read_bytes()
    result = refused(path, "false", changes="app.fs")
    assert result.exit_code == 1
    assert "holds no staged changes" in result.stderr
    assert path.read_bytes() == contents


def test_changes_are_needed(path: Path) -> None:
    result = invoke("stage", path, "--", "false")
    assert result.exit_code == 2
    assert "--changes" in result.stderr


def test_options_of_a_database_do_not_belong_to_the_changes(path: Path) -> None:
    changes = f"file:{path.parent / 'staged.fs'}?cache_size=7"
    result = refused(path, "false", changes=changes)
    assert result.exit_code == 2
    assert "belong to the address of the database" in result.stderr


def test_the_blob_directory_of_the_database_is_not_for_the_changes(path: Path) -> None:
    blobs = path.parent / "blobs"
    address = f"file:{path}?blob_dir={blobs}"
    perdure.open(address).close()
    changes = f"file:{path.parent / 'staged.fs'}?blobstorage_dir={blobs}"
    result = invoke("stage", address, "--changes", changes, "--", "false")
    assert result.exit_code == 2
    assert "need a directory of their own" in result.stderr
    assert not (path.parent / "staged.fs").exists()


def test_what_was_made_for_a_stage_that_cannot_begin_is_removed(path: Path) -> None:
    address = f"file:{path}?blob_dir={path.parent / 'blobs'}"
    perdure.open(address).close()
    before = sorted(path.parent.rglob("*"))
    changes = path.parent / "staged.fs"
    result = invoke("stage", address, "--changes", changes, "--at", "1999-01-01", "--", "false")
    assert result.exit_code == 1
    assert sorted(path.parent.rglob("*")) == before


def test_another_database_is_not_staged_over_with_the_same_changes(path: Path) -> None:
    production = perdure.FileStorage(path, read_only=True)
    changes = perdure.FileStorage(path.parent / "staged.fs")
    prepare(production, changes)
    changes.close()
    production.close()
    put(path.parent / "other.fs", 5)
    result = refused(path.parent / "other.fs", "false")
    assert result.exit_code == 1
    assert "was not staged over" in result.stderr
    assert (path.parent / "staged.fs").exists()
