"""Objects whose class is gone: read, shown, kept from change, written back."""

import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ZODB
import ZODB.broken
from ZODB.serialize import ObjectReader, ObjectWriter

from perdure.ids import p64
from perdure.records import (
    Broken,
    BrokenModified,
    PersistentBroken,
    RecordReader,
    RecordWriter,
    all_references,
    class_metadata,
    find_global,
    persistent_broken,
    rebuild,
    references,
)
from samples import records_jar
from samples.records_jar import Jar
from samples.records_objects import Node, TakesArguments


@pytest.fixture
def vanishing() -> Iterator[ModuleType]:
    """A module `vanishing` with classes; `vanish` takes it away."""
    path = Path(records_jar.__file__).with_name("records_vanishing.py")
    spec = importlib.util.spec_from_file_location("vanishing", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["vanishing"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("vanishing", None)


def vanish() -> None:
    del sys.modules["vanishing"]


def test_a_missing_class_is_replaced_by_one_broken_class_of_its_name() -> None:
    cls = find_global("no.such.module", "Thing")
    assert issubclass(cls, Broken)
    assert (cls.__module__, cls.__name__) == ("no.such.module", "Thing")
    assert find_global("no.such.module", "Thing") is cls
    assert find_global("samples.records_objects", "NoSuchThing").__name__ == "NoSuchThing"
    assert persistent_broken(cls) is persistent_broken(cls)
    assert persistent_broken(persistent_broken(cls)) is persistent_broken(cls)
    assert issubclass(persistent_broken(cls), (cls, PersistentBroken))


def test_a_class_that_is_there_is_found() -> None:
    assert find_global("samples.records_objects", "Node") is Node
    assert find_global("__builtin__", "set") is set
    assert find_global("zodbpickle", "binary") is bytes


@pytest.mark.parametrize("module", ["", ".relative", "a..b", "sys.path", "\0"])
def test_a_name_that_no_module_can_have_is_broken(module: str) -> None:
    assert issubclass(find_global(module, "Thing"), Broken)


def test_a_module_that_fails_to_import_is_not_taken_for_missing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perdure_test_fails.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        find_global("perdure_test_fails", "Thing")


def test_a_class_that_is_there_again_is_found(vanishing: ModuleType) -> None:
    vanish()
    assert issubclass(find_global("vanishing", "Thing"), Broken)
    sys.modules["vanishing"] = vanishing
    assert find_global("vanishing", "Thing") is vanishing.Thing


def test_a_broken_object_shows_what_it_holds(vanishing: ModuleType) -> None:
    jar = Jar()
    thing = vanishing.Thing(title="Emma", value=vanishing.Value(1), friend=Node(name="n"))
    jar.store(thing)
    vanish()
    broken = jar.reopened().get(thing._p_oid)
    assert isinstance(broken, PersistentBroken)
    assert broken._p_changed is None
    assert repr(broken) == f"<persistent broken vanishing.Thing instance {p64(1)!r}>"
    assert broken._p_changed is None  # printing it did not load it
    state = broken.__Broken_state__
    assert state["title"] == "Emma"
    assert state["friend"].name == "n"
    assert state["value"].__Broken_state__ == {"x": 1}
    assert repr(state["value"]) == "<broken vanishing.Value instance, state {'x': 1}>"
    assert "'title': 'Emma'" in repr(broken)
    assert broken.__getstate__() == state


def test_a_broken_object_refuses_to_be_changed(vanishing: ModuleType) -> None:
    jar = Jar()
    thing = vanishing.Thing(value=vanishing.Value(1))
    jar.store(thing)
    vanish()
    broken = jar.reopened().get(thing._p_oid)
    for obj in (broken, broken.__Broken_state__["value"]):
        with pytest.raises(BrokenModified):
            obj.title = "Persuasion"
        with pytest.raises(BrokenModified):
            del obj.title
        with pytest.raises(BrokenModified):
            obj["title"] = "Persuasion"
        with pytest.raises(BrokenModified):
            obj.append(1)
    with pytest.raises(BrokenModified):
        pickle.dumps(broken)
    assert not broken._p_changed


def test_a_broken_object_is_written_back_byte_for_byte(vanishing: ModuleType) -> None:
    jar = Jar()
    thing = vanishing.Thing(
        title="Emma",
        tags=["a", "a"],
        friend=Node(),
        other=TakesArguments("k"),
        raw=b"\xff",
    )
    record = jar.store(thing)
    vanish()
    again = jar.reopened()
    broken = again.get(thing._p_oid)
    for _ in range(2):
        assert again.writer.serialize(broken) == record
        broken._p_deactivate()


def test_references_between_broken_objects_are_kept(vanishing: ModuleType) -> None:
    jar = Jar()
    thing = vanishing.Thing(other=vanishing.Thing())
    record = jar.store(thing)
    vanish()
    again = jar.reopened()
    written = again.writer.serialize(again.get(thing._p_oid))
    assert references(written) == references(record)
    assert class_metadata(written) == class_metadata(record)


@pytest.mark.parametrize(
    "head",
    [
        b"\x80\x03cvanishing\nThing\nq\x00.",
        b"\x80\x03cvanishing\nThing\n.",
        b"\x80\x02cvanishing\nThing\nq\x01.",
        b"\x80\x03cvanishing\nThing\nq\x00)\x86q\x01.",
        b"\x80\x03cvanishing\nThing\nq\x00X\x01\0\0\0kq\x01\x85q\x02\x86q\x03.",
        b"\x80\x03X\x09\0\0\0vanishingq\x00X\x05\0\0\0Thingq\x01\x86q\x02N\x86q\x03.",
    ],
)
def test_the_class_metadata_of_a_broken_object_keeps_its_form(head: bytes) -> None:
    jar = Jar()
    jar.records[p64(1)] = head + pickle.dumps({"text": "a", "texts": ["a", "a"]}, 3)
    written = jar.writer.serialize(jar.get(p64(1)))
    assert written.startswith(head)
    assert Jar(records={p64(1): written}).get(p64(1)).__getstate__() == {
        "text": "a",
        "texts": ["a", "a"],
    }


def test_a_broken_object_keeps_the_arguments_of_its_class(vanishing: ModuleType) -> None:
    jar = Jar()
    picky = vanishing.Picky("the key")
    record = jar.store(picky)
    vanish()
    again = jar.reopened()
    broken = again.get(picky._p_oid)
    assert broken.__Broken_newargs__ == ("the key",)
    broken._p_activate()
    broken._p_deactivate()  # which empties its dictionary
    assert broken.__Broken_newargs__ == ("the key",)
    assert again.writer.serialize(broken) == record


def test_a_broken_object_made_by_hand_can_be_stored() -> None:
    jar = Jar()
    cls = persistent_broken(find_global("vanishing.again", "Thing"))
    plain, picky = cls(), cls("key", 1)
    for obj in (plain, picky):
        obj.__setstate__({"a": 1})
        jar.store(obj)
    again = jar.reopened()
    assert again.get(plain._p_oid).__Broken_newargs__ == ()
    assert again.get(picky._p_oid).__Broken_newargs__ == ("key", 1)
    assert again.get(picky._p_oid).__Broken_state__ == {"a": 1}


def test_others_can_refer_to_a_broken_object(vanishing: ModuleType) -> None:
    jar = Jar()
    node = Node(thing=vanishing.Thing(title="Emma"))
    jar.store(node)
    vanish()
    again = jar.reopened()
    read = again.get(node._p_oid)
    read.note = "changed"
    again.store(read)
    assert [found.oid for found in all_references(again.records[node._p_oid])] == [p64(2)]
    assert again.reopened().get(node._p_oid).thing.__Broken_state__ == {"title": "Emma"}


def broken_values(vanishing: ModuleType) -> list[Any]:
    items, pairs = vanishing.Items([1, 2]), vanishing.Pairs(a=1)
    pairs.note = "also a state"
    return [vanishing.Value(7), items, pairs, vanishing.Called(1, 2), vanishing.Value]


def test_broken_values_survive_a_rewrite_and_are_real_when_the_class_is_back(
    vanishing: ModuleType,
) -> None:
    jar = Jar()
    values = broken_values(vanishing)
    node = Node(values=values)
    jar.store(node)
    vanish()
    again = jar.reopened()
    read = again.get(node._p_oid)
    assert read.values[1].__Broken_items__ == [1, 2]
    assert read.values[2].__Broken_pairs__ == [("a", 1)]
    assert read.values[3].__Broken_initargs__ == (1, 2)
    assert issubclass(read.values[4], Broken)
    for _ in range(2):  # and a rewrite of the rewrite
        again.store(read)
        assert b"cZODB.broken\nrebuild\n" in again.records[node._p_oid]
        assert b"perdure" not in again.records[node._p_oid]
        again = again.reopened()
        read = again.get(node._p_oid)
        assert read.values[0].__Broken_state__ == {"x": 7}
    sys.modules["vanishing"] = vanishing
    repaired = again.reopened().get(node._p_oid).values
    assert repaired[:3] == values[:3]
    assert repaired[2].note == "also a state"
    assert repaired[3].args == (1, 2)
    assert repaired[4] is vanishing.Value


def test_zodb_reads_broken_values_that_we_wrote(vanishing: ModuleType) -> None:
    jar = Jar()
    values = broken_values(vanishing)
    node = Node(values=values)
    jar.store(node)
    vanish()
    again = jar.reopened()
    again.store(again.get(node._p_oid))
    sys.modules["vanishing"] = vanishing
    reader = ObjectReader(None, None, lambda jar, *names: ZODB.broken.find_global(*names))
    read = reader.getState(again.records[node._p_oid])["values"]
    assert read[:3] == values[:3]
    assert read[3].args == (1, 2)
    assert read[4] is vanishing.Value


def test_we_read_broken_values_that_zodb_wrote(vanishing: ModuleType) -> None:
    database = ZODB.DB(None)
    connection = database.open()
    node = Node(value=vanishing.Value(7))
    connection.add(node)
    record = ObjectWriter(node).serialize(node)
    vanish()
    theirs = ObjectReader(connection, connection._cache, database.classFactory)
    node.__setstate__(theirs.getState(record))
    assert isinstance(node.value, ZODB.broken.Broken)
    rewritten = ObjectWriter(node).serialize(node)
    ours = RecordReader(connection, connection._cache, find_global)
    read = ours.state(rewritten)
    assert read["value"].__Broken_state__ == {"x": 7}
    node.__setstate__(read)
    assert RecordWriter(connection).serialize(node) == rewritten
    connection.transaction_manager.abort()
    connection.close()
    database.close()


def test_rebuild_makes_the_real_object_if_it_can() -> None:
    assert isinstance(rebuild("samples.records_objects", "Node"), Node)
    broken = rebuild("no.such.module", "Thing", 1, 2)
    assert isinstance(broken, Broken)
    assert broken.__Broken_newargs__ == (1, 2)
    assert broken.__Broken_initargs__ is None
