"""Every command takes any address."""

from pathlib import Path

import pytest

import perdure
from commands import invoke
from perdure.cli.program import program
from perdure.ids import tid_repr

COMMANDS: dict[str, list[str]] = {
    "info": [],
    "log": [],
    "show": ["/"],
    "ls": [],
    "du": [],
    "refs": ["/"],
    "check": [],
    "pack": [],
    "shell": ["-c", "print(root['title'])"],
    "undo": ["TID"],
    "copy": ["file:copied.fs"],
    "backup": ["backups"],
    "recover": ["file:recovered.fs"],
}
ELSEWHERE = {"tour", "restore", "stage", "train-dictionary"}  # no database, or tested apart

ADDRESSES = {
    "path": "app.fs",
    "file": "file:app.fs",
    "slashes": "file://app.fs",
    "home": "file:~/app.fs",
    "options": "file:app.fs?cache_size=7",
    "demo": "demo:(file:app.fs)",
    "changes": "demo:(file:app.fs)/(file:changes.fs)",
    "before": "before:2100-01-01/(file:app.fs)",
    "zstd": "zstd:(file:app.fs)",
    "zlib": "zlib:(file:app.fs)",
    "zconfig": "zconfig:app.conf",
    "stacked": "demo:(before:2100-01-01/(zlib:(file:app.fs)))/(zstd:(memory:))",
}
FILES_ONLY = {"backup", "recover"}
A_FILE = {"path", "file", "slashes", "home"}
WRITING = {"pack", "undo"}


@pytest.fixture
def tid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "app.conf").write_text(
        "<zodb>\n<filestorage>\npath app.fs\n</filestorage>\n</zodb>"
    )
    with perdure.DB("app.fs") as db:
        for title in ("first", "second"):
            with db.transaction() as connection:
                connection.root.title = title
        tid = tid_repr(db.lastTransaction())
    perdure.open(ADDRESSES["changes"]).close()
    return tid


@pytest.mark.parametrize("kind", ADDRESSES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_an_address(tid: str, name: str, kind: str) -> None:
    arguments = [tid if each == "TID" else each for each in COMMANDS[name]]
    result = invoke(name, ADDRESSES[kind], *arguments)
    if name in FILES_ONLY and kind not in A_FILE | {"options"}:
        assert result.exit_code == 2
        assert "is no data file" in result.stderr
    elif name == "recover" and kind == "options":
        assert result.exit_code == 2
        assert "options mean nothing here" in result.stderr
    elif name in WRITING and kind == "before":
        assert result.exit_code in (1, 2)  # the past stays as it is
        assert result.stderr.startswith("perdure: ")
    elif name == "undo" and kind in {"demo", "changes", "stacked"}:
        assert result.exit_code == 1  # the base stays as it is
        assert result.stderr.startswith("perdure: cannot undo")
    else:
        assert (result.exit_code, result.stderr) == (0, "")
        if name == "shell":
            assert result.stdout == "second\n"


def test_no_command_is_forgotten_here() -> None:
    assert {*COMMANDS, *ELSEWHERE} == set(program.commands)


@pytest.mark.parametrize(
    "kind", ["slashes", "home", "demo", "changes", "before", "zstd", "stacked"]
)
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in FILES_ONLY])
def test_a_file_that_is_not_there_is_named_and_not_made(tid: str, name: str, kind: str) -> None:
    address = ADDRESSES[kind].replace("app.fs", "missing.fs")
    arguments = [tid if each == "TID" else each for each in COMMANDS[name]]
    result = invoke(name, address, *arguments)
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert not list(Path().glob("missing*"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "recover"])
def test_an_address_that_cannot_be_understood_is_one_line_with_the_nearest(
    tid: str, name: str
) -> None:
    arguments = [tid if each == "TID" else each for each in COMMANDS[name]]
    result = invoke(name, "fil:app.fs", *arguments)
    assert result.exit_code == 2
    assert "did you mean 'file:app.fs'?" in result.stderr


def test_a_data_file_may_have_a_name_that_looks_like_an_address(tid: str) -> None:
    odd = Path("file:odd?.fs")
    odd.write_bytes(Path("app.fs").read_bytes())
    assert invoke("recover", odd, "recovered.fs").exit_code == 0


def test_a_backup_is_restored_to_an_address(tid: str) -> None:
    assert invoke("backup", "file:app.fs", "backups").exit_code == 0
    assert invoke("restore", "backups", "file:~/restored.fs").exit_code == 0
    assert Path("restored.fs").read_bytes() == Path("app.fs").read_bytes()
    assert invoke("restore", "backups", "memory:").exit_code == 2


@pytest.mark.parametrize("name", ["info", "log", "ls", "du", "check", "pack", "shell"])
def test_a_command_that_needs_nothing_else_finds_its_address_in_the_environment(
    tid: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [] if name in ("ls", "du") else COMMANDS[name]
    assert invoke(name, *arguments).exit_code == 2
    monkeypatch.setenv("PERDURE_ADDRESS", "demo:(file:app.fs)")
    assert invoke(name, *arguments).exit_code == 0
