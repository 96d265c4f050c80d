import json
import sys
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure
from samples.vanishing import MODULE, vanishing_class


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with vanishing_class("Book") as book_class, perdure.DB(path) as db:
        for title in ("Dune", "Emma"):
            with db.transaction(f"call it {title}") as connection:
                root = connection.root()
                book = root.setdefault("books", perdure.PersistentMapping())
                book.setdefault("first", book_class()).title = title
    return path


def revisions(path: Path) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = json.loads(
        invoke("show", path, "/books/first", "--history", "--json").stdout
    )
    return shown


def test_an_object_is_shown_by_path_and_by_oid(path: Path) -> None:
    by_path = invoke("show", path, "/books/first")
    assert by_path.exit_code == 0
    lines = by_path.stdout.splitlines()
    assert lines[1] == f"class  {MODULE}.Book"
    assert lines[4:] == ["state", "{", '  "title": "Emma"', "}"]
    assert invoke("show", path, lines[0].split()[1]).stdout == by_path.stdout
    assert MODULE not in sys.modules


def test_an_object_as_json_is_data(path: Path) -> None:
    data = json.loads(invoke("show", path, "/books/first", "--json").stdout)
    assert data["class"] == f"{MODULE}.Book"
    assert data["state"] == {"title": "Emma"}
    assert data["tid"].startswith("0x")


def test_a_value_inside_is_shown_by_itself(path: Path) -> None:
    assert invoke("show", path, "/books/first/title").stdout == '"Emma"\n'


def test_an_object_is_shown_as_it_was(path: Path) -> None:
    newest, oldest = revisions(path)
    assert newest["description"] == "call it Emma"
    result = invoke("show", path, "/books/first", "--at", oldest["tid"], "--json")
    assert json.loads(result.stdout)["state"] == {"title": "Dune"}
    assert "call it Dune" in invoke("show", path, "/books/first", "--history").stdout


def test_what_changed_is_shown_in_lines(path: Path) -> None:
    newest, oldest = revisions(path)
    result = invoke("show", path, "/books/first", "--diff", oldest["tid"], newest["tid"])
    changed = [line for line in result.stdout.splitlines() if line[0] in "+-"]
    assert changed[0].startswith("--- 20")
    assert changed[2:] == ['-    "title": "Dune"', '+    "title": "Emma"']
    as_json = invoke("show", path, "/books/first", "--diff", oldest["tid"], newest["tid"], "--json")
    assert json.loads(as_json.stdout)["old"]["state"] == {"title": "Dune"}


def test_a_path_that_leads_nowhere_is_one_line(path: Path) -> None:
    result = run_perdure("show", path, "/books/second")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "perdure: path '/books/second': 'second' is not in /books: "
        "persistent.mapping.PersistentMapping with first\n"
    )


def test_history_and_difference_do_not_go_together(path: Path) -> None:
    result = invoke("show", path, "/", "--history", "--diff", "2026-01-01", "2026-01-02")
    assert result.exit_code == 2


def test_what_is_new_or_gone_differs_from_nothing(path: Path) -> None:
    newest, oldest = revisions(path)
    before = "2020-01-01"
    result = invoke("show", path, "/books/first", "--diff", before, newest["tid"])
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head == "--- none"
    assert '+    "title": "Emma"' in lines
    result = invoke("show", path, "/books/first", "--diff", oldest["tid"], before, "--json")
    data = json.loads(result.stdout)
    assert (data["new"], data["old"]["state"]) == (None, {"title": "Dune"})
    result = invoke("show", path, "/books/first", "--diff", before, before)
    assert result.exit_code == 1


def test_one_moment_and_two_do_not_go_together(path: Path) -> None:
    result = invoke("show", path, "/", "--at", "2026-01-01", "--diff", "2026-01-01", "2026-01-02")
    assert result.exit_code == 2
    assert "--at and --diff do not go together" in result.stderr
