"""What `RecordReader` makes of records: ours, ZODB's, old ones and damaged ones."""

import pickle
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import ZODB
from BTrees.OOBTree import OOBTree
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from persistent import Persistent, PickleCache
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from ZODB.serialize import ObjectReader, ObjectWriter

from perdure import native
from perdure.errors import ConflictError, ConnectionStateError, POSKeyError, StateLoadError
from perdure.ids import p64
from perdure.records import RecordReader, RecordWriter, find_global
from samples.records_jar import Jar
from samples.records_objects import (
    Node,
    Point,
    RaisesInSetstate,
    Slotted,
    TakesArguments,
)

OID = p64(7)
HEAD = b"\x80\x03csamples.records_objects\nNode\nq\x00."


def stored(*attributes: Any, **named: Any) -> Jar:
    """Return a connection without objects, to a database with a node as `OID`."""
    jar = Jar()
    node = Node(**named)
    node._p_oid, node._p_jar = OID, jar
    jar.store(node)
    return jar.reopened()


@contextmanager
def zodb_connection() -> Iterator[Any]:
    database = ZODB.DB(None)
    connection = database.open()
    try:
        yield connection
    finally:
        connection.transaction_manager.abort()
        connection.close()
        database.close()


def test_a_state_comes_back_as_it_was_stored() -> None:
    read = stored(number=1, point=Point(1, 2), slotted=Slotted(1, b"x"), kind=Point).get(OID)
    assert read._p_changed is None
    assert (read.number, read.point, read.slotted, read.kind) == (
        1,
        Point(1, 2),
        Slotted(1, b"x"),
        Point,
    )


def test_a_reference_with_a_class_becomes_a_ghost_without_its_record() -> None:
    jar = stored(friend=Node(name="n"))
    friend_oid = jar.get(OID).friend._p_oid
    record = jar.records.pop(friend_oid)
    jar._cache.minimize()
    friend = jar.get(OID).friend
    assert type(friend) is Node
    assert friend._p_changed is None
    jar.records[friend_oid] = record
    assert friend.name == "n"


def test_two_references_to_one_object_become_one_object() -> None:
    child = Node()
    jar = stored(first=child, second=[child, Node(back=child)])
    node = jar.get(OID)
    assert node.first is node.second[0] is node.second[1].back


def test_an_object_whose_class_takes_arguments_is_made_from_its_own_record() -> None:
    picky = stored(picky=TakesArguments("the key")).get(OID).picky
    assert picky.key == "the key"


def test_a_class_that_takes_arguments_by_now_is_made_from_its_own_record() -> None:
    jar = stored(picky=TakesArguments("the key"))
    picky_oid = jar.get(OID).picky._p_oid
    # As if the reference had been written before the class took arguments.
    record = jar.records[OID]
    bare = b"C\x08" + picky_oid + b"q\x03Q"
    assert record.count(bare) == 1
    with_class = b"C\x08" + picky_oid + b"csamples.records_objects\nTakesArguments\n\x86Q"
    jar.records[OID] = record.replace(bare, with_class)
    assert jar.reopened().get(OID).picky.key == "the key"


def test_a_class_that_begins_to_take_arguments_is_made_from_its_own_record() -> None:
    class Changing(Persistent):
        pass

    def new(cls: type[Persistent], key: str) -> Persistent:
        return Persistent.__new__(cls)

    jar = stored()
    load_reference = jar.reader._load_reference
    assert type(load_reference((p64(99), Changing))) is Changing
    Changing.__new__ = new  # type: ignore[method-assign]
    assert type(load_reference((OID, Changing))) is Node


def test_references_to_other_databases_lead_to_their_connections() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    plain, picky = Node(name="plain"), TakesArguments("picky")
    for obj in (plain, picky):
        other.store(obj)
    node = Node(plain=plain, picky=picky, weak=WeakRef(plain))
    node._p_oid, node._p_jar = OID, jar
    jar.store(node)
    again, other_again = jar.reopened(), other.reopened()
    again.connections["other"] = other_again
    read = again.get(OID)
    assert read.plain._p_jar is read.picky._p_jar is read.weak.dm is other_again
    assert (read.plain.name, read.picky.key, read.weak()) == ("plain", "picky", read.plain)


