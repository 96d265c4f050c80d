"""Small modules under ZODB's names: utils, serialize, transact, conflict resolution, and others."""

import io
import logging

import pytest
import transaction
import ZODB
import ZODB.broken
import ZODB.FileStorage
import ZODB.loglevels
import ZODB.MappingStorage
import ZODB.transact
import ZODB.utils
from BTrees.Length import Length
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from ZODB import ConflictResolution
from ZODB._compat import PersistentPickler, PersistentUnpickler, dump, dumps, loads
from ZODB.ActivityMonitor import ActivityMonitor
from ZODB.ConflictResolution import find_global
from ZODB.Connection import TransactionMetaData, className, overridable_property
from ZODB.DB import getTID, toTimeStamp
from ZODB.mvccadapter import HistoricalStorageAdapter
from ZODB.POSException import (
    ConflictError,
    InvalidObjectReference,
    POSKeyError,
    ReadOnlyHistoryError,
)
from ZODB.serialize import ObjectReader, ObjectWriter, get_refs, referencesf
from ZODB.UndoLogCompatible import UndoLogCompatible


def test_oids_are_shown_as_zodb_shows_them() -> None:
    assert ZODB.utils.oid_repr(b"\0" * 7 + b"\x05") == "0x05"
    assert ZODB.utils.oid_repr(b"\0" * 8) == "0x00"
    assert ZODB.utils.oid_repr("not an oid") == "'not an oid'"
    assert ZODB.utils.repr_to_oid("0x05") == b"\0" * 7 + b"\x05"
    assert ZODB.utils.readable_tid_repr(b"\x03" * 8).startswith("0x0303030303030303 19")


def test_tids_before_and_at() -> None:
    at = ZODB.utils.newTid(None)
    assert ZODB.utils.newTid(at) > at
    assert ZODB.utils.before2at(ZODB.utils.at2before(at)) == at


def test_copying_and_text(tmp_path) -> None:
    target = io.BytesIO()
    ZODB.utils.cp(io.BytesIO(b"0123456789"), target, 4, bufsize=3)
    assert target.getvalue() == b"0123"
    ZODB.utils.cp(io.BytesIO(b"abc"), target)
    assert target.getvalue() == b"0123abc"
    assert ZODB.utils.as_bytes("é") == "é".encode()
    assert ZODB.utils.as_text("é".encode()) == "é"
    assert ZODB.utils.byte_chr(ZODB.utils.byte_ord(7)) == b"\7"
    assert ZODB.utils.mktemp(dir=str(tmp_path), prefix="x").startswith(str(tmp_path / "x"))


def test_locked_methods_hold_the_lock_and_check_what_must_hold() -> None:
    class Counter:
        def __init__(self) -> None:
            self._lock = ZODB.utils.RLock()
            self.open = True
            self.count = 0

        def opened(self) -> bool:
            """it is open"""
            return self.open

        @ZODB.utils.locked
        def plain(self, by: int) -> int:
            """Count."""
            self.count += by
            return self.count

        @ZODB.utils.locked(opened)
        def checked(self) -> int:
            return self.count

    counter = Counter()
    assert counter.plain(2) == counter.checked() == 2
    counter.open = False
    with pytest.raises(AssertionError, match="it is open"):
        counter.checked()


def test_current_records_and_their_classes() -> None:
    db = ZODB.MappingStorage.DB(cache_size=9)
    data, tid = ZODB.utils.load_current(db.storage, b"\0" * 8)
    assert ZODB.utils.get_pickle_metadata(data) == ("persistent.mapping", "PersistentMapping")
    assert tid == db.lastTransaction()
    assert ZODB.utils.get_pickle_metadata(b"rubbish") == ("", "")
    with pytest.raises(POSKeyError):
        ZODB.utils.load_current(db.storage, b"\1" * 8)
    db.close()


