"""Classes in the database: as persistent objects, in records, and beside ZODB's."""

from typing import Any

import pytest
import ZODB
import ZODB.persistentclass
from persistent import Persistent, PickleCache
from persistent.mapping import PersistentMapping
from ZODB.serialize import ObjectReader, ObjectWriter

from perdure.errors import StateLoadError
from perdure.ids import p64
from perdure.objects.persistentclass import PersistentMetaClass
from perdure.records import all_references, class_metadata, class_name, find_global
from samples import records_objects
from samples.records_jar import Jar
from samples.records_objects import Node


def greet(self: Any) -> str:
    return f"{self.kind} {self.name}"


greet.__module__ = "samples.records_objects"
greet.__qualname__ = "greet"


@pytest.fixture(autouse=True)
def greet_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_objects, "greet", greet, raising=False)


def new_class(name: str = "C", bases: tuple[type, ...] = (object,), **attributes: Any) -> Any:
    return PersistentMetaClass(name, bases, {"__module__": "__zodb__", **attributes})


def test_a_new_class_has_the_attributes_of_a_persistent_object() -> None:
    cls = new_class()
    assert (cls._p_oid, cls._p_jar, cls._p_serial, cls._p_changed) == (None, None, None, False)


def test_a_new_class_works_like_any_other() -> None:
    cls = new_class(kind="sample", greet=greet)
    instance = cls()
    instance.name = "first"
    assert instance.greet() == "sample first"
    cls.kind = "other"
    assert instance.greet() == "other first"
    assert cls._p_changed is False


def test_instances_do_not_have_the_attributes_of_the_class_itself() -> None:
    assert not hasattr(new_class()(), "_p_oid")
    instance = new_class(bases=(Persistent,))()
    assert instance._p_oid is None
    assert type(instance)._p_oid is None


def test_persistent_attributes_in_the_body_of_a_class_are_left_out() -> None:
    assert new_class(_p_oid=b"12345678", _p_anything=1)._p_oid is None