def test_a_weak_reference_to_a_database_that_is_missing_leads_nowhere() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    target = Node()
    other.store(target)
    node = Node(weak=WeakRef(target))
    node._p_oid, node._p_jar = OID, jar
    jar.store(node)
    weak = jar.reopened().get(OID).weak
    assert weak() is None
    assert (weak.oid, weak.database_name) == (target._p_oid, "other")


def test_a_weak_reference_whose_object_is_gone_leads_nowhere() -> None:
    jar = stored(weak=WeakRef(Node()))
    weak = jar.get(OID).weak
    assert weak.dm is jar
    del jar.records[weak.oid]
    assert weak() is None


def test_an_old_weak_reference_is_read() -> None:
    jar = Jar()
    record = HEAD + b"\x80\x03}X\x01\x00\x00\x00w](C\x08" + p64(3) + b"eQs."
    assert jar.reader.state(record)["w"].oid == p64(3)


def test_oids_and_names_that_python_2_wrote_as_short_strings_are_read() -> None:
    jar = stored(friend=Node(name="n"))
    oid = jar.get(OID).friend._p_oid
    oid_as_str = b"U\x08" + oid
    as_name = b"(U\x17samples.records_objectsU\x04Nodet"
    head = b"\x80\x02" + as_name + b"N\x86."
    for reference in (
        oid_as_str + b"Q",
        b"(" + oid_as_str + b"csamples.records_objects\nNode\ntQ",
        b"(" + oid_as_str + as_name + b"tQ",
    ):
        again = jar.reopened()
        record = head + b"\x80\x02}U\x01f" + reference + b"s."
        assert type(again.reader.ghost(record)) is Node
        assert again.reader.state(record)[b"f"].name == "n"
    weak = jar.reader.state(HEAD + b"\x80\x02](U\x01w" + oid_as_str + b"\x85eQ.")
    assert weak.oid == oid


def test_the_memo_of_the_class_metadata_reaches_into_the_state() -> None:
    jar = Jar()
    record = HEAD + b"\x80\x03}X\x01\x00\x00\x00ch\x00s."
    node = jar.reader.ghost(record)
    for _ in range(2):  # the second time the class metadata is known and skipped
        jar.reader.set_state(node, record)
        assert node.c is Node


def test_a_record_of_another_shape_is_read_whole_although_its_class_is_known() -> None:
    jar = Jar()
    node = Node()
    jar.reader.set_state(node, HEAD + b"\x80\x03}X\x01\x00\x00\x00aK\x01s.")
    without_memo = HEAD.replace(b"q\x00", b"")
    jar.reader.set_state(node, without_memo + b"\x80\x03}X\x01\x00\x00\x00aK\x02s.")
    assert node.a == 2


@pytest.mark.skipif(not native.decoder, reason="the decoder is not in use")
def test_the_first_record_of_a_class_is_read_by_the_decoder() -> None:
    jar = stored()
    node = jar.get(OID)
    node.me = node
    jar.store(node)
    again = jar.reopened()
    read = again.get(OID)
    assert read.me is read
    assert (again.reader.hits, again.reader._hits) == (1, 0)  # none by the pure reader


def test_what_stands_behind_a_state_does_not_reach_the_next_one() -> None:
    jar = Jar()
    node = Node()
    behind = b"\x80\x03}X\x01\x00\x00\x00aK\x63s."
    for number in range(4):
        state = b"\x80\x03}X\x01\x00\x00\x00aK%cs." % number
        jar.reader.set_state(node, HEAD + state + behind)
        assert node.a == number


