"""References found in records without their classes, compared with ZODB's `referencesf`."""

import copyreg
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from ZODB.serialize import referencesf

from perdure.errors import StateLoadError
from perdure.ids import p64
from perdure.records import Reference, all_references, parse_reference
from perdure.records import references as chosen_references
from perdure.records.opcodes import memo_overflow
from perdure.records.references import ReferenceFinder, pure_references
from samples.record_corpus import damaged, records
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Shelf, Slotted, TakesArguments

HEAD = b"\x80\x03cno.such.module\nThing\nq\x00."
OID = b"C\x08" + p64(5)


@pytest.fixture(
    params=[pure_references, chosen_references, ReferenceFinder().find],
    ids=["pure", "chosen", "one after the other"],
)
def references(request: pytest.FixtureRequest) -> Any:
    """Return what finds references: in Python, and what is in use, which may be native code."""
    return request.param


def every_kind() -> bytes:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    plain, picky = Node(), TakesArguments("k")
    for number, obj in enumerate((plain, picky), 5):
        obj._p_oid, obj._p_jar = p64(number), other
    return jar.store(
        Node(
            near=Node(),
            near_picky=TakesArguments("k"),
            again=PersistentMapping(),
            weak=WeakRef(Node()),
            far=plain,
            far_picky=picky,
            far_weak=WeakRef(plain),
        )
    )


def test_strong_references_in_this_database_are_found_in_order(references: Any) -> None:
    assert references(every_kind()) == [p64(2), p64(3), p64(4)]


def test_all_references_tell_what_they_are() -> None:
    node = "samples.records_objects.Node"
    assert all_references(every_kind()) == [
        Reference(p64(2), node),
        Reference(p64(3)),
        Reference(p64(4), "persistent.mapping.PersistentMapping"),
        Reference(p64(5), weak=True),
        Reference(p64(5), node, "other"),
        Reference(p64(6), None, "other"),
        Reference(p64(5), None, "other", weak=True),
    ]


def test_references_are_appended_to_a_given_list(references: Any) -> None:
    oids = [p64(99)]
    assert references(every_kind(), oids) is oids
    assert oids == [p64(99), p64(2), p64(3), p64(4)]


def test_a_record_without_references_has_none(references: Any) -> None:
    record = Jar().store(Node(a=1))
    assert references(record) == []
    assert all_references(record) == []


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (p64(5), Reference(p64(5))),
        ("\0\0\0\0\0\0\0\x05", Reference(p64(5))),
        ((p64(5), Node), Reference(p64(5), "samples.records_objects.Node")),
        ((p64(5), ("a.b", "C")), Reference(p64(5), "a.b.C")),
        ((p64(5), (b"a.b", b"C")), Reference(p64(5), "a.b.C")),
        (["w", (p64(5),)], Reference(p64(5), weak=True)),
        ([b"w", (p64(5), b"db")], Reference(p64(5), None, "db", weak=True)),
        (["n", ("db", p64(5))], Reference(p64(5), None, "db")),
        (["m", ("db", p64(5), Node)], Reference(p64(5), "samples.records_objects.Node", "db")),
        ([p64(5)], Reference(p64(5), weak=True)),
    ],
)
def test_every_form_of_a_reference_is_understood(stored: Any, expected: Reference) -> None:
    assert parse_reference(stored) == expected


@pytest.mark.parametrize(
    "stored",
    [None, 5, b"", b"short", (), (p64(5),), ["x", (p64(5),)], ["w", ()], ["n", (p64(5),)], [], [1]],
)
def test_what_is_no_reference_is_a_typed_error(stored: Any) -> None:
    with pytest.raises(StateLoadError, match="expected"):
        parse_reference(stored)


def test_classes_are_not_imported(references: Any) -> None:
    record = HEAD + b"\x80\x03}(K\x01" + OID + b"cno.such.other\nThing\n\x86QK\x02h\x00)\x81u."
    assert references(record) == [p64(5)]
    assert all_references(record) == [Reference(p64(5), "no.such.other.Thing")]
    assert not [name for name in sys.modules if name.startswith("no.such")]


def test_references_inside_of_anything_are_found(references: Any) -> None:
    jar = Jar()
    inside = [Node() for _ in range(9)]
    record = jar.store(
        Node(
            a=[inside[0], (inside[1], {inside[2]: inside[3]})],
            b={inside[4], frozenset([inside[5]])},
            c=Point(inside[6], Slotted(inside[7], Shelf.Label(inside[8]))),
        )
    )
    assert sorted(references(record)) == sorted(node._p_oid for node in inside)


