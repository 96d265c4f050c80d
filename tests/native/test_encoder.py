"""The encoder in C writes what the pickler writes, byte for byte, or leaves it to that."""

import copyreg
import enum
import gc
import threading
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from BTrees.IOBTree import IOBucket
from BTrees.OOBTree import OOBTree, OOBucket, OOSet
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from persistent import Persistent
from persistent.wref import WeakRef

from perdure import native
from perdure.errors import InvalidObjectReference, UnpicklableError
from perdure.ids import p64
from perdure.records.reducing import global_of
from samples.record_corpus import FUZZ_COUNT
from samples.records_compared import pure_writer
from samples.records_generated import graph
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Shelf, Slotted, TakesArguments

if not native.encoder:
    pytest.skip("the encoder is not in use", allow_module_level=True)

HEAD = b"\x80\x03csamples.records_objects\nNode\nq\x00."
OID = p64(7)
SEED = 20261121


class Handed(Exception):
    """The encoder handed an object over."""


def hand_over(*args: Any) -> bytes:
    raise Handed


def given(jar: Jar, obj: Any, oid: bytes = OID) -> Any:
    """Return `obj` as an object of `jar` with this oid."""
    obj._p_oid = oid
    obj._p_jar = jar
    return obj


def alone(jar: Jar) -> Any:
    """Return an encoder that says when it hands over, and knows how nodes begin."""
    made = native.encoder.Encoder(
        jar=jar,
        found=jar.writer.found,
        classify=jar.writer._classify,
        global_of=global_of,
        reference_to=jar.writer._reference_to,
        hand_over=hand_over,
        write_anew=hand_over,
    )
    made.learn(Node, HEAD, False)
    return made


def agree(make: Any) -> Any:
    """Return what is written for the object that `make(jar)` makes; natively as purely."""
    results = []
    for writer_of in (lambda jar: jar.writer, pure_writer):
        jar = Jar()
        writer = writer_of(jar)
        for attempt in range(3):  # the class and what it holds are known after the first
            obj = given(jar, make(jar), p64(1000 + attempt))
            try:
                result: Any = writer.serialize(obj)
            except Exception as error:
                result = type(error), str(error), getattr(error, "__notes__", None)
            results.append((attempt, result, [new._p_oid for new in writer.found]))
            writer.found.clear()
    assert results[:3] == results[3:]
    return results[2][1]


# What it knows

Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 1.5, float("nan"), -0.0),
        *(
            0,
            1,
            255,
            256,
            65535,
            65536,
            2**31 - 1,
            2**31,
            2**32,
            2**39 - 1,
            2**39,
            2**63 - 1,
            2**63,
        ),
        *(-1, -128, -129, -(2**31), -(2**31) - 1, -(2**39), -(2**39) - 1, -(2**63), -(2**63) - 1),
        *(2**2031, -(2**2031), 2**2040, -(2**2040), 3**9000),
        *("", "a", "ä", "\U0001f600", "\ud800", "x" * 255, "x" * 256, "x" * 70_000),
        *(b"", b"a", b"x" * 255, b"x" * 256, b"x" * 70_000),
        *((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, 2], {}, {1: 2}, {1: 2, 3: 4}),
        *(list(range(999)), list(range(1000)), list(range(1001)), list(range(2500))),
        *(dict.fromkeys(range(n)) for n in (999, 1000, 1001, 2500)),
        [("text", n, f"text {n}") for n in range(300)],
        *(set(), {1}, frozenset(), frozenset([1]), bytearray(), bytearray(b"a"), 1j),
        *(Point(1, 2), Slotted(1, 2), Point, Node, int, dict),
        *(date(2026, 1, 1), time(1, 2), timedelta(5), datetime(2026, 1, 1, tzinfo=UTC)),
        *(Decimal("1.5"), UUID(int=5)),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:20]}",
)
def test_it_writes_what_the_pickler_writes_and_hands_nothing_over(value: Any) -> None:
    record = agree(lambda jar: Node(value=value, again=value, inside=[value, (value, value)]))
    jar = Jar()
    node = given(jar, Node(value=value, again=value, inside=[value, (value, value)]))
    assert alone(jar).serialize(node) == record