def test_states_of_every_size_are_read_one_after_the_other() -> None:
    for size in (0, 1, 255, 256, 65_000, 70_000, 200_000, 3):
        value = [bytes([size % 251]) * size, "x" * size, list(range(size // 50))]
        jar = stored(value=value)
        node = jar.get(OID)
        for _ in range(3):
            jar._cache.minimize()
            assert node.value == value


def test_a_state_is_not_held_on_to_once_it_is_given_to_its_object() -> None:
    jar = stored(point=Point(1, 2))
    node = jar.get(OID)
    for _ in range(3):
        watched = weakref.ref(node.point)
        jar._cache.minimize()
        assert watched() is None


# Refusals


def test_a_state_that_the_object_refuses_says_which_object() -> None:
    jar = Jar()
    stubborn = RaisesInSetstate()
    stubborn.a = 1
    jar.store(stubborn)
    again = jar.reopened()
    ghost = again.get(stubborn._p_oid)
    with pytest.raises(StateLoadError, match="this state is not what I expect") as caught:
        ghost._p_activate()
    assert caught.value.oid == stubborn._p_oid
    assert caught.value.class_name == "samples.records_objects.RaisesInSetstate"
    assert isinstance(caught.value.__cause__, ValueError)
    assert ghost._p_changed is None


def test_after_a_failure_the_reader_reads_on() -> None:
    jar = stored(a=1)
    node = jar.get(OID)
    node._p_activate()
    with pytest.raises(StateLoadError):
        jar.reader.set_state(node, HEAD + b"\x80\x03}X\x01")
    jar.reader.set_state(node, jar.records[OID])
    assert node.a == 1


def test_every_cut_of_a_record_is_a_typed_error_or_harmless() -> None:
    jar = stored(friend=Node(), point=Point(1, 2), weak=WeakRef(Node()), text="x" * 300)
    record = jar.records[OID]
    node = jar.get(OID)
    for end in range(len(record)):
        for read in (
            lambda cut: jar.reader.state(cut),
            lambda cut: jar.reader.set_state(node, cut),
        ):
            with pytest.raises(StateLoadError):
                read(record[:end])
    for end in range(len(HEAD)):
        with pytest.raises(StateLoadError):
            jar.reader.ghost(record[:end])


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"junk",
        b"\x80\x03Q.",
        b"\x80\x03K\x01Q.",
        b"\x80\x03C\x03abcQ.",
        b"\x80\x03](X\x01\x00\x00\x00xK\x01\x85eQ.",
        b"\x80\x03](K\x01K\x02K\x03eQ.",
        b"\x80\x03C\x08\0\0\0\0\0\0\0\x09K\x01\x86Q.",
        b"\x80\x03csamples.records_objects\nNode\nK\x01R.",
        b"\x80\x63.",
        b"\x80\x03\x82\xf0.",
        b"\x80\x03h\x63.",
    ],
)
def test_nonsense_in_a_record_is_a_typed_error(state: bytes) -> None:
    jar = Jar()
    with pytest.raises(StateLoadError):
        jar.reader.state(HEAD + state)


def test_a_head_that_names_no_class_is_a_typed_error() -> None:
    jar = Jar()
    for head in (b"\x80\x03K\x01.", b"\x80\x03cbuiltins\nlen\n.", b"\x80\x03cos\npath\n)\x86."):
        with pytest.raises(StateLoadError):
            jar.reader.ghost(head)


def test_a_class_that_cannot_be_made_is_a_typed_error_that_names_it() -> None:
    jar = Jar()
    with pytest.raises(StateLoadError, match=r"samples\.records_objects\.TakesArguments"):
        jar.reader.ghost(b"\x80\x03csamples.records_objects\nTakesArguments\nq\x00.")


def test_errors_of_the_database_pass_as_they_are() -> None:
    jar = stored(picky=TakesArguments("k"))
    del jar.records[p64(1)]
    with pytest.raises(POSKeyError):
        jar.get(OID)._p_activate()

    class Refuses(Node):
        def __setstate__(self, state: Any) -> None:
            raise ConflictError("meanwhile")

    with pytest.raises(ConflictError):
        jar.reader.set_state(Refuses(), HEAD + b"\x80\x03}.")


def test_an_unknown_database_is_an_error_for_a_strong_reference() -> None:
    class Alone(Jar):
        def get_connection(self, database_name: str) -> Jar:
            raise ConnectionStateError(f"there is no database {database_name!r}")

    jar = Alone()
    reference = b"](X\x01\x00\x00\x00nX\x01\x00\x00\x00oC\x08" + p64(1) + b"\x86eQ."
    with pytest.raises(ConnectionStateError, match="'o'"):
        jar.reader.state(HEAD + b"\x80\x03" + reference)


def test_the_reader_serves_a_load_while_it_loads() -> None:
    """An object that touches another in `__setstate__` makes the reader read twice at once."""

    class Curious(Node):
        def __setstate__(self, state: Any) -> None:
            Node.__setstate__(self, state)
            self._v_seen = self.friend.name

    jar = stored(friend=Node(name="n"))
    curious = Curious()
    jar.reader.set_state(curious, jar.records[OID])
    assert curious._v_seen == "n"


# Beside ZODB

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=300)
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = st.text() | st.integers() | st.binary() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=5)
        | st.builds(Slotted, inner, inner)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=20,
)


