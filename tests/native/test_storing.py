"""What a commit does with each object, in C, compared with what Python does."""

import gc
import sys
from typing import Any

import pytest
from persistent import Persistent, PickleCache

from perdure.ids import ZERO, p64
from perdure.objects.storing import pure_mark_stored

storing = pytest.importorskip("perdure.native._storing", reason="it is not built")
planning = pytest.importorskip("perdure.native._planning", reason="it is not built")

TID = p64(1000)


class Thing(Persistent):
    pass


class Special(Persistent):
    pass


class Class:
    """As much of a persistent class as is asked for."""

    def __init__(self, changed: Any, oid: bytes) -> None:
        self._p_changed, self._p_oid = changed, oid


class Jar:
    """As much of a connection, its changes and its writer as storing asks for."""

    def __init__(self, large_bytes: int = 10_000, room_bytes: int = 1 << 20) -> None:
        self.cache = PickleCache(self, 100, 0)
        self.by_hand: dict[bytes, bool] = {}
        self.added: dict[bytes, Any] = {}
        self.read_current: dict[bytes, bytes] = {}
        self.stored: list[Any] = []
        self.flushed: list[list[tuple[bytes, bytes, bytes]]] = []
        self.otherwise: list[tuple[Any, bytes]] = []
        self.found: list[Any] = []
        self.leads_to: dict[int, list[Any]] = {}
        self.record = b"r" * 100
        self.storing = storing.Storing(
            lambda obj, data: self.otherwise.append((obj, data)),
            self.flush,
            Special,
            self.by_hand,
            self.added,
            self.read_current,
            self.stored,
            large_bytes,
            room_bytes,
        )
        self.storing.cache = self.cache
        self.storing.batch = planning.Records()

    @property
    def batch(self) -> list[tuple[bytes, bytes, bytes]]:
        return list(self.storing.batch)

    def flush(self) -> None:
        self.flushed.append(self.batch)
        self.storing.batch = planning.Records()

    def serialize(self, obj: Any) -> Any:
        self.found.extend(self.leads_to.pop(id(obj), ()))
        return self.record

    def store(self, obj: Any) -> list[Any]:
        if isinstance(obj, Persistent):
            obj._p_changed = True
        pending: list[Any] = []
        self.storing.store_changed((obj,), pending, self.serialize, self.found)
        return pending

    def register(self, obj: Any) -> None:
        """Take no note."""

    def new(self, number: int, cls: type = Thing) -> Any:
        obj = cls()
        obj._p_oid, obj._p_jar = p64(number), self
        return obj


def test_a_new_object_is_created_cached_and_sized() -> None:
    jar = Jar()
    obj = jar.new(1)
    assert jar.store(obj) == []
    assert jar.batch == [(p64(1), ZERO, jar.record)]
    assert jar.by_hand == {}
    assert jar.stored == [obj]
    assert jar.cache.get(p64(1)) is obj
    assert obj._p_estimated_size == jar.cache.total_estimated_size == 128


def test_new_objects_stand_in_the_cache_as_if_entered_by_its_method() -> None:
    natively, by_method = Jar(), Jar()
    for number in range(1, 4):
        obj = natively.new(number)
        natively.store(obj)
        other = by_method.new(number)
        by_method.cache[p64(number)] = other
        other._p_changed = True
        natively.stored.clear()
        assert sys.getrefcount(obj) == sys.getrefcount(other)
    obj._p_changed = other._p_changed = False
    del obj, other
    for jar in (natively, by_method):
        cache = jar.cache
        assert (len(cache), cache.ringlen(), cache.cache_non_ghost_count) == (3, 3, 3)
        assert [oid for oid, _ in cache.lru_items()] == [p64(1), p64(2), p64(3)]
        assert all(each._p_jar is jar and each._p_oid == oid for oid, each in cache.items())
        cache.minimize()
        assert cache.ringlen() == cache.cache_non_ghost_count == 2  # two have changes
        gc.collect()
        assert sorted(oid for oid, _ in cache.items()) == [p64(1), p64(2)]


def test_what_the_cache_refuses_is_refused_when_a_new_object_is_stored() -> None:
    jar = Jar()
    stray = Thing()
    stray._p_oid = p64(1)
    jar.added[p64(1)] = stray
    with pytest.raises(ValueError, match="jar"):
        jar.storing.store_changed((stray,), [], jar.serialize, jar.found)
    assert len(jar.cache) == 0


def test_an_object_added_by_hand_is_known_as_that() -> None:
    jar = Jar()
    obj = jar.added[p64(1)] = jar.new(1)
    jar.store(obj)
    assert (jar.by_hand, jar.added) == ({p64(1): False}, {})


def test_a_changed_object_keeps_its_place_and_is_not_relied_on_besides() -> None:
    jar = Jar()
    obj = jar.new(1)
    jar.cache[p64(1)] = obj
    obj._p_serial = TID
    jar.read_current.update({p64(1): TID, p64(2): TID})
    jar.store(obj)
    assert jar.batch == [(p64(1), TID, jar.record)]
    assert jar.by_hand == {}
    assert jar.read_current == {p64(2): TID}


