"""Conflict resolution on records, compared with ZODB's where both resolve."""

import logging
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import ZODB.ConflictResolution
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from persistent import Persistent
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

import perdure.errors
from perdure.errors import ConflictError, POSKeyError, ReadConflictError
from perdure.ids import p64
from perdure.records import (
    ClassPolicy,
    PersistentReference,
    RecordWriter,
    all_references,
    class_metadata,
    resolve_conflict,
)
from perdure.records.conflict import RecordMerger
from samples.records_jar import Jar
from samples.records_objects import Counter, Node, Point

OID, READ, COMMITTED = p64(7), p64(100), p64(200)


class Case:
    """Three records of one object, and what a storage does with them."""

    def __init__(self, jar: Jar, read: Any, committed: Any, new: Any) -> None:
        self.revisions = {READ: record(jar, read), COMMITTED: record(jar, committed)}
        self.new = record(jar, new)

    def loadSerial(self, oid: bytes, tid: bytes) -> bytes:
        assert oid == OID
        return self.revisions[tid]

    def resolve(self, **options: Any) -> bytes:
        return resolve_conflict(self.loadSerial, OID, COMMITTED, READ, self.new, **options)

    def resolve_by_zodb(self) -> bytes:
        resolved: bytes = ZODB.ConflictResolution.tryToResolveConflict(
            self, OID, COMMITTED, READ, self.new
        )
        return resolved

    def _crs_untransform_record_data(self, data: bytes) -> bytes:
        return data

    _crs_transform_record_data = _crs_untransform_record_data

    def fails(self, **options: Any) -> ConflictError:
        with pytest.raises(ConflictError) as caught:
            self.resolve(**options)
        error = caught.value
        assert error.oid == OID
        assert error.serials == (COMMITTED, READ)
        return error


def record(jar: Jar, obj: Any) -> bytes:
    obj._p_oid, obj._p_jar = OID, jar
    return jar.writer.serialize(obj)


def merging(function: Callable[..., Any]) -> type:
    """Have `Merges` resolve by `function`, and return it."""
    Merges.resolution = staticmethod(function)
    return Merges


class Merges(Persistent):
    resolution: Any = None

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def _p_resolveConflict(self, old: Any, committed: Any, new: Any) -> Any:
        return self.resolution(old, committed, new)


Merges.__module__, Merges.__qualname__ = "samples.records_objects", "Merges"


@pytest.fixture(autouse=True)
def merges_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samples.records_objects.Merges", Merges, raising=False)


def state_of(jar: Jar, data: bytes) -> Any:
    return jar.reopened().reader.state(data)


def test_the_three_states_are_merged() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10))
    assert state_of(jar, case.resolve()) == {"count": 14}
    assert case.resolve() == case.resolve_by_zodb()


def test_references_and_class_metadata_are_those_of_the_new_record() -> None:
    jar = Jar()
    friend = Node()
    facts = {"friend": friend, "weak": WeakRef(friend), "point": Point(1, friend)}
    case = Case(jar, Counter(1), Counter(5), Counter(10, **facts))
    resolved = case.resolve()
    assert all_references(resolved) == all_references(case.new)
    assert class_metadata(resolved) == class_metadata(case.new)
    assert all_references(case.resolve_by_zodb()) == all_references(resolved)


def test_the_committed_record_can_be_given() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10))
    committed = case.revisions.pop(COMMITTED)
    assert state_of(jar, case.resolve(committed_data=committed)) == {"count": 14}


def test_transformed_records_are_transformed_back_and_forth() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10))
    case.revisions = {tid: data[::-1] for tid, data in case.revisions.items()}
    case.new = case.new[::-1]
    resolved = case.resolve(untransform=lambda data: data[::-1], transform=lambda data: data[::-1])
    assert state_of(jar, resolved[::-1]) == {"count": 14}


