"""What becomes of staged changes."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

import perdure
from commands import invoke
from perdure.cli.stage.changes import changes_address
from perdure.cli.stage.group import command
from perdure.opening import address_text, open_storage, parse
from perdure.tools import stage


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """A database, and changes staged over it."""
    path, changes = tmp_path / "app.fs", tmp_path / "staged.fs"
    with perdure.DB(path) as db:
        with db.transaction() as connection:
            connection.root.kept = perdure.PersistentMapping(kept=True)
        change(db, 1)
    restage(path, changes)
    return path, changes


def restage(path: Path, changes: Path) -> None:
    storage: Any = stage.open_stage(
        open_storage(parse(f"file:{path}", read_only=True)),
        open_storage(changes),
        address=f"file:{path}",
    )
    with perdure.DB(storage) as db:
        change(db, 2, perdure.PersistentMapping(new=True))


def change(db: perdure.DB, count: int, extra: Any = None) -> None:
    with db.transaction() as connection:
        connection.root.count = count
        connection.root.extra = extra


def test_status_shows_classes_objects_and_lines(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "status", paths[1])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"over      file:{paths[0]}"
    assert "persistent.mapping.PersistentMapping        1    1        0" in lines
    assert '    -      "count": 1,' in lines
    assert '    +      "count": 2,' in lines
    assert "changed in the database" not in result.stdout


def test_status_as_json_says_all_of_it(paths: tuple[Path, Path]) -> None:
    status = json.loads(invoke("stage", "status", paths[1], "--json").stdout)
    assert status["classes"] == [
        {
            "class_name": "persistent.mapping.PersistentMapping",
            "changed": 1,
            "new": 1,
            "removed": 0,
        }
    ]
    assert [each["kind"] for each in status["objects"]] == ["changed", "new"]
    assert '+      "count": 2,' in status["objects"][0]["difference"]
    assert (status["applied"], status["transactions"]) == (None, 1)


def test_status_shows_no_more_than_it_is_told(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "status", paths[1], "-n", "1")
    assert "PersistentMapping: 1 more; --limit 0 shows them" in result.stdout
    assert "more; --limit" not in invoke("stage", "status", paths[1], "-n", "0").stdout


def test_status_works_while_both_are_in_use(paths: tuple[Path, Path]) -> None:
    changes = perdure.FileStorage(paths[1])
    with perdure.DB(paths[0]):
        assert invoke("stage", "status", paths[1]).exit_code == 0
    changes.close()


def test_status_marks_what_was_changed_in_both(paths: tuple[Path, Path]) -> None:
    with perdure.DB(paths[0]) as db:
        change(db, 3)
    result = invoke("stage", "status", paths[1])
    assert "changed  ! changed in the database by 0x" in result.stdout
    assert "changed in the database, too: 1 object, marked with !" in result.stdout


def test_status_finds_a_database_that_was_moved(paths: tuple[Path, Path]) -> None:
    moved = paths[0].rename(paths[0].with_name("moved.fs"))
    result = invoke("stage", "status", paths[1])
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert invoke("stage", "status", paths[1], "--database", moved).exit_code == 0


def test_status_asks_for_a_database_that_it_was_never_told(paths: tuple[Path, Path]) -> None:
    other = paths[1].with_name("other.fs")
    production, changes = perdure.FileStorage(paths[0]), perdure.FileStorage(other)
    stage.prepare(production, changes)
    changes.close()
    production.close()
    result = invoke("stage", "status", other)
    assert result.exit_code == 2
    assert "say --database" in result.stderr
    result = invoke("stage", "status", other, "--database", paths[0])
    assert "changes   0 transactions" in result.stdout


@pytest.mark.parametrize("command", [["status"], ["discard"], ["apply"]])
def test_what_is_no_stage_is_refused(paths: tuple[Path, Path], command: list[str]) -> None:
    arguments = [*command, paths[0], *([paths[0]] if command == ["apply"] else [])]
    with perdure.DB(paths[0].with_name("other.fs")) as other:
        change(other, 1)
    arguments[1] = paths[0].with_name("other.fs")
    result = invoke("stage", *arguments)
    assert result.exit_code == 1
    assert "holds no staged changes" in result.stderr
    assert paths[0].with_name("other.fs").exists()


@pytest.mark.parametrize("command", [["status"], ["discard"], ["apply"]])
def test_changes_that_are_not_there_are_named(paths: tuple[Path, Path], command: list[str]) -> None:
    missing = paths[1].with_name("missing.fs")
    result = invoke("stage", *command, missing, *([paths[0]] if command == ["apply"] else []))
    assert result.exit_code == 2
    assert "Invalid value for CHANGES: there is no file" in result.stderr
    assert not missing.exists()


def test_apply_commits_the_changes(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "apply", paths[1], paths[0], "--user", "ada", "--note", "count up")
    assert result.exit_code == 0
    assert result.stdout.startswith("1 changed, 1 new\napplied by 0x")
    (entry,) = json.loads(invoke("log", paths[0], "-n", "1", "--json").stdout)
    assert (entry["user"], entry["description"]) == ("ada", "count up")
    assert entry["extension"]["perdure.stage"]["id"]
    assert "applied   " in invoke("stage", "status", paths[1]).stdout


def test_apply_tells_as_json_what_it_did(paths: tuple[Path, Path]) -> None:
    done = json.loads(invoke("stage", "apply", paths[1], paths[0], "--json").stdout)
    assert (done["changed"], done["removed"], done["resolved"]) == (1, 0, [])
    assert list(done["new_oids"].values()) == ["0x2"]


def test_apply_lists_conflicts_and_applies_nothing(paths: tuple[Path, Path]) -> None:
    with perdure.DB(paths[0]) as db:
        change(db, 3)
    contents = paths[0].read_bytes()
    result = invoke("stage", "apply", paths[1], paths[0])
    assert result.exit_code == 1
    assert result.stdout.startswith("persistent.mapping.PersistentMapping 0x0 was changed by")
    assert "nothing was applied" in result.stderr
    conflicts = json.loads(invoke("stage", "apply", paths[1], paths[0], "--json").stdout)
    assert conflicts["conflicts"][0]["oid"] == "0x0"
    assert paths[0].read_bytes() == contents


def test_applying_twice_is_an_error(paths: tuple[Path, Path]) -> None:
    invoke("stage", "apply", paths[1], paths[0])
    contents = paths[0].read_bytes()
    result = invoke("stage", "apply", paths[1], paths[0])
    assert result.exit_code == 1
    assert "it was applied to" in result.stderr
    assert paths[0].read_bytes() == contents


def test_the_wrong_database_is_an_error(paths: tuple[Path, Path]) -> None:
    other = paths[0].with_name("other.fs")
    with perdure.DB(other) as db:
        change(db, 1)
    result = invoke("stage", "apply", paths[1], other)
    assert result.exit_code == 1
    assert "was not staged over" in result.stderr


def test_a_database_that_is_in_use_says_by_whom_and_what_can_be_done(
    paths: tuple[Path, Path],
) -> None:
    with perdure.DB(paths[0]):
        result = invoke("stage", "apply", paths[1], paths[0])
    assert result.exit_code == 1
    assert "is open for writing by this process, pid" in result.stderr
    assert "apply from within it: perdure.tools.stage.apply" in result.stderr


def test_a_database_that_is_only_read_cannot_be_applied_to(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "apply", paths[1], f"file:{paths[0]}?read_only=1")
    assert result.exit_code == 1
    assert "is open for reading only" in result.stderr


def test_a_snapshot_that_was_packed_away_is_an_error(paths: tuple[Path, Path]) -> None:
    with perdure.DB(paths[0]) as db:
        change(db, 3)
    assert invoke("pack", paths[0]).exit_code == 0
    result = invoke("stage", "apply", paths[1], paths[0])
    assert result.exit_code == 1
    assert "it was deleted, or packed away" in result.stdout
    result = invoke("stage", paths[0], "--changes", paths[1], "--", "true")
    assert result.exit_code == 1
    assert "packed since then" in result.stderr


def test_discard_removes_the_changes(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "discard", paths[1])
    assert result.stdout == "discarded the changes of 2 objects\n"
    assert sorted(path.name for path in paths[0].parent.glob("*.fs*")) == [
        "app.fs",
        "app.fs.index",
        "app.fs.lock",
    ]


def test_blobs_of_the_changes_stand_beside_them(tmp_path: Path) -> None:
    changes = tmp_path / "staged.fs"
    assert address_text(changes_address(str(changes))) == f"file:{changes}"
    assert changes_address(str(changes), blobs=True).options == {"blob_dir": f"{changes}.blobs"}
    (tmp_path / "staged.fs.blobs").mkdir()
    assert changes_address(f"file:{changes}").options == {"blob_dir": f"{changes}.blobs"}
    other = changes_address(f"file:{changes}?blob_dir={tmp_path / 'other'}", blobs=True)
    assert other.options == {"blob_dir": str(tmp_path / "other")}


def test_a_misspelled_command_is_not_taken_for_a_database(paths: tuple[Path, Path]) -> None:
    result = invoke("stage", "statsu", paths[1])
    assert result.exit_code == 2
    assert "there is no command and no file 'statsu'; did you mean 'status'?" in result.stderr


@pytest.mark.parametrize("name", ["run", "status", "apply", "discard"])
def test_every_command_of_it_has_help_and_stands_in_the_reference(name: str) -> None:
    result = invoke("stage", name, "--help")
    assert result.exit_code == 0
    here = Path(__file__).resolve().parents[3]
    page = (here / "docs" / "reference" / "commands" / "stage.rst").read_text()
    for parameter in command.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert f"``{parameter.opts[0]}" in page