def test_an_instance_whose_class_is_a_persistent_object_hides_nothing(references: Any) -> None:
    # The class is a reference, of which an instance is made.
    record = HEAD + b"\x80\x03](" + OID + b"Q)\x81}X\x01\x00\x00\x00aC\x08" + p64(6) + b"Qsbe."
    assert references(record) == referencesf(record) == [p64(5), p64(6)]
    assert [reference.oid for reference in all_references(record)] == [p64(5), p64(6)]


def test_extension_codes_are_read_and_bring_nothing_to_life(references: Any) -> None:
    record = HEAD + b"\x80\x03](\x82\xf0)\x81\x82\xf0)R" + OID + b"Qe."
    copyreg.add_extension("samples.records_objects", "Node", 0xF0)
    try:
        copyreg._extension_cache[0xF0] = _Explodes
        assert [reference.oid for reference in all_references(record)] == [p64(5)]
    finally:
        copyreg.remove_extension("samples.records_objects", "Node", 0xF0)
    assert references(record) == [p64(5)]


class _Explodes:
    def __new__(cls) -> "_Explodes":
        raise AssertionError("made from a record that was only to be looked at")


@pytest.mark.parametrize(
    "find", [chosen_references, pure_references, ReferenceFinder().find, all_references]
)
def test_every_cut_of_a_record_is_a_typed_error(find: Any) -> None:
    record = every_kind()
    for end in range(len(record)):
        with pytest.raises(StateLoadError):
            find(record[:end])


def test_what_follows_the_state_is_not_looked_at(references: Any) -> None:
    assert references(every_kind() + b"a trailer") == [p64(2), p64(3), p64(4)]


nodes = st.sampled_from(
    [Node, PersistentMapping, lambda: TakesArguments("k"), lambda: WeakRef(Node())]
)
states = st.recursive(
    nodes.map(lambda make: make()) | st.integers() | st.binary(min_size=7, max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Slotted, inner, inner)
    ),
    max_leaves=30,
)


@for_all(states)
@settings(deadline=None)
def test_references_are_those_that_zodb_finds(state: Any) -> None:
    record = Jar().store(Node(state=state, again=state))
    expected = referencesf(record)
    assert pure_references(record) == chosen_references(record) == expected
    assert [found.oid for found in all_references(record) if not found.weak] == expected


def test_a_finder_finds_the_same_in_any_row_of_records() -> None:
    find, random = ReferenceFinder().find, Random(7)
    sound = list(records(7, 300))
    for number in range(1500):
        record = random.choice(sound)
        if number % 3 == 0:
            record = damaged(random, record)
        if memo_overflow(record, 2):
            continue
        try:
            expected: Any = pure_references(record)
        except StateLoadError:
            expected = None
        try:
            assert find(record) == expected
        except StateLoadError:
            assert expected is None
    large = HEAD + b"\x80\x03(" + OID + b"QB" + (1 << 17).to_bytes(4, "little")
    large += bytes(1 << 17) + OID + b"Qt."
    assert find(large) == [p64(5), p64(5)]


def test_a_finder_knows_how_records_begin_and_skips_no_reference() -> None:
    find = ReferenceFinder().find
    refers = b"\x80\x03" + OID + b"Q."
    plain, other = HEAD + refers, HEAD.replace(b"Thing", b"Other") + refers
    alike = HEAD.replace(b"q\x00.", b"q\x00N\x86.") + refers  # the same class, another pickle
    in_front = b"\x80\x03cno.such.module\nThing\n" + OID + b"Q\x86.\x80\x03N."
    from_memo = HEAD + b"\x80\x03h\x00."
    in_memo = b"\x80\x03cno.such.module\nThing\n(" + OID + b"q\x01Nt\x86.\x80\x03h\x01Q."
    newer = plain.replace(b"\x80\x03", b"\x80\x04")
    behind = plain + b"more"
    for record in 3 * (plain, other, plain, alike, in_front, from_memo, in_memo, newer, behind):
        expected = [] if record is from_memo else [p64(5)]
        assert find(record) == pure_references(record) == expected
    with pytest.raises(StateLoadError):
        find(HEAD + b"\x80\x03h\x01.")  # what another record has numbered is not known here
    found = [p64(1)]
    assert find(plain, found) is found == [p64(1), p64(5)]