def test_btrees_and_lengths_merge() -> None:
    jar = Jar()
    case = Case(
        jar, OOBTree({1: "a", 5: "e"}), OOBTree({1: "a", 2: "b", 5: "e"}), OOBTree({1: "a", 9: "i"})
    )
    tree = OOBTree()
    tree.__setstate__(state_of(jar, case.resolve()))
    assert dict(tree) == {1: "a", 2: "b", 9: "i"}
    lengths = Case(jar, Length(3), Length(5), Length(2))
    assert state_of(jar, lengths.resolve()) == 4


def test_values_of_a_btree_that_are_references_merge() -> None:
    jar = Jar()
    values = [jar_object(jar, Node(), number) for number in (1, 2, 3)]
    a, b, c = values
    case = Case(jar, OOBTree({1: a}), OOBTree({1: a, 2: b}), OOBTree({1: a, 3: c}))
    assert case.resolve() == case.resolve_by_zodb()
    assert [found.oid for found in all_references(case.resolve())] == [p64(1), p64(2), p64(3)]


def jar_object(jar: Jar, obj: Any, number: int) -> Any:
    obj._p_oid, obj._p_jar = p64(number), jar
    return obj


# One merger for many conflicts


def test_a_merger_goes_on_after_a_record_that_it_cannot_read() -> None:
    case = Case(Jar(), Counter(1), Counter(5), Counter(10))
    merger, whole = RecordMerger(), case.resolve()
    for _ in range(2):
        with pytest.raises(ConflictError):
            merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new[:-5])
        assert merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new) == whole


def test_a_merger_goes_on_after_a_record_with_something_behind_it() -> None:
    case = Case(Jar(), Counter(1), Counter(5), Counter(10))
    merger, whole = RecordMerger(), case.resolve()
    for extra in (b"extra", b"", b"extra"):
        found = merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new + extra)
        assert found == whole


def test_a_merger_finds_a_class_that_was_imported_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10))
    merger = RecordMerger()
    merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new)

    class Other(Counter):
        def _p_resolveConflict(self, old: Any, committed: Any, new: Any) -> Any:
            return {"count": -1}

    monkeypatch.setattr("samples.records_objects.Counter", Other)
    resolved = merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new)
    assert state_of(jar, resolved) == {"count": -1}


def test_references_of_one_object_are_not_those_of_the_next() -> None:
    jar = Jar()
    seen: list[Any] = []
    cls = merging(lambda *states: seen.append(states[2]["a"]) or states[2])
    merger = RecordMerger()
    for _ in range(2):
        case = Case(jar, cls(), cls(), cls(a=jar_object(jar, Node(), 1)))
        merger.resolve(case.loadSerial, OID, COMMITTED, READ, case.new)
    assert seen[0] == seen[1]
    assert seen[0] is not seen[1]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_states_that_mention_their_own_class_merge(protocol: int) -> None:
    def plain(count: int) -> bytes:
        file = BytesIO()
        pickler = pickle.Pickler(file, protocol)
        pickler.dump(Counter)
        pickler.dump({"count": count, "kind": Counter})
        return file.getvalue()

    records = {READ: plain(1), COMMITTED: plain(5)}
    merger = RecordMerger()
    for _ in range(2):
        resolved = merger.resolve(lambda oid, tid: records[tid], OID, COMMITTED, READ, plain(10))
        assert state_of(Jar(), resolved) == {"count": 14, "kind": Counter}


def test_records_whose_heads_differ_merge() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10))
    # As an optimising pickler leaves them: the class has no number.
    case.revisions[READ] = case.revisions[READ].replace(b"Counter\nq\x00.", b"Counter\n.", 1)
    assert state_of(jar, case.resolve()) == {"count": 14}
    case.new = case.new.replace(b"Counter\nq\x00.", b"Counter\n.", 1)
    assert state_of(jar, case.resolve()) == {"count": 14}


def test_large_records_merge() -> None:
    jar = Jar()
    text = "x" * 100_000
    case = Case(jar, Counter(1, t=text), Counter(5, t=text), Counter(10, t=text))
    assert state_of(jar, case.resolve()) == {"count": 14, "t": text}


# What cannot be resolved