def recursive(kind: str) -> Any:
    made: list[Any] = []
    for size in (1, 2, 3, 4):
        inner: Any = [] if kind == "list" else {}
        outer = (inner,) * size
        if kind == "list":
            inner.append(outer)
        else:
            inner["outer"] = outer
        made += (inner, outer)
    point = Point(1, 2)
    point.x, point.y = point, made
    made += (made, point, frozenset([Point(1, 1)]))
    return made


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_what_contains_itself_is_written_as_by_the_pickler(kind: str) -> None:
    made = recursive(kind)
    record = agree(lambda jar: Node(value=made, tuple=made[1], again=made[0]))
    jar = Jar()
    node = given(jar, Node(value=made, tuple=made[1], again=made[0]))
    assert alone(jar).serialize(node) == record


def test_references_are_those_of_the_pure_writer() -> None:
    def make(jar: Jar) -> Node:
        known, other = given(jar, Node(), p64(5)), Jar("other", connections=jar.connections)
        return Node(
            known=[known, known, (known,)],
            new=[Node(), {"a": Node()}],
            picky=TakesArguments("k"),
            known_picky=given(jar, TakesArguments("k"), p64(6)),
            tree=OOBTree(),
            foreign=[given(other, Node(), p64(5)), given(other, TakesArguments("k"), p64(6))],
        )

    agree(make)
    jar = Jar()
    alone(jar).serialize(given(jar, make(jar)))


def test_attributes_that_are_not_stored_are_left_out() -> None:
    names = ("_v_a", "_v_", "_p_x", "_v", "_p", "_w_a", "v_a", "ä", "")
    for count in range(len(names) + 1):
        for chosen in (names[:count], names[count:]):

            def make(jar: Jar, chosen: Any = chosen) -> Node:
                node = Node()
                vars(node).update(dict.fromkeys(chosen, 1))
                return node

            record = agree(make)
            read = Jar().reader.state(record)
            assert list(read) == [n for n in chosen if not n.startswith(("_v_", "_p_"))]


def test_attributes_named_by_surrogates_are_written() -> None:
    jar = Jar()
    node = given(jar, Node())
    vars(node).update({"\ud800": 1, "_v_\ud800": 2, "_\ud800": 3})
    record = alone(jar).serialize(node)  # the pure writer crashes here, in `persistent`
    assert jar.reader.state(record) == {"\ud800": 1, "_\ud800": 3}


def test_odd_dictionaries_of_instances_are_written_as_by_the_pure_writer() -> None:
    class Text(str):
        pass

    def make_with(attributes: dict[Any, Any]) -> Any:
        def make(jar: Jar) -> Node:
            node = Node()
            vars(node).update(attributes)
            return node

        return make

    agree(make_with({1: 2, (1, 2): 3}))
    agree(make_with({Text("_v_x"): 1}))
    agree(make_with(dict.fromkeys(f"name{n}" for n in range(1500))))

    def of_its_own_dictionary(jar: Jar) -> Node:
        node = Node(a=1)
        node.own = vars(node)
        return node

    agree(of_its_own_dictionary)

    def ordered(jar: Jar) -> Node:
        node = Node()
        node.__dict__ = OrderedDict(a=1, _v_b=2)
        return node

    agree(ordered)


class WithSlots(Persistent):
    __slots__ = ("__dict__", "a", "b")


class OnlySlots(Persistent):
    __slots__ = ("a",)


class WithState(Persistent):
    def __getstate__(self) -> Any:
        return [self.__class__.__name__, (1, 2)]


def test_states_of_other_forms_are_written_as_by_the_pure_writer() -> None:
    def make(cls: Any) -> Any:
        def of(jar: Jar) -> Any:
            obj = cls()
            if cls is not WithState:
                obj.a = 1
            if cls is WithSlots:
                obj.c = 3
            return obj

        return of

    for cls in (WithSlots, OnlySlots, WithState):
        agree(make(cls))