@for_all(values)
@settings(deadline=None)
def test_any_state_comes_back_from_a_record(value: Any) -> None:
    jar = Jar()
    node = Node(value=value, kind=Node, same=value)
    record = jar.store(node)
    read = jar.reopened().get(node._p_oid)
    assert read.value == value
    assert read.same is read.value or isinstance(value, int | float | str | bytes | tuple)
    assert read._p_jar.writer.serialize(read) == record or _has_a_set(value)


def _has_a_set(value: Any) -> bool:
    # The order of a set is not kept.
    return b"\nset\n" in pickle.dumps(value, 3) or b"frozenset\n" in pickle.dumps(value, 3)


@for_all(values)
@settings(deadline=None, max_examples=50)
def test_any_state_passes_between_zodb_and_us_both_ways(value: Any) -> None:
    with zodb_connection() as connection:
        node = Node(value=value)
        connection.add(node)
        ours, theirs = RecordWriter(connection).serialize(node), ObjectWriter(node).serialize(node)
        read_by_zodb = ObjectReader(connection, connection._cache, connection.db().classFactory)
        read_by_us = RecordReader(connection, connection._cache, find_global)
        assert read_by_zodb.getState(ours) == {"value": value}
        assert read_by_us.state(theirs) == {"value": value}


def test_every_kind_of_object_passes_between_zodb_and_us_both_ways() -> None:
    with zodb_connection() as connection:
        friend, picky = Node(name="friend"), TakesArguments("k")
        node = Node(
            friend=friend,
            picky=picky,
            weak=WeakRef(friend),
            mapping=PersistentMapping(a=friend),
            tree=OOBTree({1: friend}),
            point=Point(1, 2),
            kind=Node,
        )
        connection.root()["node"] = node
        connection.transaction_manager.commit()
        other = connection.db().open(connection.transaction_manager.__class__())
        ours = RecordReader(other, other._cache, find_global)
        theirs = ObjectReader(other, other._cache, connection.db().classFactory)
        writer = RecordWriter(connection)
        for obj in (node, friend, picky, node.mapping, node.tree, connection.root()):
            record = writer.serialize(obj)
            assert record == ObjectWriter(obj).serialize(obj)
            read, expected = ours.state(record), theirs.getState(record)
            assert _without_weak(read) == _without_weak(expected)
            assert type(ours.ghost(record)) is type(theirs.getGhost(record)) is type(obj)
        assert ours.state(writer.serialize(node))["weak"]() is other.get(friend._p_oid)
        other.close()


def _without_weak(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    return {key: value for key, value in state.items() if not isinstance(value, WeakRef)}


def test_ghosts_go_into_the_cache_of_the_connection() -> None:
    jar = Jar()
    cache = PickleCache(jar, 100, 0)
    reader = RecordReader(jar, cache, find_global)
    record = HEAD + b"\x80\x03C\x08" + p64(5) + b"h\x00\x86Q."
    ghost = reader.state(record)
    assert cache.get(p64(5)) is ghost
    assert ghost._p_jar is jar