def test_a_class_without_a_resolution_says_so() -> None:
    error = Case(Jar(), Node(a=1), Node(a=2), Node(a=3)).fails()
    assert error.class_name == "samples.records_objects.Node"
    assert "samples.records_objects.Node has no _p_resolveConflict" in str(error)
    assert PersistentMapping.__name__ in str(
        Case(Jar(), PersistentMapping(), PersistentMapping(), PersistentMapping()).fails()
    )


def test_a_class_that_cannot_be_imported_says_so() -> None:
    case = Case(Jar(), Counter(1), Counter(5), Counter(10))
    error = case.fails(find_global=ClassPolicy(()).find_class)
    assert "samples.records_objects.Counter cannot be imported here" in str(error)


def test_a_conflict_within_a_btree_says_what_it_is(caplog: pytest.LogCaptureFixture) -> None:
    jar = Jar()
    error = Case(jar, OOBTree({1: "a"}), OOBTree({1: "b"}), OOBTree({1: "c"})).fails()
    assert "both changed the value of one key, differently" in str(error)
    assert error.class_name == "BTrees.OOBTree.OOBTree"
    assert caplog.records == []


def test_a_revision_that_was_packed_away_says_so() -> None:
    case = Case(Jar(), Counter(1), Counter(5), Counter(10))

    def load_serial(oid: bytes, tid: bytes) -> bytes:
        raise POSKeyError(oid)

    with pytest.raises(ConflictError, match="packed away") as caught:
        resolve_conflict(load_serial, OID, COMMITTED, READ, case.new)
    assert caught.value.serials == (COMMITTED, READ)


@pytest.mark.parametrize("error", [ConflictError("sold out"), ReadConflictError("sold out")])
def test_a_class_may_refuse_with_a_conflict(
    error: ConflictError, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*states: Any) -> Any:
        raise error

    cls = merging(refuse)
    failed = Case(Jar(), cls(), cls(), cls()).fails()
    assert "sold out" in str(failed)
    assert failed.__cause__ is error
    assert caplog.records == []


def test_an_exception_in_a_resolution_is_logged_and_becomes_a_conflict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cls = merging(lambda *states: 1 / 0)
    with caplog.at_level(logging.ERROR, "perdure.records.conflict"):
        failed = Case(Jar(), cls(), cls(), cls()).fails()
    assert "ZeroDivisionError" in str(failed)
    assert isinstance(failed.__cause__, ZeroDivisionError)
    (logged,) = caplog.records
    assert logged.name == "perdure.records.conflict"
    assert logged.exc_info is not None


def test_a_damaged_record_is_a_conflict_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Jar(), Counter(1), Counter(5), Counter(10))
    case.revisions[READ] = case.revisions[READ][:-5]
    assert "EOFError" in str(case.fails()) or "UnpicklingError" in str(case.fails())
    case.new = b"junk"
    assert case.fails().class_name is None
    assert caplog.records


def test_a_resolution_must_not_return_objects() -> None:
    cls = merging(lambda old, committed, new: {"found": [Node()]})
    assert "holds an object, not a reference" in str(Case(Jar(), cls(), cls(), cls()).fails())


def test_a_state_with_something_broken_in_it_is_not_resolved() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10, point=Point(1, 2)))
    hidden = case.new.replace(b"records_objects\nPoint", b"records_objects\nPaint")
    case.new = hidden
    assert "cannot be imported" in str(case.fails())


def test_a_reference_to_an_object_of_a_missing_class_is_kept() -> None:
    jar = Jar()
    case = Case(jar, Counter(1), Counter(5), Counter(10, friend=Node()))
    case.new = case.new.replace(b"records_objects\nNode", b"records_objects\nLode")
    resolved = case.resolve()
    assert all_references(resolved) == all_references(case.new)
    assert case.resolve_by_zodb() == resolved


