"""What `RecordWriter` writes, compared with ZODB's writer where both can write it."""

import threading
import weakref
from typing import Any

import pytest
import ZODB
from BTrees.OOBTree import OOBTree
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from ZODB.serialize import ObjectReader, ObjectWriter

from perdure.errors import (
    ConflictError,
    InvalidObjectReference,
    POSKeyError,
    RecordTooLargeError,
    UnpicklableError,
)
from perdure.ids import p64
from perdure.objects.blob import Blob
from perdure.records import RecordWriter, all_references, class_metadata, class_name
from samples.records_jar import Jar
from samples.records_objects import (
    KeepsItsJar,
    Node,
    NoticesItsOid,
    Point,
    Proxy,
    Shelf,
    Slotted,
    TakesArguments,
    TakesKeywords,
)

OID = p64(7)


def given(jar: Jar, obj: Any, oid: bytes = OID) -> Any:
    """Return `obj` as an object of `jar` with this oid."""
    obj._p_oid = oid
    obj._p_jar = jar
    return obj


def zodb_record(obj: Any) -> bytes:
    """Return what ZODB writes for `obj`."""
    return ObjectWriter(obj).serialize(obj)


def test_a_record_is_two_pickles_of_protocol_3_whose_memo_runs_on() -> None:
    jar = Jar()
    node = given(jar, Node(kind=Node, friend=given(jar, Node(), p64(9))))
    assert jar.writer.serialize(node) == (
        b"\x80\x03csamples.records_objects\nNode\nq\x00."
        b"\x80\x03}q\x01(X\x04\x00\x00\x00kindq\x02h\x00X\x06\x00\x00\x00friendq\x03"
        b"C\x08\x00\x00\x00\x00\x00\x00\x00\x09q\x04h\x00\x86q\x05Qu."
    )


@pytest.mark.parametrize("large", ["x" * 100_000, b"x" * 100_000, "ä" * 100_000])
def test_names_of_our_classes_are_exchanged_around_large_texts(large: Any) -> None:
    jar = Jar()
    name = "cperdure.objects.blob\nBlob\n"
    node = given(jar, Node())
    jar.writer.serialize(node)  # from now on, the class's head is known
    for before, behind in [(Blob, 1), (1, Blob), (Blob, Blob), (1, 1)]:
        node.first, node.large, node.second, node.last = before, [large, name], behind, large
        record = jar.writer.serialize(node)
        assert record.count(b"cZODB.blob\nBlob\n") == (Blob in (before, behind))
        assert record.count(name.encode()) == 1  # the text
        assert jar.reader.state(record) == node.__dict__


def test_records_are_byte_for_byte_those_of_zodb() -> None:
    jar = Jar()
    values = [
        Node(number=1, text="ä", raw=b"\xff", items=[1, (2, 3.5), {"k": None}], flag=True),
        Node(point=Point(1, 2), slotted=Slotted(1, "x"), kind=Point, nothing=None),
        Node(friend=given(jar, Node(), p64(8)), picky=given(jar, TakesArguments("k"), p64(9))),
        Node(weak=WeakRef(given(jar, Node(), p64(8)))),
        PersistentMapping({"a": 1}),
        PersistentList([1, 2]),
        OOBTree({n: str(n) for n in range(100)}),
        TakesArguments("key"),
        TakesKeywords(key="key"),
    ]
    for number, value in enumerate(values, 100):
        given(jar, value, p64(number))
    jar.store(values[6])  # gives its buckets their oids
    for value in values:
        assert jar.writer.serialize(value) == zodb_record(value), value


def test_a_writer_used_again_writes_the_same_as_a_new_one() -> None:
    jar = Jar()
    first, second = given(jar, Node(a="x", b="x")), given(jar, Node(a="x"), p64(8))
    expected = [RecordWriter(jar).serialize(node) for node in (first, second, first)]
    assert [jar.writer.serialize(node) for node in (first, second, first)] == expected