@pytest.mark.parametrize(
    "name", ["__getstate__", "__setstate__", "__getnewargs__", "_p_invalidate", "_p_deactivate"]
)
def test_the_methods_of_persistence_cannot_be_assigned(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(new_class(), name, None)


def test_a_stored_class_registers_its_first_change() -> None:
    jar, cls = Jar(), new_class(kind="sample")
    jar.store(cls)
    cls.kind = "other"
    assert cls._p_changed is True
    cls.more = 1
    del cls.kind
    assert jar.registered == [cls]


def test_volatile_and_persistent_attributes_are_no_change_and_are_not_stored() -> None:
    jar, cls = Jar(), new_class()
    jar.store(cls)
    cls._v_note = 1
    cls._p_serial = p64(3)
    assert cls._p_changed is False
    assert jar.registered == []
    _, attributes = cls.__getstate__()
    assert set(attributes) == {"__module__", "__doc__"}


def test_a_class_is_loaded_by_another_connection() -> None:
    jar, cls = Jar(), new_class(kind="sample", greet=greet)
    jar.store(cls)
    read = jar.reopened().get(cls._p_oid)
    assert read is not cls
    assert (read.__name__, read.__module__, read.kind) == ("C", "__zodb__", "sample")
    assert read._p_changed is False
    instance = read()
    instance.name = "first"
    assert instance.greet() == "sample first"


def test_a_class_that_refers_to_itself_and_to_its_base_is_loaded() -> None:
    jar, base = Jar(), new_class("Base", kind="base")
    base.me = base
    derived = new_class("Derived", (base,))
    derived.me = [derived, base]
    base.heir = derived
    jar.store(derived)
    again = jar.reopened()
    read = again.get(derived._p_oid)
    assert read.me[0] is read
    assert read.me[1] is again.get(base._p_oid) is read.__bases__[0]
    assert read.kind == "base"
    assert read.heir is read


def test_invalidating_a_class_loads_its_state_anew() -> None:
    jar, cls = Jar(), new_class(kind="sample", gone="to be")
    jar.store(cls)
    read = jar.reopened().get(cls._p_oid)
    cls.kind = "changed"
    cls.new = 1
    del cls.gone
    jar.store(cls)
    read.own = "mine"
    read._p_invalidate()
    assert (read.kind, read.new, read._p_changed) == ("changed", 1, False)
    assert not hasattr(read, "gone")
    assert not hasattr(read, "own")
    del read._p_changed  # says the same in another way
    assert read._p_changed is False


def test_a_class_cannot_be_a_ghost() -> None:
    jar, cls = Jar(), new_class(kind="sample")
    jar.store(cls)
    cls._p_deactivate()
    cls._p_changed = None
    assert cls._p_changed is False
    cls._p_activate()
    assert cls.kind == "sample"


def test_a_class_that_could_not_be_loaded_is_tried_again() -> None:
    jar, cls = Jar(), new_class(kind="sample")
    record = jar.store(cls)
    again = jar.reopened()
    jar.records[cls._p_oid] = record[:-10]
    ghost = again.reader.ghost(record)
    with pytest.raises(StateLoadError):
        again._cache.new_ghost(cls._p_oid, ghost)
    jar.records[cls._p_oid] = record
    assert jar.reopened().get(cls._p_oid).kind == "sample"


def test_bases_can_change() -> None:
    jar = Jar()
    first, second = new_class("First", a=1), new_class("Second", b=2)
    cls = new_class("C", (first,))
    jar.store(cls)
    read = jar.reopened().get(cls._p_oid)
    assert read.a == 1
    cls.__bases__ = (second,)
    jar.store(cls)
    read._p_invalidate()
    assert read.b == 2
    assert not hasattr(read, "a")


def test_a_class_can_be_kept_out_of_the_database() -> None:
    cls = new_class(__global_persistent_class_not_stored_in_DB__=True)
    with pytest.raises(AttributeError):
        _ = cls._p_oid
    with pytest.raises(AttributeError):
        _ = cls._p_jar


def test_taking_the_oid_back_makes_a_class_new_again() -> None:
    jar, cls = Jar(), new_class()
    jar.store(cls)
    del cls._p_jar, cls._p_oid
    assert (cls._p_oid, cls._p_jar) == (None, None)


def test_the_pickle_cache_takes_classes() -> None:
    jar, cls = Jar(), new_class()
    PickleCache(jar, 10, 100).new_ghost(b"12345678", cls)
    assert (cls._p_oid, cls._p_jar, cls._p_changed) == (b"12345678", jar, False)


# Instances


def with_classes_from(jar: Jar, **classes: bytes) -> Jar:
    """Return another connection that finds classes of `__zodb__` by their oids."""
    again = Jar(records=jar.records, find=lambda module, name: found(module, name))

    def found(module: str, name: str) -> Any:
        return again.get(classes[name]) if module == "__zodb__" else find_global(module, name)

    return again


def test_instances_that_are_not_persistent_refer_to_their_class() -> None:
    jar, cls = Jar(), new_class(kind="sample")
    value = cls()
    value.name = "first"
    record = jar.store(Node(value=value))
    assert [found.oid for found in all_references(record)] == [cls._p_oid]
    read = jar.reopened().get(p64(1)).value
    assert (read.name, read.kind) == ("first", "sample")


def test_persistent_instances_name_their_class() -> None:
    jar, cls = Jar(), new_class("P", (Persistent,), kind="sample")
    jar.store(cls)
    instance = cls()
    instance.name = "first"
    record = jar.store(instance)
    assert class_name(record) == "__zodb__.P"
    assert all_references(record) == []
    read = with_classes_from(jar, P=cls._p_oid).get(instance._p_oid)
    assert (read.name, read.kind) == ("first", "sample")
    assert repr(jar.reopened().get(instance._p_oid)).startswith("<persistent broken __zodb__.P")


def test_a_reference_to_a_persistent_instance_is_a_bare_oid() -> None:
    jar, cls = Jar(), new_class("P", (Persistent,))
    instance = cls()
    record = jar.store(PersistentMapping(instance=instance))
    (reference,) = all_references(record)
    assert (reference.oid, reference.class_name) == (instance._p_oid, None)


def test_a_class_without_a_module_is_referred_to_by_its_instances() -> None:
    jar, cls = Jar(), new_class("P", (Persistent,), __module__="")
    instance = cls()
    record = jar.store(instance)
    assert class_name(record) == "persistent class"
    assert type(jar.reopened().get(instance._p_oid)).__name__ == "P"


# Beside ZODB


def zodb_class(name: str = "C", bases: tuple[type, ...] = (object,), **attributes: Any) -> Any:
    return ZODB.persistentclass.PersistentMetaClass(
        name, bases, {"__module__": "__zodb__", **attributes}
    )


def test_records_of_classes_are_byte_for_byte_those_of_zodb() -> None:
    jar = Jar()
    ours, theirs = new_class(kind="sample", greet=greet), zodb_class(kind="sample", greet=greet)
    for cls in (ours, theirs):
        cls._p_oid, cls._p_jar = p64(5), jar
    record = jar.writer.serialize(ours)
    assert record == ObjectWriter(theirs).serialize(theirs)
    assert class_metadata(record).class_name == "ZODB.persistentclass.PersistentMetaClass"
    assert jar.writer.serialize(ours) == record


def test_records_of_instances_are_byte_for_byte_those_of_zodb() -> None:
    jar = Jar()
    cls = new_class("P", (Persistent,))
    cls._p_oid, cls._p_jar = p64(5), jar
    instance = cls()
    instance._p_oid, instance._p_jar = p64(6), jar
    instance.kind, instance.value = cls, new_class("V")
    instance.value._p_oid, instance.value._p_jar = p64(7), jar
    record = jar.writer.serialize(instance)
    assert record == ObjectWriter(instance).serialize(instance)
    assert jar.writer.serialize(instance) == record


def test_classes_pass_between_zodb_and_us() -> None:
    jar, ours = Jar(), new_class(kind="ours")
    record = jar.store(ours)
    database = ZODB.DB(None)
    connection = database.open()
    theirs = ObjectReader(connection, connection._cache, database.classFactory).getGhost(record)
    assert type(theirs) is ZODB.persistentclass.PersistentMetaClass
    stored = zodb_class("D", kind="theirs")
    stored._p_oid, stored._p_jar = p64(9), jar
    jar.records[p64(9)] = ObjectWriter(stored).serialize(stored)
    read = jar.reopened().get(p64(9))
    assert type(read) is PersistentMetaClass
    assert (read.__name__, read.kind) == ("D", "theirs")
    connection.close()
    database.close()