def test_picklers_with_persistent_ids() -> None:
    file = io.BytesIO()
    marked = object()
    pickler = PersistentPickler(lambda o: "marked" if o is marked else None, file, 3)
    pickler.dump([marked, 1])
    unpickler = PersistentUnpickler(None, lambda ref: ref, io.BytesIO(file.getvalue()))
    assert unpickler.load() == ["marked", 1]
    file = io.BytesIO()
    dump({"a": b"b"}, file)
    assert file.getvalue() == dumps({"a": b"b"})
    assert loads(file.getvalue()) == {"a": b"b"}
    assert file.getvalue()[:2] == b"\x80\x03"


def test_writing_and_reading_objects() -> None:
    db = ZODB.MappingStorage.DB()
    with db.transaction() as connection:
        root = connection.root()
        root["child"] = PersistentMapping(x=1)
        root["weak"] = WeakRef(root["child"])
        writer = ObjectWriter(root)
        records = {obj._p_oid: writer.serialize(obj) for obj in writer}
        child = root["child"]._p_oid
        assert set(records) == {b"\0" * 8, child}
        record = records[b"\0" * 8]
        assert referencesf(record) == [child]
        assert get_refs(record) == [(child, ("persistent.mapping", "PersistentMapping"))]
        reader = ObjectReader(connection, connection._cache, db.classFactory)
        assert reader.getClassName(record) == "persistent.mapping.PersistentMapping"
        assert reader.getState(records[child]) == {"data": {"x": 1}}
        ghost = reader.getGhost(records[child])
        reader.setGhostState(ghost, records[child])
        assert ghost == {"x": 1}
        assert writer.persistent_id(root["child"]) == (child, PersistentMapping)
        assert writer.persistent_id("text") is None
        connection.transaction_manager.abort()
    db.close()


def test_writing_and_reading_without_a_connection() -> None:
    writer, reader = ObjectWriter(), ObjectReader(factory=lambda jar, *names: find_global(*names))
    for value in (1, 2):
        record = writer.serialize(Length(value))
        assert reader.getClassName(record) == "BTrees.Length.Length"
        assert reader.getState(record) == value
    with pytest.raises(InvalidObjectReference, match="needs a connection"):
        writer.serialize(PersistentMapping(child=PersistentMapping()))


def test_transact_retries_conflicts() -> None:
    calls = []

    def conflicting() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConflictError
        return len(calls)

    assert ZODB.transact.transact(conflicting, note="n")() == 3
    calls.clear()
    with pytest.raises(ConflictError):
        ZODB.transact.transact(conflicting, retries=1)()
    transaction.abort()


def test_resolving_as_a_function() -> None:
    class Storage(ConflictResolution.ConflictResolvingStorage):
        def __init__(self, storage) -> None:
            self.loadSerial = storage.loadSerial

    db = ZODB.MappingStorage.DB()
    with db.transaction() as connection:
        length = connection.root.length = Length()
    tids = []
    for value in (1, 5):
        with db.transaction() as connection:
            connection.root.length.set(value)
        tids.append(db.lastTransaction())
    oid = length._p_oid
    old = db.storage.history(oid, 9)[-1]["tid"]
    storage = Storage(db.storage)
    new = db.storage.loadSerial(oid, tids[0])
    resolved = storage.tryToResolveConflict(oid, tids[1], old, new)
    factory = ConflictResolution.PersistentReferenceFactory()
    assert ConflictResolution.state(storage, oid, tids[1], factory) == 5
    assert ConflictResolution.state(storage, oid, b"", factory, resolved) == 6
    reference = factory.persistent_load((oid, Length))
    assert factory.persistent_load((oid, Length)) is reference
    assert (reference.oid, reference.klass) == (oid, Length)
    assert ConflictResolution.persistent_id(reference) == (oid, Length)
    with pytest.raises(ConflictResolution.BadClassName):
        ConflictResolution.find_global("no.such", "Class").__reduce__()
    with pytest.raises(ConflictResolution.BadClassName):
        ConflictResolution.find_global("*class in a database", ())
    db.close()