def test_new_objects_get_an_oid_and_are_handed_over_once_each() -> None:
    jar = Jar()
    child = Node()
    node = given(jar, Node(child=child, again=[child]))
    jar.writer.serialize(node)
    assert jar.writer.found == [child]
    assert child._p_jar is jar
    assert child._p_oid == p64(1)
    jar.writer.found.clear()
    jar.writer.serialize(node)
    assert jar.writer.found == []


def test_a_class_notices_how_its_objects_are_given_their_oid_and_connection() -> None:
    jar = Jar()
    noticing, keeping = NoticesItsOid(), KeepsItsJar()
    jar.store(Node(noticing=noticing, keeping=keeping))
    assert noticing.noticed == noticing._p_oid
    assert keeping.given_to == jar.database_name
    assert noticing._p_jar is keeping._p_jar is jar


def test_arguments_of_new_stand_in_the_class_metadata_and_the_references_leave_the_class_out() -> (
    None
):
    jar = Jar()
    picky = given(jar, TakesArguments("the key"), p64(3))
    record = jar.writer.serialize(picky)
    assert class_metadata(record).arguments == ("the key",)
    (reference,) = all_references(jar.writer.serialize(given(jar, Node(picky=picky))))
    assert (reference.oid, reference.class_name) == (p64(3), None)


def test_keyword_arguments_of_new_are_not_written_as_zodb_does_not_either() -> None:
    jar = Jar()
    record = jar.writer.serialize(given(jar, TakesKeywords(key="k")))
    assert class_metadata(record).arguments is None
    assert jar.reader.ghost(record).key == "none given"


def test_a_ghost_is_referred_to_without_loading_it() -> None:
    jar = Jar()
    jar.store(given(jar, Node(friend=Node(), picky=TakesArguments("k"))))
    node = jar.reopened().get(OID)
    node._p_activate()
    node._p_jar.writer.serialize(node)
    assert node.friend._p_changed is None
    assert node.picky._p_changed is None


# Weak references


def test_a_weak_reference_to_a_new_object_has_it_stored() -> None:
    jar = Jar()
    target = Node()
    weak = WeakRef(target)
    record = jar.writer.serialize(given(jar, Node(weak=weak)))
    assert jar.writer.found == [target]
    assert weak.oid == target._p_oid
    assert weak.dm is jar
    (reference,) = all_references(record)
    assert (reference.oid, reference.weak) == (target._p_oid, True)


def test_a_weak_reference_follows_its_object_to_another_oid() -> None:
    jar = Jar()
    target = Node()
    node = given(jar, Node(weak=WeakRef(target)))
    jar.writer.serialize(node)
    del target._p_jar, target._p_oid  # as an abort does with new objects
    jar.new_oid()
    record = jar.writer.serialize(node)
    assert all_references(record)[0].oid == target._p_oid == p64(3)


def test_a_weak_reference_to_another_database_names_it() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    target = given(other, Node(), p64(5))
    record = jar.writer.serialize(given(jar, Node(weak=WeakRef(target))))
    (reference,) = all_references(record)
    assert (reference.oid, reference.database_name, reference.weak) == (p64(5), "other", True)


def test_a_weak_reference_that_was_loaded_is_written_as_it_was() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    target = given(other, Node(), p64(5))
    stored = jar.store(given(jar, Node(weak=WeakRef(target), near=WeakRef(Node()))))
    alone = jar.reopened()  # where there is no database "other"
    assert alone.writer.serialize(alone.get(OID)) == stored


def test_a_weak_reference_to_nothing_is_refused() -> None:
    jar = Jar()
    weak = WeakRef.__new__(WeakRef)
    weak.oid = None
    with pytest.raises(InvalidObjectReference, match="refers to nothing"):
        jar.writer.serialize(given(jar, Node(weak=weak)))


# Other connections and databases


