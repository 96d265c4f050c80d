import json
from pathlib import Path

import pytest

import perdure
from commands import invoke
from samples.objects import Node


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.node = node = Node()
        connection.root.other = Node(friends=[node])
    return path


def test_who_refers_to_an_object_is_listed(path: Path) -> None:
    result = invoke("refs", path, "/node")
    assert result.exit_code == 0
    oid = invoke("show", path, "/other").stdout.split()[1]
    assert sorted(result.stdout.splitlines()) == [
        "0x0  persistent.mapping.PersistentMapping  .data.node",
        f"{oid}  samples.objects.Node  .friends[0]",
    ]


def test_an_object_is_named_by_its_oid_too(path: Path) -> None:
    oid = invoke("show", path, "/node").stdout.split()[1]
    assert invoke("refs", path, oid).stdout == invoke("refs", path, "/node").stdout


def test_nobody_refers_to_what_is_not_there(path: Path) -> None:
    result = invoke("refs", path, "0x77")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(invoke("refs", path, "0x77", "--json").stdout) == []


def test_referrers_as_json_are_data(path: Path) -> None:
    data = json.loads(invoke("refs", path, "/node", "--json").stdout)
    assert {"oid": "0x0", "class": "persistent.mapping.PersistentMapping", "weak": False,
            "places": [".data.node"]} in data  # fmt: skip