def test_the_past_of_a_storage() -> None:
    db = ZODB.MappingStorage.DB()
    first = db.lastTransaction()
    with db.transaction() as connection:
        connection.root.x = 1
    past = HistoricalStorageAdapter(db.storage, db.lastTransaction())
    assert past.load(b"\0" * 8)[1] == first
    assert past.isReadOnly()
    assert not past.supportsUndo()
    for refused in (past.pack, past.new_oid):
        with pytest.raises(ReadOnlyHistoryError):
            refused()
    db.close()


def test_moments() -> None:
    from datetime import datetime

    moment = datetime(2026, 11, 1)
    tid = toTimeStamp(moment).raw()
    assert getTID(None, None) is None
    assert getTID(None, moment) == tid
    assert getTID(moment, None) > tid
    with pytest.raises(ValueError, match="zero or one"):
        getTID(moment, moment)


def test_missing_classes_of_another_kind() -> None:
    class Mine(ZODB.broken.Broken):
        pass

    found = ZODB.broken.find_global("no.such.module", "Thing", Mine)
    assert issubclass(found, Mine)
    assert (found.__module__, found.__name__) == ("no.such.module", "Thing")
    assert ZODB.broken.find_global("persistent.mapping", "PersistentMapping") is PersistentMapping
    broken = ZODB.broken.find_global("no.such.module", "Thing")
    assert issubclass(ZODB.broken.persistentBroken(broken), ZODB.broken.PersistentBroken)


def test_activity_log_levels_undo_info_and_odds() -> None:
    db = ZODB.MappingStorage.DB()
    db.setActivityMonitor(ActivityMonitor())
    db.open().close()
    assert db.getActivityMonitor().getActivityAnalysis(divisions=1)[0]["connections"] == 1
    db.close()
    assert logging.getLevelName(ZODB.loglevels.TRACE) == "TRACE"

    class Log(UndoLogCompatible):
        def undoLog(self, first, last, chosen):
            return [each for each in ({"a": 1}, {"b": 2}) if chosen is None or chosen(each)]

    assert Log().undoInfo(specification={"a": 1}) == [{"a": 1}]
    assert len(Log().undoInfo()) == 2
    assert className(PersistentMapping()) == "persistent.mapping.PersistentMapping"

    class Owner:
        answer = overridable_property(lambda self: 42)

    owner = Owner()
    assert owner.answer == 42
    owner.answer = 1
    assert owner.answer == 1
    metadata = TransactionMetaData("u", "d", b"exactly these bytes")
    assert metadata.extension_bytes == b"exactly these bytes"


def test_a_weak_reference_is_exported_and_imported() -> None:
    db = ZODB.MappingStorage.DB()
    with db.transaction() as connection:
        root = connection.root()
        root["pair"] = PersistentMapping(strong=PersistentMapping(x=1))
        root["pair"]["weak"] = WeakRef(root["pair"]["strong"])
        connection.transaction_manager.commit()
        exported = connection.exportFile(root["pair"]._p_oid)
        root["copy"] = connection.importFile(exported)
        exported.close()
        assert root["copy"]["weak"]() is root["copy"]["strong"]
        assert root["copy"]["weak"]() is not root["pair"]["strong"]
    db.close()


def test_what_is_set_on_an_instance_counts(tmp_path) -> None:
    """Wrappers copy bound methods, and servers replace the resolution of conflicts."""
    storage = ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"))
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root.length = Length()
    asked = []

    def never(oid, committed, old, new, data=b""):
        asked.append(oid)
        raise ConflictError(oid=oid)

    storage.tryToResolveConflict = never
    one, two = transaction.TransactionManager(), transaction.TransactionManager()
    first, second = db.open(one), db.open(two)
    first.root.length.change(1)
    second.root.length.change(1)
    one.commit()
    with pytest.raises(ConflictError):
        two.commit()
    assert asked == [first.root.length._p_oid]
    two.abort()
    first.close()
    second.close()
    db.close()
