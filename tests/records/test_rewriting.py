"""Records with other oids in their references."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from perdure.errors import StateLoadError
from perdure.ids import p64, u64
from perdure.records import Reference, all_references, plain_record, references, with_other_oids
from perdure.records.rewriting import _pickled  # the patient way, tested for itself
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Shelf, Slotted, TakesArguments

HEAD = b"\x80\x03cno.such.module\nThing\nq\x00."


def plus_1000(oid: bytes) -> bytes:
    return p64(u64(oid) + 1000)


def moved(reference: Reference) -> Reference:
    if reference.database_name is not None:
        return reference
    return Reference(plus_1000(reference.oid), reference.class_name, None, reference.weak)


def rich_record() -> bytes:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    far, far_picky = Node(), TakesArguments("k")
    for number, obj in enumerate((far, far_picky), 2):
        obj._p_oid, obj._p_jar = p64(number), other
    near = Node()
    return jar.store(
        Node(
            near=near,
            again=[near, Point(near, 1)],
            picky=TakesArguments("k"),
            mapping=PersistentMapping(),
            weak=WeakRef(near),
            far=far,
            far_picky=far_picky,
            far_weak=WeakRef(far),
            label=Shelf.Label("x"),
            slotted=Slotted(1, {2, 3}),
        )
    )


def test_strong_and_weak_references_get_the_other_oids_and_those_elsewhere_stay() -> None:
    record = rich_record()
    rewritten = with_other_oids(record, plus_1000)
    assert all_references(rewritten) == [moved(found) for found in all_references(record)]


def test_what_is_not_a_reference_stays_although_it_equals_an_oid() -> None:
    jar = Jar()
    friend = Node()
    friend._p_oid, friend._p_jar = p64(0x4142434445464748), jar
    node = Node(
        a=b"ABCDEFGH", friend=friend, same=friend._p_oid, text="C\x08ABCDEFGH", raw=b"C\x08ABCDEFGH"
    )
    jar.store(node)
    rewritten = with_other_oids(jar.records[node._p_oid], lambda oid: p64(7))
    state = Jar().reader.state(rewritten)
    assert state["friend"]._p_oid == p64(7)
    assert (state["a"], state["same"]) == (b"ABCDEFGH", b"ABCDEFGH")
    assert (state["text"], state["raw"]) == ("C\x08ABCDEFGH", b"C\x08ABCDEFGH")


def test_a_state_that_goes_in_circles_is_rewritten() -> None:
    jar = Jar()
    circle: list[Any] = [Node()]
    circle.append(circle)
    node = Node(circle=circle, number=p64(1))
    rewritten = with_other_oids(jar.store(node), plus_1000)
    assert references(rewritten) == [p64(1002)]
    state = Jar().reader.state(rewritten)
    assert state["circle"][1] is state["circle"]
    assert state["number"] == p64(1)


def test_a_new_oid_is_asked_for_once_and_in_order() -> None:
    asked: list[bytes] = []

    def new_oid(oid: bytes) -> bytes:
        asked.append(oid)
        return p64(1000 + len(asked))

    record = rich_record()
    with_other_oids(record, new_oid)
    here = [found.oid for found in all_references(record) if found.database_name is None]
    assert asked == list(dict.fromkeys(here))


def test_a_record_without_references_is_returned_as_it_is() -> None:
    record = Jar().store(Node(a=b"12345678"))
    assert with_other_oids(record, plus_1000) is record


def test_classes_are_not_imported() -> None:
    record = HEAD + b"\x80\x03](C\x08" + p64(5) + b"h\x00\x86Qcno.such\nf\nK\x01\x85Re."
    assert with_other_oids(record, plus_1000) == record.replace(p64(5), p64(1005))


@pytest.mark.parametrize(
    "state",
    [
        b"\x80\x02U\x08\0\0\0\0\0\0\0\x05Q.",
        b"\x80\x02](U\x08\0\0\0\0\0\0\0\x05U\x01aU\x01b\x86\x86Qe.",
        b"](T\x08\0\0\0\0\0\0\0\0\0\0\x05QS'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x05'\nQe.",
        b"\x80\x03X\x08\0\0\0\0\0\0\0\0\0\0\x05Q.",
        b"\x80\x03](C\x08\0\0\0\0\0\0\0\x05eQ.",
        b"\x80\x03](X\x01\0\0\0wC\x08\0\0\0\0\0\0\0\x05\x85eQ.",
        b"\x80\x03C\x08\0\0\0\0\0\0\0\x05Q)\x81}X\x01\0\0\0aK\x01sb.",
    ],
)
def test_every_form_of_a_reference_is_rewritten(state: bytes) -> None:
    found = all_references(HEAD + state)
    rewritten = with_other_oids(HEAD + state, plus_1000)
    assert all_references(rewritten) == [moved(reference) for reference in found]
    assert {reference.oid for reference in found} == {p64(5)}


def test_the_class_metadata_may_hold_references_too() -> None:
    record = b"\x80\x03C\x08" + p64(5) + b"q\x00Q)\x86.\x80\x03h\x00Q."
    assert references(with_other_oids(record, plus_1000)) == [p64(1005), p64(1005)]


def test_damage_is_a_typed_error() -> None:
    record = rich_record()
    for end in range(len(record)):
        with pytest.raises(StateLoadError):
            with_other_oids(record[:end], plus_1000)


states = st.recursive(
    st.builds(Node)
    | st.builds(TakesArguments, st.text())
    | st.builds(lambda: WeakRef(Node()))
    | st.integers()
    | st.text()
    | st.integers(0, 9).map(p64)
    | st.sampled_from([Node, len, Shelf.Label, (1).__add__]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9).map(p64), inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Slotted, inner, inner)
        | st.builds(Shelf.Label, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=20,
)


@for_all(states)
@settings(deadline=None)
def test_nothing_but_the_oids_changes(state: Any) -> None:
    record = Jar().store(Node(state=state, again=[state]))
    rewritten = with_other_oids(record, plus_1000)
    assert all_references(rewritten) == [moved(found) for found in all_references(record)]
    back = with_other_oids(rewritten, lambda oid: p64(u64(oid) - 1000))
    assert plain_record(back) == plain_record(record)


@for_all(states)
@settings(deadline=None)
def test_a_record_taken_apart_and_pickled_anew_says_the_same(state: Any) -> None:
    from perdure.records import rewriting
    from perdure.records.inert import load_inert

    record = Jar().store(Node(state=state, again=[state]))
    again = _pickled(load_inert(record, rewriting._Stored)[0])
    assert plain_record(again) == plain_record(record)
    assert all_references(again) == all_references(record)
