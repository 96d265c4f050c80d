import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure
from samples.objects import Counter, Node


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db:
        with db.transaction() as connection:
            connection.root.nodes = Node(next=Node(text="x" * 1000))
            connection.root.counter = Counter()
        with db.transaction() as connection:
            connection.root.counter.value = 7
    return path


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_classes_are_listed_the_largest_first(path: Path) -> None:
    result = run_perdure("du", path)
    assert (result.returncode, result.stderr) == (0, "")
    found = rows(result.stdout)
    assert [row[-1] for row in found] == [
        "count",
        "samples.objects.Node",
        "persistent.mapping.PersistentMapping",
        "samples.objects.Counter",
        "all",
    ]
    assert found[-1][1] == "4"


def test_subtrees_of_a_path_are_listed(path: Path) -> None:
    found = rows(invoke("du", path, "/").stdout)
    assert [(row[1], row[2]) for row in found[1:-1]] == [
        ("2", "nodes"),
        ("1", "."),
        ("1", "counter"),
    ]


def test_old_revisions_are_counted_when_asked_for(path: Path) -> None:
    data = json.loads(invoke("du", path, "--all-revisions", "--json").stdout)
    assert {room["class"].split(".")[-1]: room["count"] for room in data} == {
        "Node": 2,
        "PersistentMapping": 2,
        "Counter": 2,
    }
    assert invoke("du", path, "/", "--all-revisions").exit_code == 2


def test_what_a_limit_leaves_out_is_summed_up(path: Path) -> None:
    found = invoke("du", path, "-n", "1").stdout.splitlines()
    assert len(found) == 4
    assert found[2].endswith("(2 more)")


def test_subtrees_as_json_are_data(path: Path) -> None:
    data = json.loads(invoke("du", path, "/nodes", "--json").stdout)
    assert data["object_count"] == 2
    assert data["missing"] == []
    assert data["subtrees"][0]["name"] == "next"
    assert data["subtrees"][0]["class"] == "samples.objects.Node"