def test_references_to_another_database_are_those_of_zodb() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    plain = given(other, Node(), p64(5))
    picky = given(other, TakesArguments("k"), p64(6))
    node = given(jar, Node(plain=plain, picky=picky, weak=WeakRef(plain)))
    record = jar.writer.serialize(node)
    assert record == zodb_record(node)
    assert [(r.oid, r.database_name, r.class_name, r.weak) for r in all_references(record)] == [
        (p64(5), "other", "samples.records_objects.Node", False),
        (p64(6), "other", None, False),
        (p64(5), "other", None, True),
    ]


def test_an_object_of_a_stranger_is_refused_with_the_path_that_led_there() -> None:
    jar = Jar()
    stranger = given(Jar(), Node(), p64(5))
    node = given(jar, Node(shelves=[1, {"top": (Point(0, stranger),)}]))
    with pytest.raises(InvalidObjectReference) as caught:
        jar.writer.serialize(node)
    assert caught.value.oid == OID
    assert caught.value.class_name == "samples.records_objects.Node"
    assert caught.value.path == ".shelves[1]['top'][0].y"
    assert "oid 0x7, class samples.records_objects.Node, at .shelves[1]['top'][0].y" in str(
        caught.value
    )


def test_an_object_with_an_oid_and_no_connection_is_a_stranger_too() -> None:
    jar = Jar()
    nobodys = Node()
    nobodys._p_oid = p64(3)
    with pytest.raises(InvalidObjectReference) as caught:
        jar.writer.serialize(given(jar, Node(friend=nobodys)))
    assert caught.value.path == ".friend"


# What cannot be stored


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"lock": threading.Lock()}, ".lock (of class _thread.lock)"),
        ({"a": [0, {"k": threading.Lock()}]}, ".a[1]['k'] (of class _thread.lock)"),
        ({"p": Point(1, [threading.Lock()])}, ".p.y[0] (of class _thread.lock)"),
        ({"s": Slotted(1, threading.Lock())}, ".s.b (of class _thread.lock)"),
        ({"d": {threading.Lock(): 1}}, "keys()"),
        ({"f": lambda: None}, ".f (of class builtins.function)"),
        ({"g": (x for x in ())}, ".g (of class builtins.generator)"),
    ],
)
def test_what_cannot_be_pickled_is_named_with_its_place(attributes: Any, place: str) -> None:
    jar = Jar()
    with pytest.raises(UnpicklableError) as caught:
        jar.writer.serialize(given(jar, Node(**attributes)))
    assert caught.value.oid == OID
    assert caught.value.class_name == "samples.records_objects.Node"
    assert place in caught.value.reason
    assert "oid 0x7 (class samples.records_objects.Node)" in str(caught.value)
    assert isinstance(caught.value.__cause__, Exception)


def test_looking_for_the_place_gives_no_object_an_oid() -> None:
    jar = Jar()
    late = Node()
    with pytest.raises(UnpicklableError):
        jar.writer.serialize(given(jar, Node(lock=threading.Lock(), late=late)))
    assert late._p_oid is None
    assert jar.writer.found == []


def test_after_an_error_the_writer_writes_as_if_nothing_had_been() -> None:
    jar = Jar()
    child = Node()
    good = given(jar, Node(a="text", child=given(jar, Node(), p64(8))))
    expected = jar.writer.serialize(good)
    bad = given(jar, Node(a="text", child=child, lock=threading.Lock()), p64(9))
    for _ in range(2):
        with pytest.raises(UnpicklableError):
            jar.writer.serialize(bad)
        assert jar.writer.serialize(good) == expected
    assert jar.writer.found == [child]


def test_nothing_of_a_failed_state_is_held_on_to() -> None:
    jar = Jar()
    point = Point(1, 2)
    watched = weakref.ref(point)
    bad = given(jar, Node(point=point, lock=threading.Lock()))
    with pytest.raises(UnpicklableError):
        jar.writer.serialize(bad)
    del bad.point, point
    assert watched() is None