def test_a_class_that_gets_a_getstate_later_is_asked_for_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jar = Jar()
    node = given(jar, Node(a=1))
    jar.writer.serialize(node)
    monkeypatch.setattr(Node, "__getstate__", lambda self: {"b": 2})
    assert jar.reader.state(jar.writer.serialize(node)) == {"b": 2}


def test_a_ghost_is_loaded_to_be_written() -> None:
    jar = Jar()
    node = given(jar, Node(a=1))
    record = jar.store(node)
    again = jar.reopened()
    again.writer.serialize(given(again, Node(), p64(9)))
    ghost = again.get(OID)
    assert ghost._p_changed is None
    assert again.writer.serialize(ghost) == record


# Buckets of BTrees

KEYS: dict[str, list[Any]] = {
    "I": [-(2**31), -70_000, -1, 0, 1, 255, 256, 65_535, 65_536, 2**31 - 1],
    "U": [0, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1],
    "L": [-(2**63), -(2**31) - 1, -(2**31), -1, 0, 255, 256, 2**31, 2**39, 2**63 - 1],
    "Q": [0, 255, 65_536, 2**31, 2**39, 2**63 - 1, 2**63, 2**64 - 1],
    "O": ["a", "b", "c", "d" * 300, "\ud800", "ä"],
}
VALUES: dict[str, list[Any]] = KEYS | {
    "O": [None, "text", "text", 5, 2**70, b"bytes", ("a", "b"), ["x"], "\ud800", 1.5],
    "F": [0.0, -1.25, 1 / 3, 1e30, float("inf")],
}
FAMILIES = [
    *("IO", "II", "IU", "IF", "LO", "LL", "LF", "LQ", "OO", "OI", "OL", "OU", "OQ"),
    *("UO", "UU", "UI", "UF", "QO", "QQ", "QL", "QF"),
]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 200])
@pytest.mark.parametrize("family", FAMILIES)
def test_buckets_are_written_as_by_the_pure_writer(family: str, size: int) -> None:
    module = import_module(f"BTrees.{family}BTree")
    keys = (KEYS[family[0]] * size)[:size]
    values = (VALUES[family[1]] * size)[:size]
    pairs = tuple(each for pair in zip(keys, values, strict=True) for each in pair)
    for name, items in (("Bucket", pairs), ("Set", tuple(keys))):
        cls = getattr(module, family + name)

        def make(jar: Jar, behind: bool, cls: Any = cls, items: Any = items) -> Any:
            bucket = cls()
            # Keys may be there several times this way: that is none of the writer's business.
            state = (items, given(jar, cls(), p64(5))) if behind else (items,)
            bucket.__setstate__(state)
            return bucket

        for behind in (True, False):
            record = agree(lambda jar, behind=behind, make=make: make(jar, behind))
            state = Jar().reader.state(record)
            assert len(state) == 1 + behind
            assert len(state[0]) == len(items)


def test_buckets_of_references_are_written_as_by_the_pure_writer() -> None:
    def make(jar: Jar) -> Any:
        bucket = IOBucket()
        for number in range(200):
            bucket[number] = Node() if number % 2 else given(jar, Node(), p64(number))
        bucket[1000] = bucket[1]
        return bucket

    agree(make)


def text(number: int) -> str:
    """Return a text to which nobody else refers."""
    return f"text number {number}"


