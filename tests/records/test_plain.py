"""Records as plain data: what JSON holds, for any record, without running anything."""

import collections
import datetime
import decimal
import fractions
import json
import pickle
import pickletools
import sys
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from BTrees.OOBTree import OOBTree
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from perdure.errors import StateLoadError
from perdure.ids import p64
from perdure.records import plain_record
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Shelf, Slotted, TakesArguments

HEAD = b"\x80\x03cno.such.module\nThing\nq\x00."


def plain(value: Any) -> Any:
    """Return how `value` is shown in the state of a node, after a way through JSON."""
    shown = plain_record(Jar().store(Node(value=value)))
    assert shown["class"] == "samples.records_objects.Node"
    return json.loads(json.dumps(shown, allow_nan=False))["state"]["value"]


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 1 << 100, 1.5, "ä\ud800", [], {}, [1, [2, {"a": None}]], {"": 0}]
)
def test_what_json_has_stands_for_itself(value: Any) -> None:
    assert plain(value) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\xff\x00", {"$bytes": "/wA="}),
        (bytearray(b"\xff\x00"), {"$bytes": "/wA="}),
        ((1, "a"), {"$tuple": [1, "a"]}),
        ({1}, {"$set": [1]}),
        (frozenset("a"), {"$frozenset": ["a"]}),
        (collections.deque([1, 2], 5), {"$deque": [1, 2]}),
        ({1: 2}, {"$dict": [[1, 2]]}),
        ({"$x": 1}, {"$dict": [["$x", 1]]}),
        ({(1, 2): 3}, {"$dict": [[{"$tuple": [1, 2]}, 3]]}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), {"$datetime": "2026-01-02T03:04:05.000006"}),
        (
            datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            {"$datetime": "2026-01-02T00:00:00+00:00"},
        ),
        (datetime.date(2026, 1, 2), {"$date": "2026-01-02"}),
        (datetime.time(3, 4), {"$time": "03:04:00"}),
        (datetime.timedelta(1, 2, 3), {"$timedelta": [1, 2, 3]}),
        (decimal.Decimal("1.10"), {"$decimal": "1.10"}),
        (fractions.Fraction(1, 3), {"$fraction": "1/3"}),
        (uuid.UUID(int=5), {"$uuid": "00000000-0000-0000-0000-000000000005"}),
        (1 + 2j, {"$complex": [1.0, 2.0]}),
        (float("inf"), {"$float": "inf"}),
        (Point, {"$global": "samples.records_objects.Point"}),
        (len, {"$global": "builtins.len"}),
        (Shelf.Label, {"$global": "samples.records_objects.Shelf.Label"}),
        (Point(1, 2), {"$object": "samples.records_objects.Point", "state": {"x": 1, "y": 2}}),
        (
            Slotted(1, 2),
            {
                "$object": "samples.records_objects.Slotted",
                "state": {"$tuple": [None, {"a": 1, "b": 2}]},
            },
        ),
        (range(3), {"$call": "builtins.range", "arguments": [0, 3, 1]}),
        ("text".upper, {"$call": "builtins.getattr", "arguments": ["text", "upper"]}),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0],  # the same in every process
)
def test_everything_else_says_what_it_is(value: Any, shown: Any) -> None:
    assert plain(value) == shown


def test_a_number_too_long_for_decimal_digits_is_written_in_hexadecimal() -> None:
    assert plain(1 << 20_000) == {"$int": hex(1 << 20_000)}