def test_btrees_conflicts_are_understood_where_zodb_is_not_installed() -> None:
    code = """
import sys
sys.modules["ZODB"] = None
from BTrees.OOBTree import OOBTree
from BTrees.Interfaces import BTreesConflictError
from perdure.errors import ConflictError
from perdure.records import resolve_conflict
from samples.records_jar import Jar
jar = Jar()
def record(**items):
    tree = OOBTree(items)
    tree._p_oid, tree._p_jar = b"12345678", jar
    return jar.writer.serialize(tree)
assert issubclass(BTreesConflictError, ValueError)
old = record(a=1)
resolve_conflict(lambda oid, tid: old, b"12345678", b"2" * 8, b"1" * 8,
                 record(a=1, b=2), record(a=1, c=3))
try:
    resolve_conflict(lambda oid, tid: old, b"12345678", b"2" * 8, b"1" * 8,
                     record(a=2), record(a=3))
except ConflictError as error:
    assert "both changed the value of one key, differently" in str(error), error
else:
    raise AssertionError("no conflict")
"""
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        check=True,
        timeout=60,
    )


# PersistentReference


def test_references_in_the_states_tell_what_they_are() -> None:
    jar = Jar()
    other = Jar("other", connections=jar.connections)
    far = jar_object(other, Node(), 5)
    seen: dict[str, Any] = {}
    cls = merging(lambda old, committed, new: seen.update(new) or new)
    near = Node()
    facts = {"near": near, "weak": WeakRef(near), "far": far, "far_weak": WeakRef(far)}
    case = Case(jar, cls(), cls(), cls(**facts, again=near))
    assert all_references(case.resolve()) == all_references(case.new)
    described = {
        name: (type(found), found.oid, found.database_name, found.weak, found.klass)
        for name, found in seen.items()
    }
    assert described == {
        "near": (PersistentReference, near._p_oid, None, False, Node),
        "again": (PersistentReference, near._p_oid, None, False, Node),
        "weak": (PersistentReference, near._p_oid, None, True, None),
        "far": (PersistentReference, p64(5), "other", False, Node),
        "far_weak": (PersistentReference, p64(5), "other", True, None),
    }
    assert seen["near"] is seen["again"]


def test_one_reference_is_the_same_in_all_three_states() -> None:
    jar = Jar()
    friend = jar_object(jar, Node(), 1)
    seen: list[Any] = []
    cls = merging(lambda *states: seen.extend(states) or states[2])
    Case(jar, cls(a=friend), cls(b=friend), cls(c=friend)).resolve()
    assert seen[0]["a"] is seen[1]["b"] is seen[2]["c"]


def test_references_to_one_object_are_equal_however_they_are_written() -> None:
    first, second = PersistentReference(p64(1)), PersistentReference((p64(1), Node))
    assert first == second
    assert operator.ne(first, second) is False
    assert first <= second
    assert first >= second
    assert not first < second
    assert not first > second


@pytest.mark.parametrize(
    "other",
    [
        PersistentReference(p64(2)),
        PersistentReference(["w", (p64(1),)]),
        PersistentReference(["n", ("other", p64(1))]),
        object(),
        None,
    ],
)
def test_other_references_cannot_be_compared(other: Any) -> None:
    reference = PersistentReference(p64(1))
    for compare in (
        lambda: reference == other,
        lambda: reference != other,
        lambda: reference < other,
        lambda: reference >= other,
    ):
        with pytest.raises(ValueError, match="cannot be compared"):
            compare()
    weak = PersistentReference(["w", (p64(1),)])
    same = weak
    assert weak == same


def test_references_cannot_be_pickled_or_used_as_keys() -> None:
    reference = PersistentReference(p64(1))
    with pytest.raises(TypeError, match="in the place of its object"):
        RecordWriter(Jar()).serialize(jar_object(Jar(), Node(a=reference), 1))
    with pytest.raises(TypeError):
        hash(reference)


def test_the_error_of_btrees_is_one_that_we_know() -> None:
    from BTrees.Interfaces import BTreesConflictError

    error = BTreesConflictError(1, 2, 3, 0)
    assert str(perdure.errors.BTreesConflictError(*error.args)).startswith("BTrees conflict error")