def test_texts_with_one_reference_and_with_several_are_written_as_by_the_pure_writer() -> None:
    def bucket(jar: Jar) -> Any:
        made = OOBucket()
        shared = text(0)
        for number in range(100):
            made[text(number + 1)] = text(number) if number % 3 else shared
        made[shared] = [shared, text(1000), {text(1001): text(1002)}]
        return made

    def oo_set(jar: Jar) -> Any:
        return OOSet([text(number) for number in range(100)])

    def node(jar: Jar) -> Node:
        shared = text(0)
        inner: list[Any] = [text(1)]
        within_itself = (text(2), shared, inner)
        inner.append(within_itself)
        items = [text(3), inner, shared, {text(4): text(5), shared: text(6)}, (text(7),)]
        return Node(a=text(8), b=shared, items=items, again=items, inner=inner, t=within_itself)

    def of_its_own_dictionary(jar: Jar) -> Node:
        made = Node(a=text(1), b=[text(2)])
        made.own = vars(made)
        return made

    for make in (bucket, oo_set, node, of_its_own_dictionary):
        agree(make)


class Watches:
    """Notes, when it is asked for its state, whether a tuple refers to it."""

    def __init__(self) -> None:
        self.is_in_tuple = False

    def __getstate__(self) -> None:
        self.is_in_tuple = any(type(each) is tuple for each in gc.get_referrers(self))


def test_of_a_bucket_no_tuple_is_made_to_write_it() -> None:
    jar = Jar()
    bucket = given(jar, IOBucket())
    jar.writer.serialize(bucket)
    bucket[1] = watches = Watches()
    jar.writer.serialize(bucket)
    assert not watches.is_in_tuple


def test_a_bucket_that_is_a_ghost_is_loaded_to_be_written() -> None:
    jar = Jar()
    bucket = given(jar, OOBucket({"key": "value"}))
    record = jar.store(bucket)
    again = jar.reopened()
    again.writer.serialize(given(again, OOBucket(), p64(9)))
    ghost = again.get(OID)
    assert ghost._p_changed is None
    assert again.writer.serialize(ghost) == record


class OwnBucket(IOBucket):
    def __getstate__(self) -> Any:
        return "state", super().__getstate__()


def test_a_bucket_of_a_class_made_in_python_is_asked_for_its_state() -> None:
    record = agree(lambda jar: OwnBucket({1: "one"}))
    assert Jar().reader.state(record) == ("state", ((1, "one"),))


def test_buckets_that_change_while_they_are_written_do_no_harm() -> None:
    for spoil in (
        lambda bucket: bucket.clear(),
        lambda bucket: bucket.update({text(number): [number] for number in range(1000)}),
        lambda bucket: bucket.pop("a", None),
        lambda bucket: bucket.__setstate__((("x", text(1)),)),
        lambda bucket: bucket.update({"a": text(1), "c": text(2), "d": text(3)}),
    ):
        jar = Jar()
        bucket = given(jar, OOBucket())
        bucket.update({"a": text(1), "c": [text(2)], "d": text(3)})
        jar.writer.serialize(bucket)
        bucket["b"] = Spoils(lambda spoil=spoil, bucket=bucket: spoil(bucket))
        state = jar.reader.state(jar.writer.serialize(bucket))
        assert len(state[0]) % 2 == 0
        bucket.clear()
        bucket["key"] = text(5)
        assert jar.reader.state(jar.writer.serialize(bucket)) == (("key", text(5)),)


@contextmanager
def at_collection(number: int, change: Callable[[], object]) -> Iterator[None]:
    """Have garbage collected as often as can be, and `change` run the so-manieth time.

    Until Python 3.12, that is in the midst of C code that makes objects.
    """

    def note(phase: str, info: object) -> None:
        phases.append(phase)
        if phases.count("start") == number and phase == "start":
            change()

    phases: list[str] = []
    before = gc.get_threshold()
    gc.collect()
    gc.callbacks.append(note)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(note)


def in_unicode(text: str) -> str:
    """Return a text, to which nobody else refers, that has no UTF-8: an error says so first."""
    return text * 400 + "\ud800"  # of a size that malloc() marks when it is free


def test_a_text_may_leave_its_bucket_while_it_is_looked_at() -> None:
    for number in range(1, 12):
        jar = Jar()
        bucket = given(jar, OOBucket({"a": 1}))
        jar.writer.serialize(bucket)
        bucket["b"] = in_unicode("x")
        with at_collection(number, lambda bucket=bucket: bucket.update({"b": in_unicode("y")})):
            record = jar.writer.serialize(bucket)
        value = jar.reader.state(record)[0][3]
        assert value in (in_unicode("x"), in_unicode("y"))


