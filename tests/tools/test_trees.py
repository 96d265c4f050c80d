"""Trees read as plain data hold what BTrees itself says they hold."""

import importlib
from typing import Any

import pytest

import perdure
from perdure.tools import Moment, children, find
from samples.vanishing import vanishing_class

SIZES = [0, 1, 5, 100, 3000]
MAPPINGS = ["OOBTree", "IOBTree", "LLBTree", "OIBTree", "QQBTree", "IFBTree"]


def stored(db: perdure.DB, tree: Any) -> Moment:
    with db.transaction() as connection:
        connection.root.tree = tree
    return Moment(db.storage)


def key_of(family: str, number: int) -> Any:
    return f"key {number:05}" if family.startswith("O") else number * 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", MAPPINGS)
def test_mappings_are_read_in_order(db: perdure.DB, family: str, size: int) -> None:
    tree = getattr(importlib.import_module(f"BTrees.{family}"), family)()
    tree.update({key_of(family, number): number for number in range(size)})
    moment = stored(db, tree)
    found = [(child.name, child.value) for child in children(moment, find(moment, "/tree"))]
    assert found == [(str(key), value) for key, value in tree.items()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["OOTreeSet", "IITreeSet"])
def test_sets_are_read_in_order(db: perdure.DB, name: str, size: int) -> None:
    family = name.replace("TreeSet", "BTree")
    tree = getattr(importlib.import_module(f"BTrees.{family}"), name)(
        key_of(family, number) for number in range(size)
    )
    moment = stored(db, tree)
    assert [c.value for c in children(moment, find(moment, "/tree"))] == list(tree)


@pytest.mark.parametrize("family", MAPPINGS)
def test_every_key_is_found(db: perdure.DB, family: str) -> None:
    tree = getattr(importlib.import_module(f"BTrees.{family}"), family)()
    tree.update({key_of(family, number): number for number in range(500)})
    moment = stored(db, tree)
    for number in range(0, 500, 7):
        assert find(moment, f"/tree/{key_of(family, number)}").value == number
    assert find(moment, f"/tree/{key_of(family, 499)}").value == 499


def test_keys_of_any_kind_are_found(db: perdure.DB) -> None:
    from BTrees.OOBTree import OOBTree

    keys = [(number, b"%d" % number) for number in range(200)]
    moment = stored(db, OOBTree(dict(zip(keys, range(200), strict=True))))
    assert find(moment, "/tree/(150, b'150')").value == 150


def test_a_lookup_loads_one_branch_only(db: perdure.DB, monkeypatch: pytest.MonkeyPatch) -> None:
    from BTrees.OOBTree import OOBTree

    moment = stored(db, OOBTree({f"{number:05}": number for number in range(20_000)}))
    loaded: list[bytes] = []
    load = moment.load

    def counting(oid: bytes) -> Any:
        loaded.append(oid)
        return load(oid)

    monkeypatch.setattr(moment, "load", counting)
    assert find(moment, "/tree/'12345'").value == 12345
    assert len(loaded) < 8


@pytest.mark.parametrize("size", [3, 300])
def test_a_subclass_of_a_tree_is_known_by_its_form(db: perdure.DB, size: int) -> None:
    from BTrees.OOBTree import OOBTree

    with vanishing_class("Folder", OOBTree) as folder:
        tree = folder()
        tree.update({f"{number:03}": number for number in range(size)})
        moment = stored(db, tree)
    place = find(moment, "/tree")
    assert place.class_name == "samples_that_vanished.Folder"
    assert [c.value for c in children(moment, place)] == list(range(size))
    assert find(moment, "/tree/'002'").value == 2


def test_one_bucket_shows_its_own_items(db: perdure.DB) -> None:
    from BTrees.OOBTree import OOBTree

    tree = OOBTree({f"{number:03}": number for number in range(100)})
    moment = stored(db, tree)
    bucket = "0x" + tree._firstbucket._p_oid.hex().lstrip("0")
    found = [child.value for child in children(moment, find(moment, bucket))]
    assert found == list(tree._firstbucket.values())
    assert len(found) < 100


def test_trees_with_object_keys_are_listed_too(db: perdure.DB) -> None:
    from datetime import date

    from BTrees.OOBTree import OOBTree

    tree = OOBTree({date(2026, 1, 1 + number % 28): number for number in range(28)})
    moment = stored(db, tree)
    names = [child.name for child in children(moment, find(moment, "/tree"))]
    assert names[0] == '{"$date": "2026-01-01"}'
