"""Transforming layers over storages: what shows above, what lies below, what others read."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import transaction
import zc.zlibstorage
import ZODB
import ZODB.FileStorage
from BTrees.Length import Length
from hypothesis import given, settings
from hypothesis import strategies as st
from ZODB.tests.MVCCMappingStorage import MVCCMappingStorage

import perdure
from perdure.capabilities import capabilities_of
from perdure.errors import (
    ConflictError,
    DamagedRecordError,
    MisplacedRecordError,
    POSKeyError,
    StateLoadError,
    StorageTransactionError,
    TransformError,
    UndoError,
    UnknownKeyError,
    Unsupported,
)
from perdure.ids import MAX_TID, ROOT_OID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.records.compression import Compression
from perdure.records.keyring import KeyRing
from perdure.storages import (
    DemoStorage,
    FileStorage,
    MappingStorage,
    TransformingStorage,
    compressed,
    copy_transactions,
    encrypted,
    train_dictionary,
)
from perdure.testing.contract.conflicts import Squeezing
from perdure.testing.contract.records import cell, holder, references, state_of, tally
from perdure.testing.contract.suite import Clock
from perdure.testing.contract.threads import at_once
from perdure.testing.contract.transactions import (
    commit,
    current,
    revisions,
    transactions,
    undo,
    undo_id,
    write,
)
from perdure.tools import census, check, copy, subtrees

A, B, C = p64(1), p64(2), p64(3)
KEY, OTHER_KEY = bytes(32), bytes(range(32))
LONG = cell("the same again " * 20)

Layered = Callable[[Any], Any]

every_layer = pytest.mark.parametrize(
    "layered",
    [
        compressed,
        partial(compressed, method="zlib"),
        lambda storage: encrypted(storage, KEY, metadata=True),
        lambda storage: encrypted(compressed(storage), KEY),
        lambda storage: compressed(encrypted(storage, KEY)),
        lambda storage: encrypted(encrypted(storage, KEY), OTHER_KEY),
    ],
    ids=[
        "zstd",
        "zlib",
        "encrypted",
        "encrypted over zstd",
        "zstd over encrypted",
        "encrypted twice",
    ],
)


# What everything that looks inside records finds


@every_layer
def test_packing_collects_garbage_through_a_layer(layered: Layered, clock: Clock) -> None:
    storage = layered(MappingStorage())
    clock.advance(1)
    write(storage, {ROOT_OID: holder(A, B), A: holder(C), B: LONG, C: LONG})
    clock.advance(1)
    write(storage, {ROOT_OID: holder(A)})

    storage.pack(clock.advance(1), references)

    assert [oid for oid in (ROOT_OID, A, B, C) if current(storage, oid)] == [ROOT_OID, A, C]
    assert current(storage, C).data == LONG


@every_layer
def test_a_check_follows_references_through_a_layer(layered: Layered) -> None:
    storage = layered(MappingStorage())
    write(storage, {ROOT_OID: holder(A, B), A: LONG})

    found = check(storage)

    assert found.objects == 2
    [finding] = found.findings
    assert finding.oid in (ROOT_OID, B)
    assert not found.sound


@every_layer
def test_the_tools_see_classes_and_subtrees_through_a_layer(layered: Layered) -> None:
    storage = layered(MappingStorage())
    db = perdure.DB(storage)
    with db.transaction() as connection:
        connection.root.books = perdure.PersistentMapping(one=perdure.PersistentMapping())
    rooms = census(storage)

    assert {room.class_name for room in rooms} == {"persistent.mapping.PersistentMapping"}
    assert subtrees(storage, "/").object_count == 3
    db.close()


@every_layer
def test_conflicts_are_resolved_through_a_layer(layered: Layered) -> None:
    storage = layered(MappingStorage())
    read = write(storage, {A: tally(10), B: cell(1)}).tid
    write(storage, {A: tally(12), B: cell(2)})

    tid = write(storage, {A: tally(15)}, {A: read}).tid

    assert state_of(storage.loadSerial(A, tid)) == {"count": 17}
    with pytest.raises(ConflictError) as caught:
        write(storage, {B: cell(3)}, {B: read})
    assert caught.value.class_name == "perdure.testing.contract.records.Cell"


@every_layer
def test_a_database_resolves_conflicts_through_a_layer(layered: Layered) -> None:
    db = perdure.DB(layered(MappingStorage()))
    with db.transaction() as connection:
        connection.root.count = Length()
    managers = [transaction.TransactionManager() for _ in range(2)]
    connections = [db.open(manager) for manager in managers]
    for connection in connections:
        connection.root.count.change(5)
    for manager in managers:
        manager.commit()

    with db.transaction() as connection:
        assert connection.root.count() == 10
    for connection in connections:
        connection.close()
    db.close()


@every_layer
def test_a_wrapper_above_is_asked_in_turn(layered: Layered) -> None:
    storage = layered(MappingStorage())
    wrapper = Squeezing()
    storage.registerDB(wrapper)
    squeezed = [wrapper.transform_record_data(tally(count)) for count in (10, 12, 15)]
    read = write(storage, {A: squeezed[0]}).tid
    write(storage, {A: squeezed[1]})

    tid = write(storage, {A: squeezed[2]}, {A: read}).tid

    assert state_of(wrapper.untransform_record_data(storage.loadSerial(A, tid))) == {"count": 17}


@every_layer
def test_a_copy_through_layers_equals_its_source(layered: Layered) -> None:
    source, target = layered(MappingStorage()), layered(MappingStorage())
    metadata = TransactionMetaData("Zoë", "first", {"ticket": 1})
    write(source, {A: LONG, B: tally(1)}, metadata=metadata)
    write(source, {A: cell(2)})
    undo(source, undo_id(source))
    undo(source, undo_id(source))

    copy(source, target)

    assert transactions(target) == transactions(source)
    assert [entry["user_name"] for entry in target.history(B)] == ["Zoë".encode()]


@every_layer
def test_readers_and_writers_in_threads_share_a_layer(layered: Layered) -> None:
    storage = layered(MappingStorage())

    def change(oid: bytes) -> None:
        for n in range(25):
            write(storage, {oid: cell([n] * 50)})
            assert current(storage, oid).data == cell([n] * 50)

    at_once(*(partial(change, p64(n)) for n in range(4)))

    assert [len(revisions(storage, p64(n))) for n in range(4)] == [25] * 4


# Compression


def test_plain_records_that_are_there_stay_readable() -> None:
    below = MappingStorage()
    first = write(below, {A: LONG}).tid
    for layer in (compressed(below), encrypted(below, KEY)):
        assert layer.loadSerial(A, first) == LONG


def test_what_is_compressed_lies_below_and_plain_above() -> None:
    below = MappingStorage()
    storage = compressed(below)
    tid = write(storage, {A: LONG, B: cell(1)}).tid

    assert below.loadSerial(A, tid)[:2] == b".s"
    assert below.loadSerial(B, tid) == cell(1)
    assert len(below.loadSerial(A, tid)) < len(LONG)
    assert storage.loadSerial(A, tid) == LONG


def test_data_of_zc_zlibstorage_are_read_and_it_reads_ours(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    theirs = ZODB.DB(zc.zlibstorage.ZlibStorage(ZODB.FileStorage.FileStorage(str(path))))
    with theirs.transaction() as connection:
        connection.root()["text"] = "the same again " * 50
        connection.root()["count"] = Length(1)
    theirs.close()

    ours = perdure.DB(compressed(FileStorage(path), "zlib"))
    with ours.transaction() as connection:
        assert connection.root()["text"] == "the same again " * 50
        connection.root()["more"] = "and again " * 50
    with ours.transaction() as connection:
        connection.root()["count"].change(1)
    assert check(ours.storage).sound
    ours.pack()
    ours.close()

    again = ZODB.DB(zc.zlibstorage.ZlibStorage(ZODB.FileStorage.FileStorage(str(path))))
    with again.transaction() as connection:
        root = connection.root()
        assert root["text"] == "the same again " * 50
        assert root["more"] == "and again " * 50
        assert root["count"]() == 2
    assert again.storage.base.load(ROOT_OID)[0][:2] == b".z"
    again.close()


def test_zodbs_file_storage_can_be_below(tmp_path: Path) -> None:
    for number, layered in enumerate((compressed, partial(encrypted, keys=KEY))):
        base = ZODB.FileStorage.FileStorage(str(tmp_path / f"{number}.fs"))
        storage = layered(base)
        read = write(storage, {A: tally(10), B: LONG}).tid
        write(storage, {A: tally(12)})
        tid = write(storage, {A: tally(15)}, {A: read}).tid
        assert state_of(storage.loadSerial(A, tid)) == {"count": 17}
        undo(storage, undo_id(storage))
        assert state_of(current(storage, A).data) == {"count": 12}
        storage.close()


def test_a_storage_with_snapshots_of_its_own_gives_them_through_the_layer() -> None:
    storage = encrypted(MVCCMappingStorage(), KEY)
    assert capabilities_of(storage).mvcc
    db = perdure.DB(storage)
    with db.transaction() as connection:
        connection.root.text = "one"
    reader = db.open(transaction.TransactionManager())
    assert reader.root.text == "one"
    with db.transaction() as connection:
        connection.root.text = "two"
    assert reader.root.text == "one"
    reader.transaction_manager.begin()
    assert reader.root.text == "two"
    reader.close()
    db.close()


def test_a_trained_dictionary_serves_a_whole_database() -> None:
    plain = MappingStorage()
    write(plain, {p64(n): cell({"title": f"number {n}", "pages": n * 7}) for n in range(3000)})
    dictionary = train_dictionary(plain, 4096)
    below = [MappingStorage(), MappingStorage()]
    targets = compressed(below[0]), compressed(below[1], dictionaries=[dictionary])

    for target in targets:
        copy_transactions(plain, target)

    assert below[1].getSize() < below[0].getSize() * 0.8
    assert transactions(targets[1]) == transactions(plain)


def test_too_few_records_train_no_dictionary() -> None:
    storage = MappingStorage()
    for _ in range(2):
        with pytest.raises(perdure.errors.StorageError, match=r"found \d records, expected more"):
            train_dictionary(storage)
        write(storage, {A: cell(1)})


# Encryption


def swap(below: Any, one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    """Exchange the bytes of two records in memory, as somebody with a disk editor would."""
    found = [
        next(r for r in below._revisions.by_oid[oid] if r.tid == tid) for oid, tid in (one, other)
    ]
    data = [record.data for record in found]
    for record, bytes_of_other in zip(found, reversed(data), strict=True):
        object.__setattr__(record, "data", bytes_of_other)


def test_records_that_were_swapped_between_objects_are_refused() -> None:
    below = MappingStorage()
    storage = encrypted(below, KEY)
    tid = write(storage, {A: cell("mine"), B: cell("yours")}).tid

    swap(below, (A, tid), (B, tid))

    for oid in (A, B):
        with pytest.raises(MisplacedRecordError, match="belongs to oid"):
            storage.loadBefore(oid, MAX_TID)


def test_records_that_were_swapped_between_revisions_are_refused() -> None:
    below = MappingStorage()
    storage = encrypted(below, KEY)
    tids = [write(storage, {A: cell(n)}).tid for n in range(2)]

    swap(below, (A, tids[0]), (A, tids[1]))

    for tid in tids:
        with pytest.raises(MisplacedRecordError, match="was not written by transaction"):
            storage.loadSerial(A, tid)


OIDS = [A, B]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(OIDS), st.integers(0, 3)),
        st.tuples(st.just("count"), st.sampled_from(OIDS), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.sampled_from(OIDS), st.just(0)),
        st.tuples(st.just("undo"), st.just(A), st.integers(0, 4)),
        st.tuples(st.just("undo two"), st.just(A), st.integers(0, 4)),
    ),
    max_size=14,
)


def apply(storage: Any, kind: str, oid: bytes, number: int) -> object:
    """Carry out one step; return the oids of an undo, or the error that it came to."""
    try:
        if kind == "write":
            write(storage, {oid: cell(number)})
        elif kind == "count":
            write(storage, {oid: tally(number)})
        elif kind == "delete":
            serial = storage.history(oid)[0]["tid"]
            commit(storage, lambda transaction: storage.deleteObject(oid, serial, transaction))
        else:
            ids = [entry["id"] for entry in storage.undoLog(0, 9)]
            chosen = ids[number : number + (2 if kind == "undo two" else 1)]
            undo(storage, *chosen)
    except (UndoError, ConflictError, POSKeyError) as error:
        return type(error)
    return None


def shape(storage: Any) -> list[Any]:
    """Return all that a history says but its tids, which are numbered instead."""
    numbers: dict[bytes | None, int | None] = {None: None}
    found = []
    for transaction_ in storage.iterator():
        numbers[transaction_.tid] = len(numbers)
        records = sorted((r.oid, r.data, numbers[r.data_txn]) for r in transaction_)
        found.append(records)
    return found


@settings(max_examples=60)
@given(steps=steps)
def test_undo_above_a_layer_does_what_it_does_below(steps: list[tuple[str, bytes, int]]) -> None:
    plain, layered = MappingStorage(), encrypted(MappingStorage(), KEY, plain=False)

    for step in steps:
        assert apply(layered, *step) == apply(plain, *step)

    assert shape(layered) == shape(plain)
    for oid in OIDS:
        ours, theirs = revisions(layered, oid), revisions(plain, oid)
        assert [each.data for each in ours] == [each.data for each in theirs]


def test_what_points_back_below_is_refused_and_an_undo_above_is_not() -> None:
    below = MappingStorage()
    storage = encrypted(below, KEY)
    write(storage, {A: cell("no longer")})
    write(storage, {A: cell("now")})

    undo(storage, undo_id(storage))
    assert current(storage, A).data == cell("no longer")
    undo(storage, undo_id(storage))
    assert current(storage, A).data == cell("now")

    undo(below, undo_id(below))
    with pytest.raises(MisplacedRecordError):
        storage.loadBefore(A, MAX_TID)


def damage(record: Any) -> None:
    """Flip a bit of what a storage in memory holds."""
    data = record.data
    object.__setattr__(record, "data", data[:60] + bytes([data[60] ^ 1]) + data[61:])


def test_a_wrong_key_is_told_apart_from_a_damaged_record() -> None:
    below = MappingStorage()
    tid = write(encrypted(below, KEY), {A: LONG}).tid

    with pytest.raises(UnknownKeyError, match="wrong key, not damage"):
        encrypted(below, OTHER_KEY).loadSerial(A, tid)
    record = below._revisions.by_oid[A][0]
    damage(record)
    with pytest.raises(DamagedRecordError):
        encrypted(below, KEY).loadSerial(A, tid)


def test_a_check_finds_each_damaged_record_and_goes_on() -> None:
    below = MappingStorage()
    storage = encrypted(below, KEY)
    tid = write(storage, {ROOT_OID: holder(A, B, C), A: LONG, B: LONG, C: LONG}).tid
    record = below._revisions.by_oid[A][0]
    damage(record)
    swap(below, (B, tid), (C, tid))

    found = check(storage)

    assert [finding.oid for finding in found.findings] == [A, B, C]
    assert not found.sound
    assert "is not what was encrypted" in found.findings[0].found
    with pytest.raises(UnknownKeyError):
        check(encrypted(below, OTHER_KEY))


def test_with_a_new_key_old_records_are_read_and_a_copy_has_only_the_new_one() -> None:
    below, target = MappingStorage(), MappingStorage()
    first = write(encrypted(below, KEY), {A: LONG}).tid
    rotated = encrypted(below, KeyRing(OTHER_KEY, [KEY]))
    second = write(rotated, {A: cell(2)}).tid

    assert [rotated.loadSerial(A, tid) for tid in (first, second)] == [LONG, cell(2)]
    copy_transactions(rotated, encrypted(target, OTHER_KEY))
    assert transactions(encrypted(target, OTHER_KEY)) == transactions(rotated)


def test_an_encrypted_layer_can_refuse_what_is_not_encrypted() -> None:
    below = MappingStorage()
    tid = write(below, {A: LONG}).tid

    with pytest.raises(TransformError, match="plain=1"):
        encrypted(below, KEY, plain=False).loadSerial(A, tid)


def test_metadata_are_encrypted_on_request() -> None:
    below = MappingStorage()
    storage = encrypted(below, KEY, metadata=True)
    told = TransactionMetaData("Zoë", "what I did", {"ticket": 7})
    write(storage, {A: cell(1)}, metadata=told)
    write(encrypted(below, KEY), {A: cell(2)}, metadata=TransactionMetaData("plain", "too"))

    hidden = transactions(below)[0]
    assert hidden[2:4] == (b"", b"")
    assert list(hidden[4]) == ["perdure.sealed"]
    shown = [found[2:5] for found in transactions(storage)]
    assert shown == [("Zoë".encode(), b"what I did", {"ticket": 7}), (b"plain", b"too", {})]
    log = storage.undoLog(0, -20, lambda entry: entry.get("ticket") == 7)
    assert [entry["description"] for entry in log] == [b"what I did"]
    assert storage.undoInfo(0, -20, {"user_name": b"plain"})[0]["description"] == b"too"
    history = storage.history(A, 2)
    assert [entry["user_name"] for entry in history] == [b"plain", "Zoë".encode()]
    with pytest.raises(UnknownKeyError):
        list(encrypted(below, OTHER_KEY, metadata=True).iterator())


def test_undo_through_an_encrypted_layer_spans_what_was_there_before_it() -> None:
    below = MappingStorage()
    write(below, {A: cell("plain")})
    storage = encrypted(below, KEY)
    write(storage, {A: cell("encrypted")})

    undo(storage, undo_id(storage))

    assert current(storage, A).data == cell("plain")
    assert current(below, A).data[:2] == b".e"


def test_a_layer_over_changes_encrypts_what_it_writes_and_reads_the_base() -> None:
    base = MappingStorage()
    write(encrypted(base, KEY), {A: LONG})
    changes = MappingStorage()
    storage = encrypted(DemoStorage(base=base, changes=changes), KEY)

    tid = write(storage, {B: LONG}).tid

    assert current(storage, A).data == LONG
    assert b"same again" not in changes.loadSerial(B, tid)


def test_conflicts_are_not_resolved_by_storages_that_do_not_ask_the_layer() -> None:
    storage = encrypted(MappingStorage(), KEY)
    link = storage._link

    assert link.references(write_and_read_below(storage)) == [B]
    with pytest.raises(Unsupported, match="together with its oid"):
        link.transform_record_data(cell(1))


def write_and_read_below(storage: Any) -> bytes:
    tid = write(storage, {A: holder(B)}).tid
    data: bytes = storage.base.loadSerial(A, tid)
    return data


def test_without_its_layer_a_database_says_what_lacks() -> None:
    below = MappingStorage()
    layered = perdure.DB(compressed(below, close_base=False))
    with layered.transaction() as connection:
        connection.root.text = "again and " * 50
    layered.close()

    db = perdure.DB(below)
    says = pytest.raises(StateLoadError, match=r"begins with b'\.s', as a layer writes it")
    with says, db.transaction() as connection:
        assert connection.root.text
    db.close()


# The layer itself


def test_a_layer_declares_what_the_storage_below_declares() -> None:
    below = capabilities_of(MappingStorage())

    assert capabilities_of(compressed(MappingStorage())) == below
    encrypting = capabilities_of(encrypted(MappingStorage(), KEY))
    assert not encrypting.binding
    assert encrypting.undo


def test_a_transaction_that_is_not_known_is_refused_without_looking_at_the_record() -> None:
    storage = TransformingStorage(MappingStorage(), Compression("zlib"))
    nonsense: Any = object()

    with pytest.raises(StorageTransactionError):
        storage.storeBlob(nonsense, ZERO, nonsense, nonsense, "", TransactionMetaData())


def test_closing_a_layer_closes_what_is_below_unless_told_otherwise() -> None:
    below = MappingStorage()
    compressed(below, close_base=False).close()
    write(below, {A: cell(1)})

    compressed(below).close()
    with pytest.raises(perdure.errors.StorageClosedError):
        below.loadBefore(A, MAX_TID)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:

    clock = Clock(float(int(time.time())))
    monkeypatch.setattr(time, "time", clock)
    return clock
