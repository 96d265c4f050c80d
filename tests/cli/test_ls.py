import json
from pathlib import Path

import pytest
from BTrees.OOBTree import OOBTree

import perdure
from commands import invoke
from processes import run_perdure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.title = "Library"
        connection.root.tree = OOBTree({f"{number:04}": number for number in range(1500)})
        connection.root()["a/b"] = perdure.PersistentList([1, 2])
        connection.root.long = "x" * 100
    return path


def test_the_root_is_listed(path: Path) -> None:
    result = run_perdure("ls", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        'title       "Library"',
        "tree   0x1  BTrees.OOBTree.OOBTree",
        "'a/b'  0x2  persistent.list.PersistentList",
        'long        "' + "x" * 59 + " ...",
    ]


def test_a_tree_is_listed_up_to_the_limit(path: Path) -> None:
    result = invoke("ls", path, "/tree")
    assert len(result.stdout.splitlines()) == 1000
    assert "only the first 1,000" in result.stderr
    assert len(invoke("ls", path, "/tree", "-n", "0").stdout.splitlines()) == 1500
    assert invoke("ls", path, "/tree", "-n", "1500").stderr == ""


def test_a_list_as_json_is_data(path: Path) -> None:
    assert json.loads(invoke("ls", path, "/'a/b'", "--json").stdout) == [
        {"name": "0", "kind": "item", "oid": None, "class": None, "value": 1},
        {"name": "1", "kind": "item", "oid": None, "class": None, "value": 2},
    ]
    (tree,) = [e for e in json.loads(invoke("ls", path, "--json").stdout) if e["name"] == "tree"]
    assert (tree["oid"], tree["class"]) == ("0x1", "BTrees.OOBTree.OOBTree")


def test_nothing_inside_lists_nothing(path: Path) -> None:
    assert invoke("ls", path, "/title").stdout == ""
    assert json.loads(invoke("ls", path, "/title", "--json").stdout) == []


def test_the_past_can_be_listed(path: Path) -> None:
    result = invoke("ls", path, "--at", "2020-01-01")
    assert result.exit_code == 1
    assert "no object with oid 0x0" in result.stderr