def test_nothing_of_a_written_state_is_held_on_to() -> None:
    jar = Jar()
    point = Point(1, 2)
    watched = weakref.ref(point)
    node = given(jar, Node(point=point))
    jar.writer.serialize(node)
    del node.point, point
    assert watched() is None


def test_a_class_that_cannot_be_found_again_is_refused() -> None:
    class Local(Persistent):
        pass

    jar = Jar()
    with pytest.raises(UnpicklableError, match="its class, or what __getnewargs__ returned"):
        jar.writer.serialize(given(jar, Local()))


def test_arguments_of_new_that_cannot_be_pickled_are_refused() -> None:
    jar = Jar()
    picky = given(jar, TakesArguments(threading.Lock()))
    with pytest.raises(UnpicklableError, match="what __getnewargs__ returned"):
        jar.writer.serialize(picky)


def test_a_state_that_is_nested_too_deeply_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    jar = Jar()
    with pytest.raises(UnpicklableError, match="nested too deeply"):
        jar.writer.serialize(given(jar, Node(nested=nested)))
    while nested:  # taken apart by hand: freeing it at once would nest as deeply
        nested = nested[0]


def test_a_string_of_four_gigabytes_is_refused_quickly_with_its_place() -> None:
    jar = Jar()
    huge = bytes(1 << 32)  # never touched, so it takes no memory
    with pytest.raises(RecordTooLargeError) as caught:
        jar.writer.serialize(given(jar, Node(films=[b"small", {"raw": huge}])))
    assert caught.value.oid == OID
    assert ".films[1]['raw']" in str(caught.value)
    assert "keep it in a blob" in str(caught.value)


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def test_conflicts_and_missing_objects_met_on_the_way_pass_as_they_are() -> None:
    jar = Jar()
    for error in (ConflictError("later"), POSKeyError(p64(1))):
        with pytest.raises(type(error)) as caught:
            jar.writer.serialize(given(jar, Node(a=Raises(error))))
        assert caught.value is error
        del caught


def test_an_error_of_the_application_keeps_its_type_and_tells_the_place() -> None:
    jar = Jar()
    with pytest.raises(ZeroDivisionError) as caught:
        jar.writer.serialize(given(jar, Node(a=[Raises(ZeroDivisionError("mine"))])))
    (note,) = caught.value.__notes__
    assert "oid 0x7" in note
    assert ".a[0]" in note


# Odd classes


def test_a_class_inside_another_is_stored_and_found_again() -> None:
    jar = Jar()
    jar.store(given(jar, Node(label=Shelf.Label("top"), kind=Shelf.Label)))
    read = jar.reopened().get(OID)
    assert read.label.text == "top"
    assert read.kind is Shelf.Label


def test_a_proxy_is_stored_as_a_reference_like_what_it_wraps() -> None:
    jar = Jar()
    friend = given(jar, Node(), p64(9))
    for wrapped in (Proxy(Point(1, 2)), Proxy(friend), Proxy(friend)):
        node = given(jar, Node(friend=wrapped))
        record = jar.writer.serialize(node)
        assert record == zodb_record(node)
        assert len(all_references(record)) == (wrapped.wrapped is friend)


def test_class_name_is_that_of_the_record() -> None:
    jar = Jar()
    assert class_name(jar.writer.serialize(given(jar, OOBTree()))) == "BTrees.OOBTree.OOBTree"


def test_zodb_reads_what_only_we_can_write() -> None:
    jar = Jar()
    record = jar.writer.serialize(given(jar, Node(label=Shelf.Label("top"))))
    database = ZODB.DB(None)
    connection = database.open()
    reader = ObjectReader(connection, connection._cache, database.classFactory)
    assert reader.getState(record)["label"].text == "top"
    connection.close()
    database.close()