def test_a_new_object_whose_oid_is_taken_in_the_cache_leaves_it_there() -> None:
    jar = Jar()
    there = jar.cache[p64(1)] = jar.new(1)
    jar.store(jar.new(1))
    assert jar.cache.get(p64(1)) is there


def test_what_is_found_is_stored_in_the_order_in_which_it_was_met() -> None:
    jar = Jar()
    first, second, third, fourth = (jar.new(number) for number in range(1, 5))
    jar.leads_to = {id(first): [second, fourth], id(second): [third]}
    jar.store(first)
    assert jar.stored == [first, second, third, fourth]
    assert jar.found == []


def test_special_and_large_objects_and_classes_are_left_to_python() -> None:
    jar = Jar(large_bytes=100)
    special = jar.new(1, Special)
    jar.store(special)
    thing = Class(True, p64(3))
    jar.store(thing)
    plain = jar.new(2)
    jar.store(plain)
    jar.record = b"r" * 101
    jar.store(plain)
    assert jar.otherwise == [(special, b"r" * 100), (thing, b"r" * 100), (plain, b"r" * 101)]
    assert jar.stored == [plain]


def test_a_batch_that_is_full_is_handed_over() -> None:
    jar = Jar(room_bytes=250)
    for number in range(1, 6):
        jar.store(jar.new(number))
    assert [len(batch) for batch in jar.flushed] == [3]
    assert len(jar.batch) == 2
    assert jar.storing.batch.size_bytes == 200


def test_an_error_leaves_the_trail_to_the_object() -> None:
    jar = Jar()
    first, second = jar.new(1), jar.new(2)
    jar.leads_to = {id(first): [second]}
    real = jar.serialize

    def serialize(obj: Any) -> Any:
        if obj is second:
            raise ZeroDivisionError
        return real(obj)

    pending: list[Any] = []
    jar.added[p64(1)] = first
    with pytest.raises(ZeroDivisionError):
        jar.storing.store_changed((first,), pending, serialize, jar.found)
    assert pending == [(second, (first, None))]
    assert jar.stored == [first]


def test_an_error_leaves_the_trails_to_all_that_waits() -> None:
    jar = Jar()
    objects = [jar.new(number) for number in range(1, 200)]
    for number, obj in enumerate(objects[:100]):  # each leads to the next, and to one aside
        jar.leads_to[id(obj)] = [objects[number + 1], objects[number + 99]]
    real = jar.serialize

    def serialize(obj: Any) -> Any:
        if obj is objects[50]:
            raise ZeroDivisionError
        return real(obj)

    pending: list[Any] = []
    jar.added[p64(1)] = objects[0]
    with pytest.raises(ZeroDivisionError):
        jar.storing.store_changed((objects[0],), pending, serialize, jar.found)
    assert jar.stored == objects[:50]
    assert [trail[0] for trail in pending] == [*objects[99:149], objects[50]]
    for wanted, trail in zip([*range(50), 49], pending, strict=True):
        number, through = wanted, trail[1]
        while through is not None:
            assert through[0] is objects[number]
            number, through = number - 1, through[1]
        assert number == -1


def test_an_error_of_handing_over_passes() -> None:
    jar = Jar(room_bytes=10)
    del jar.flushed
    obj = jar.new(1)
    with pytest.raises(AttributeError):
        jar.store(obj)
    # It is known to be stored: so an abort takes its oid away.
    assert (jar.stored, jar.cache.get(p64(1))) == ([obj], obj)


def test_only_records_can_be_a_batch() -> None:
    with pytest.raises(TypeError, match="Records"):
        Jar().storing.batch = []


def test_what_did_not_change_is_not_stored() -> None:
    jar = Jar()
    obj, ghost = jar.new(1), Thing()
    jar.cache.new_ghost(p64(2), ghost)
    jar.storing.store_changed((obj, ghost, Thing()), [], jar.serialize, jar.found)
    assert jar.stored == jar.otherwise == []


def test_a_class_is_asked_whether_it_changed() -> None:
    jar = Jar()
    jar.added[p64(3)] = None
    changed, same, added = Class(True, p64(1)), Class(None, p64(2)), Class(False, p64(3))
    jar.storing.store_changed((changed, same, added), [], jar.serialize, jar.found)
    assert [obj for obj, _ in jar.otherwise] == [changed, added]
    with pytest.raises(AttributeError, match="_p_changed"):
        jar.storing.store_changed((None,), [], jar.serialize, jar.found)


def test_without_a_cache_nothing_is_stored() -> None:
    jar = Jar()
    jar.storing.cache = None
    with pytest.raises(TypeError):
        jar.store(jar.new(1))


@pytest.mark.parametrize("native", [False, True])
def test_stored_objects_get_their_serial_unless_they_are_ghosts(native: bool) -> None:
    jar = Jar()
    changed, ghost = jar.new(1), Thing()
    jar.cache.new_ghost(p64(2), ghost)
    jar.cache[p64(1)] = changed
    changed._p_changed = True
    if native:
        assert storing.mark_stored([changed, ghost, Thing, None], TID) == [Thing, None]
    else:
        pure_mark_stored([changed, ghost], TID)
    assert (changed._p_serial, changed._p_changed) == (TID, False)
    assert (ghost._p_serial, ghost._p_changed) == (ZERO, None)


def test_a_tid_has_8_bytes() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        storing.mark_stored([], b"short")