def test_a_zone_with_rules_is_named() -> None:
    shown = plain(datetime.datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")))
    assert shown["$datetime"] == "2026-01-02T00:00:00"
    assert shown["zone"]["arguments"][0] == "Europe/Berlin"


def test_a_list_or_dictionary_of_a_class_shows_its_contents() -> None:
    shown = plain(collections.defaultdict(list, a=1))
    assert shown == {
        "$call": "collections.defaultdict",
        "arguments": [{"$global": "builtins.list"}],
        "pairs": [{"$tuple": ["a", 1]}],
    }


def test_references_tell_oid_class_database_and_weakness() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    far, near = Node(), Node()
    far._p_oid, far._p_jar = p64(26), other
    node = Node(near=near, weak=WeakRef(near), far=far, picky=TakesArguments("k"))
    name = "samples.records_objects.Node"
    assert plain_record(jar.store(node))["state"] == {
        "near": {"$ref": "0x2", "class": name},
        "weak": {"$ref": "0x2", "weak": True},
        "far": {"$ref": "0x1a", "class": name, "database": "other"},
        "picky": {"$ref": "0x3"},
    }


def test_arguments_of_the_class_are_shown() -> None:
    shown = plain_record(Jar().store(TakesArguments("key")))
    assert shown["class"] == "samples.records_objects.TakesArguments"
    assert shown["arguments"] == {"$tuple": ["key"]}


def test_a_class_that_is_a_persistent_object_is_shown_as_a_reference() -> None:
    head = b"\x80\x03C\x08" + p64(5) + b"Q)\x86."
    assert plain_record(head + b"\x80\x03K\x01.") == {
        "class": {"$ref": "0x5"},
        "arguments": {"$tuple": []},
        "state": 1,
    }
    instance = HEAD + b"\x80\x03C\x08" + p64(5) + b"Q)\x81."
    assert plain_record(instance)["state"] == {"$object": {"$ref": "0x5"}}


def test_trees_and_mappings_are_shown_as_they_are_stored() -> None:
    jar = Jar()
    shown = plain_record(jar.store(PersistentMapping(a=1)))
    assert shown == {"class": "persistent.mapping.PersistentMapping", "state": {"data": {"a": 1}}}
    assert plain_record(jar.store(OOBTree({1: 2})))["class"] == "BTrees.OOBTree.OOBTree"


def test_nothing_is_imported() -> None:
    record = HEAD + b"\x80\x03(cno.such.other\nThing\n)\x81cno.such.module\nf\n)Rh\x00t."
    assert plain_record(record) == {
        "class": "no.such.module.Thing",
        "state": {
            "$tuple": [
                {"$object": "no.such.other.Thing"},
                {"$call": "no.such.module.f", "arguments": []},
                {"$global": "no.such.module.Thing"},
            ]
        },
    }
    assert not [name for name in sys.modules if name.startswith("no.such")]


def test_what_stands_twice_is_shown_once() -> None:
    shared = [1, 2]
    assert plain({"first": shared, "second": (shared, "x")}) == {
        "first": [1, 2],
        "second": {"$tuple": [{"$same": "state.value.first"}, "x"]},
    }


def test_a_circle_ends() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    assert plain(circle) == [1, {"$same": "state.value"}]


def test_a_small_record_does_not_explode() -> None:
    laughs: Any = ("ha", "ha")
    for _ in range(80):
        laughs = (laughs, laughs)
    assert len(json.dumps(plain(laughs))) < 100_000


def test_deep_nesting_is_cut_off() -> None:
    state = b"\x80\x03" + b"]" * 100_000 + b"a" * 99_999 + b"."
    shown = json.dumps(plain_record(HEAD + state))
    assert shown.count("[") == 100
    assert '{"$deep": "list"}' in shown


def test_old_forms_of_common_objects_are_read() -> None:
    old = HEAD + b"\x80\x02(c_codecs\nencode\nX\x02\0\0\0\xc3\xa4X\x06\0\0\0latin1\x86R"
    old += b"ccopy_reg\n_reconstructor\n(cno.such\nThing\nc__builtin__\nobject\nNtR}U\x01aK\x01sb"
    old += b"c__builtin__\nset\n](K\x01e\x85RU\x03str(K\x01ino.such\nOld\nt."
    shown = plain_record(old)["state"]["$tuple"]
    assert shown[0] == {"$bytes": "5A=="}
    assert shown[1] == {"$object": "no.such.Thing", "state": {"$dict": [[{"$bytes": "YQ=="}, 1]]}}
    assert shown[2] == {"$set": [1]}
    assert shown[3] == {"$bytes": "c3Ry"}
    assert shown[4] == {"$call": "no.such.Old", "arguments": [1]}


@pytest.mark.parametrize(
    "state",
    [
        b"\x80\x03cdatetime\ndatetime\nC\x03abc\x85R.",
        b"\x80\x03cdatetime\ndatetime\nC\x0a" + b"\xff" * 10 + b"\x85R.",
        b"\x80\x03cdatetime\ndatetime\n)R.",
        b"\x80\x03cdatetime\ntimedelta\nX\x01\0\0\0a\x85R.",
        b"\x80\x03cuuid\nUUID\n)\x81.",
        b"\x80\x03cdecimal\nDecimal\nK\x01\x85R.",
        b"\x80\x03cbuiltins\nset\nK\x01\x85R.",
        b"\x80\x03cbuiltins\ncomplex\nX\x01\0\0\0a\x85R.",
        b"\x80\x03ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x03cbuiltins\nbytearray\nX\x02\0\0\0\xc4\x80\x85R.",
        b"\x80\x03ccopyreg\n_reconstructor\nK\x01\x85R.",
        b"\x80\x03cbuiltins\ngetattr\ncno.such\nX\nK\x01\x86R.",
        b"\x80\x04cno.such\nX\n)}X\x01\0\0\0aK\x01s\x92.",
        b"\x80\x03cno.such\nX\n)R)R)R.",
        b"\x80\x03cno.such\nX\n)\x81](K\x01K\x02ea.",
        b"\x80\x03\x82\xf0.",
        b"\x80\x04\x8f(K\x01\x90.",
        b"\x80\x05\x96\x01\0\0\0\0\0\0\0a.",
        b"\x80\x04\x8c\x02no\x8c\x01X\x93.",
    ],
)
def test_oddities_are_shown_somehow(state: bytes) -> None:
    assert json.dumps(plain_record(HEAD + state))


def test_damage_is_a_typed_error() -> None:
    record = Jar().store(Node(a=[1, Point(1, 2)], b=Node()))
    for end in range(len(record)):
        with pytest.raises(StateLoadError, match="damaged"):
            plain_record(record[:end])


@for_all(st.lists(st.sampled_from([op.code.encode("latin-1") for op in pickletools.opcodes])))
@settings(deadline=None, max_examples=300)
def test_any_row_of_opcodes_is_shown_or_a_typed_error(codes: list[bytes]) -> None:
    try:
        shown = plain_record(HEAD + b"\x80\x04" + b"".join(codes) + b".")
    except StateLoadError:
        return
    assert json.dumps(shown)


@for_all(st.integers(0, 400), st.integers(0, 255))
@settings(deadline=None, max_examples=300)
def test_any_changed_byte_is_shown_or_a_typed_error(position: int, byte: int) -> None:
    record = bytearray(RICH)
    record[position % len(record)] = byte
    try:
        shown = plain_record(bytes(record))
    except StateLoadError:
        return
    assert json.dumps(shown)


RICH = Jar().store(
    Node(
        point=Point(1, 2),
        friend=Node(),
        items=[1, 2.5, "text", b"raw", (None, True), {"k": {1, 2}}],
        moment=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        number=decimal.Decimal("1.5"),
        weak=WeakRef(Node()),
    )
)


def test_protocol_does_not_matter() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        state = pickle.dumps({"a": [1, (2, "x")], "s": {1}, "p": Point(1, 2)}, protocol)
        shown = plain_record(HEAD.replace(b"q\x00", b"") + state)["state"]
        assert shown["a"] == [1, {"$tuple": [2, "x"]}]
        assert shown["s"] == {"$set": [1]}
        assert shown["p"]["$object"] == "samples.records_objects.Point"