def test_an_attribute_may_be_gone_while_its_name_is_looked_at() -> None:
    name = "name\ud800"
    for number in range(1, 12):
        jar = Jar()
        node = given(jar, Node(a=1))
        jar.writer.serialize(node)
        vars(node).clear()
        vars(node)[name] = in_unicode("x")
        with at_collection(number, lambda node=node: vars(node).update({name: in_unicode("y")})):
            record = alone(jar).serialize(node)
        assert jar.reader.state(record)[name] in (in_unicode("x"), in_unicode("y"))


def test_an_object_may_change_its_class_while_that_is_asked_for() -> None:
    class Place:
        """What an object is until then; nothing else keeps it."""

    def classify(obj: Any) -> int:
        obj.__class__ = Point
        gc.collect()
        return 0

    jar = Jar()
    writer = jar.writer
    encoder = native.encoder.Encoder(
        jar=jar,
        found=writer.found,
        classify=classify,
        global_of=global_of,
        reference_to=writer._reference_to,
        hand_over=lambda obj, state: b"handed over",
        write_anew=hand_over,
    )
    encoder.learn(Node, HEAD, False)
    node = given(jar, Node(value=Place()))
    watched = weakref.ref(Place)
    del Place
    assert encoder.serialize(node) == b"handed over"
    gc.collect()
    assert watched() is not None  # as long as something is known of it
    del encoder
    gc.collect()
    assert watched() is None


# What it leaves to the pickler


class Colour(enum.Enum):
    RED = 1


class OwnReduction:
    def __reduce__(self) -> Any:
        return Point, (1, 2)


class OwnReductionEx:
    def __reduce_ex__(self, protocol: Any) -> Any:
        return Point, (protocol, 2)


class Registered:
    pass


class AList(list[int]):
    pass


class ADict(dict[int, int]):
    pass


class Keywords:
    def __new__(cls, *, a: int) -> "Keywords":
        return object.__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (), {"a": 1}


