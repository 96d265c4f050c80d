import sys
from typing import Any

import pytest
import ZODB.persistentclass
from BTrees.OOBTree import OOBTree

from perdure.errors import StateLoadError
from perdure.ids import p64
from perdure.records import class_metadata, class_name, find_global
from perdure.records.classmeta import class_and_arguments
from perdure.records.inert import Inert
from samples.records_jar import Jar
from samples.records_objects import Node, Shelf, TakesArguments

STATE = b"\x80\x03}."


def test_the_plain_form_is_read_from_its_bytes() -> None:
    metadata = class_metadata(Jar().store(OOBTree()))
    assert (metadata.class_name, metadata.arguments) == ("BTrees.OOBTree.OOBTree", None)


@pytest.mark.parametrize(
    ("head", "name", "arguments"),
    [
        (b"\x80\x03cgone.x\nC\n.", "gone.x.C", None),
        (b"\x80\x03cgone.x\nC\nq\x00.", "gone.x.C", None),
        (b"\x80\x02cgone.x\nC\nq\x01.", "gone.x.C", None),
        (b"cgone.x\nC\np0\n.", "gone.x.C", None),
        (b"(igone.x\nC\n.", None, None),
        (b"\x80\x03cgone.x\nC\nq\x00)\x86q\x01.", "gone.x.C", ()),
        (b"\x80\x03cgone.x\nC\nK\x01\x85\x86.", "gone.x.C", (1,)),
        (b"\x80\x03cgone.x\nC\nN\x86.", "gone.x.C", None),
        (b"\x80\x03X\x06\x00\x00\x00gone.xX\x01\x00\x00\x00C\x86N\x86.", "gone.x.C", None),
        (b"\x80\x02U\x06gone.xU\x01C\x86K\x01\x85\x86.", "gone.x.C", (1,)),
        (b"\x80\x03C\x08" + p64(5) + b"QN\x86.", None, None),
        (b"\x80\x03C\x08" + p64(5) + b"Q.", None, None),
    ],
)
def test_every_form_of_class_metadata_is_understood(
    head: bytes, name: str | None, arguments: Any
) -> None:
    metadata = class_metadata(head + STATE)
    assert (metadata.class_name, metadata.arguments) == (name, arguments)
    assert class_name(head + STATE) == (name or "persistent class")
    assert "gone" not in sys.modules


def test_a_class_inside_another_has_a_dotted_name() -> None:
    head = b"\x80\x03cbuiltins\ngetattr\ncgone.x\nOuter\nX\x05\x00\x00\x00Inner\x86R."
    assert class_name(head + STATE) == "gone.x.Outer.Inner"


def test_arguments_are_inert() -> None:
    head = b"\x80\x03cgone.x\nC\ncgone.x\nD\n)\x81\x85\x86."
    (argument,) = class_metadata(head + STATE).arguments
    assert isinstance(argument, Inert)


def test_the_metadata_of_a_persistent_class_is_that_of_its_metaclass() -> None:
    cls = ZODB.persistentclass.PersistentMetaClass("C", (object,), {"__module__": "somewhere"})
    from ZODB.serialize import ObjectWriter

    cls._p_jar, cls._p_oid = Jar(), p64(3)
    metadata = class_metadata(ObjectWriter(cls).serialize(cls))
    assert metadata.class_name == "ZODB.persistentclass.PersistentMetaClass"
    assert metadata.arguments[0] == "C"


@pytest.mark.parametrize("record", [b"", b"\x80\x03cgone.x\nC", b"\x80\x03.", b"no pickle"])
def test_damaged_metadata_is_a_typed_error(record: bytes) -> None:
    with pytest.raises(StateLoadError):
        class_metadata(record)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (Node, (Node, ())),
        ((Node, None), (Node, ())),
        ((TakesArguments, ("k",)), (TakesArguments, ("k",))),
        ((("samples.records_objects", "Node"), None), (Node, ())),
        (((b"samples.records_objects", b"Node"), (1,)), (Node, (1,))),
        (Shelf.Label, (Shelf.Label, ())),
    ],
)
def test_loaded_metadata_gives_class_and_arguments(metadata: Any, expected: Any) -> None:
    assert class_and_arguments(metadata, find_global) == expected


def test_loaded_metadata_without_a_class_is_a_typed_error() -> None:
    for metadata in (None, 1, (1, 2), ("a", "b", "c"), len):
        with pytest.raises(StateLoadError, match="expected a class"):
            class_and_arguments(metadata, find_global)