@pytest.mark.parametrize(
    "value",
    [
        *(Colour.RED, OwnReduction(), OwnReductionEx(), AList([1]), ADict({1: 2}), Keywords(a=1)),
        *(
            OrderedDict(a=1),
            Shelf.Label,
            Shelf.Label("x"),
            len,
            [].append,
            type(None),
            ...,
            range(3),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_hands_over_what_it_does_not_know(value: Any) -> None:
    agree(lambda jar: Node(a=[1, "text"], value=value, again=value))
    jar = Jar()
    with pytest.raises(Handed):
        alone(jar).serialize(given(jar, Node(value=value)))


def test_it_hands_over_objects_of_classes_that_it_has_not_learned() -> None:
    jar = Jar()
    for obj in (TakesArguments("k"), Point(1, 2), Node, None):
        with pytest.raises(Handed):
            alone(jar).serialize(obj)
    with pytest.raises(TypeError):
        alone(jar).learn(Point, HEAD, False)


def test_a_reduction_that_is_registered_is_the_one_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jar = Jar()
    writer, pure = jar.writer, pure_writer(jar)
    node = given(jar, Node(value=Registered()))
    assert writer.serialize(node) == pure.serialize(node)
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda obj: (Point, (1, 2)))
    assert writer.serialize(node) == pure.serialize(node)
    assert Jar().reader.state(writer.serialize(node))["value"] == Point(1, 2)


def test_new_objects_have_the_oids_of_the_pure_writer_when_a_state_is_handed_over() -> None:
    def make(jar: Jar) -> Node:
        return Node(a=[Node(), {1: Node()}], weak=WeakRef(Node()), c=Node(), d=OwnReduction())

    agree(make)


@pytest.mark.parametrize(
    "make",
    [
        lambda jar: Node(new=Node(), lock=threading.Lock()),
        lambda jar: Node(a=[0, {"k": threading.Lock()}]),
        lambda jar: Node(f=lambda: None),
        lambda jar: Node(p=Point(1, [threading.Lock()])),
        lambda jar: Node(cls=type("Local", (), {})),
        lambda jar: Node(obj=type("Local", (), {})()),
        lambda jar: Node(new=Node(), stranger=given(Jar(), Node(), p64(5))),
    ],
)
def test_errors_are_those_of_the_pure_writer(make: Any) -> None:
    kind, *_ = agree(make)
    assert issubclass(kind, UnpicklableError | InvalidObjectReference)


def test_a_class_that_is_no_longer_what_its_name_says_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jar = Jar()
    node = given(jar, Node(kind=Point, friend=given(jar, Node(), p64(5))))
    jar.writer.serialize(node)
    monkeypatch.setattr("samples.records_objects.Point", int)
    with pytest.raises(UnpicklableError, match="not the same object"):
        jar.writer.serialize(node)


def test_deep_states_are_refused_as_by_the_pure_writer() -> None:
    def make(jar: Jar) -> Node:
        nested: list[Any] = []
        for _ in range(5000):
            nested = [nested]
        return Node(nested=nested)

    kind, message, _ = agree(make)
    assert kind is UnpicklableError
    assert "nested too deeply" in message


# What changes under its hands


class Spoils:
    """Changes what holds it while it is asked for its state."""

    def __init__(self, spoil: Any) -> None:
        self.spoil = spoil

    def __getstate__(self) -> None:
        self.spoil()


def test_containers_that_change_while_they_are_written_do_no_harm() -> None:
    jar = Jar()
    items: list[Any] = list(range(5))
    pairs: dict[Any, Any] = {n: n for n in range(5)}
    node = given(jar, Node())
    for spoil in (
        items.clear,
        lambda: items.extend([0] * 10_000),
        pairs.clear,
        lambda: pairs.update({n: [n] for n in range(10_000)}),
        lambda: vars(node).clear(),
        lambda: vars(node).update({f"n{n}": [n] for n in range(1000)}),
        lambda: jar.writer.serialize(given(jar, Node(a=[1], b=Point(1, 2)), p64(8))),
    ):
        vars(node).update(items=items, pairs=pairs, more=["text"])
        items.append(Spoils(spoil))
        pairs["spoils"] = Spoils(spoil)
        node.spoils, node.last = Spoils(spoil), ["x"]
        try:
            record = jar.writer.serialize(node)
        except (UnpicklableError, RuntimeError):
            pass  # as the pickler: something changed size
        else:
            jar.reader.state(record)
        assert jar.reader.state(jar.writer.serialize(given(jar, Node(a=[1]), p64(9)))) == {"a": [1]}


# Beside the pure writer

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=300)
    | st.datetimes()
    | st.decimals()
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
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.frozensets(keys)
    ),
    max_leaves=20,
)


@for_all(values)
@settings(deadline=None)
def test_any_state_is_written_as_by_the_pure_writer(value: Any) -> None:
    agree(lambda jar: Node(value=value, same=value))


def records(writer_of: Any, seed: int) -> Any:
    """Return the records of a generated graph, or why it could not be stored."""
    jar = Jar()
    jar.writer = writer_of(jar)
    try:
        jar.store(graph(seed))
    except Exception as error:
        return type(error), str(error)
    return jar.records


def test_generated_graphs_are_written_as_by_the_pure_writer() -> None:
    for seed in range(SEED, SEED + FUZZ_COUNT // 10):
        assert records(lambda jar: jar.writer, seed) == records(pure_writer, seed), seed


@pytest.mark.slow
def test_a_million_records_of_generated_graphs_are_written_as_by_the_pure_writer() -> None:
    count = 0
    for seed in islice(range(SEED + 1_000_000, 2 * SEED), 1_000_000):
        found = records(lambda jar: jar.writer, seed)
        assert found == records(pure_writer, seed), seed
        count += len(found)
        if count >= 1_000_000:
            return
