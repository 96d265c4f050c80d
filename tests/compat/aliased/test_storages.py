"""Storages that others wrote, over ZODB's base classes, in a Perdure database."""

from pathlib import Path

import pytest
import transaction
import zc.zlibstorage
import ZODB
import ZODB.blob
import ZODB.FileStorage
import ZODB.interfaces
import ZODB.MappingStorage
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from ZODB.POSException import (
    ConflictError,
    POSKeyError,
    ReadConflictError,
    ReadOnlyError,
    StorageTransactionError,
)

from samples.compat_storages import BlobKeeping, Resolving, Small


def test_a_subclass_of_base_storage_serves_a_database() -> None:
    db = ZODB.DB(Small("small"))
    with db.transaction() as connection:
        connection.root.tree = OOBTree({"a": 1})
    with db.transaction() as connection:
        assert dict(connection.root.tree) == {"a": 1}
    assert db.storage.calls == ["begin", "vote", "finish"] * 2
    assert db.storage.getTid(b"\0" * 8) == db.storage.lastTransaction()
    assert db.getName() == db.storage.sortKey() == "small"
    db.close()


def test_its_conflicts_are_noticed_and_its_aborts_heard() -> None:
    db = ZODB.DB(Small("small"))
    one, two = transaction.TransactionManager(), transaction.TransactionManager()
    first, second = db.open(one), db.open(two)
    first.root.x, second.root.x = 1, 2
    one.commit()
    with pytest.raises(ConflictError):
        two.commit()
    two.abort()
    assert db.storage.calls[-1] == "abort"
    assert db.storage.tpc_transaction() is None
    first.close()
    second.close()
    db.close()


def test_a_call_with_the_wrong_transaction_is_refused_first() -> None:
    storage = Small("small")
    metadata = ZODB.Connection.TransactionMetaData()
    with pytest.raises(StorageTransactionError):
        storage.tpc_vote(metadata)
    with pytest.raises(StorageTransactionError):
        storage.tpc_finish(metadata)
    storage.tpc_abort(metadata)
    storage.tpc_begin(metadata)
    with pytest.raises(StorageTransactionError):
        storage.tpc_begin(metadata)
    assert storage._transaction is metadata
    assert storage._tid > storage._ltid
    storage.tpc_abort(metadata)


def test_the_callback_runs_before_the_tid_is_visible_and_empty_transactions_persist() -> None:
    storage = Small("small")
    metadata = ZODB.Connection.TransactionMetaData("u", "d", {"k": 1})
    storage.tpc_begin(metadata)
    storage.tpc_vote(metadata)
    seen = []
    tid = storage.tpc_finish(metadata, lambda tid: seen.append((tid, storage._ltid)))
    assert seen == [(tid, b"\0" * 8)]
    assert storage.lastTransaction() == tid
    assert storage.finished == [(tid, b"u", b"d", metadata.extension_bytes)]


def test_its_oids_and_reading_only() -> None:
    storage = Small("small")
    storage.set_max_oid(b"\0" * 7 + b"\x09")
    assert storage.new_oid() == b"\0" * 7 + b"\x0a"
    storage._is_read_only = True
    with pytest.raises(ReadOnlyError):
        storage.new_oid()
    with pytest.raises(ReadOnlyError):
        storage.tpc_begin(ZODB.Connection.TransactionMetaData())


def test_reads_can_be_verified_by_the_function() -> None:
    storage = Small("small")
    db = ZODB.DB(storage)
    metadata = ZODB.Connection.TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.checkCurrentSerialInTransaction(b"\0" * 8, storage.getTid(b"\0" * 8), metadata)
    with pytest.raises(ReadConflictError):
        storage.checkCurrentSerialInTransaction(b"\0" * 8, b"\1" * 8, metadata)
    storage.tpc_abort(metadata)
    db.close()


def test_a_conflict_resolving_storage_resolves() -> None:
    db = ZODB.DB(Resolving("resolving"))
    with db.transaction() as connection:
        connection.root.count = Length()
    one, two = transaction.TransactionManager(), transaction.TransactionManager()
    first, second = db.open(one), db.open(two)
    first.root.count.change(1)
    second.root.count.change(10)
    one.commit()
    two.commit()
    assert second.root.count() == 11
    first.close()
    second.close()
    db.close()


def test_a_blob_storage_mixin_keeps_blobs(tmp_path: Path) -> None:
    storage = BlobKeeping("blobs", str(tmp_path / "blobs"))
    assert ZODB.interfaces.IBlobStorage.providedBy(storage)
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root.blob = ZODB.blob.Blob(b"one")
    with db.transaction() as connection:
        with connection.root.blob.open() as file:
            assert file.read() == b"one"
        path = connection.root.blob.committed()
        oid, serial = connection.root.blob._p_oid, connection.root.blob._p_serial
    assert storage.fshelper.splitBlobFilename(path) == (oid, serial)
    assert list(storage.fshelper.listOIDs()) == [(oid, storage.fshelper.getPathForOID(oid))]
    assert storage.fshelper.getOIDsForSerial(serial) == [oid]
    assert storage.is_blob_record(storage.loadSerial(oid, serial))
    with pytest.raises(POSKeyError):
        storage.loadBlob(b"\7" * 8, serial)
    db.close()


@pytest.mark.parametrize("layout", ["bushy", "lawn"])
def test_a_blob_storage_adds_blobs_to_one_that_has_none(tmp_path: Path, layout: str) -> None:
    base = ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"))
    storage = ZODB.blob.BlobStorage(str(tmp_path / "blobs"), base, layout=layout)
    assert (tmp_path / "blobs" / ".layout").read_text() == layout
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root.blob = ZODB.blob.Blob(b"one")
    with db.transaction() as connection, connection.root.blob.open("w") as file:
        file.write(b"two")
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
    manager.commit()
    with connection.root.blob.open() as file:
        assert file.read() == b"one"
    connection.close()
    db.pack()
    found = [path for path in (tmp_path / "blobs").rglob("*.blob") if path.is_file()]
    assert len(found) == 1
    db.close()


def test_blobs_of_transactions_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    base = ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"))
    db = ZODB.DB(ZODB.blob.BlobStorage(str(tmp_path / "blobs"), base))
    with db.transaction() as connection:
        connection.root.one = ZODB.blob.Blob(b"")
        connection.root.two = ZODB.blob.Blob(b"")
    stored, dropped = ZODB.Connection.TransactionMetaData(), ZODB.Connection.TransactionMetaData()
    with db.transaction() as connection:
        oids = [connection.root.one._p_oid, connection.root.two._p_oid]
    for oid, metadata in zip(oids, (stored, dropped), strict=True):
        record, serial = db.storage.load(oid)
        file = Path(db.storage.temporaryDirectory(), oid.hex())
        file.write_bytes(b"new")
        db.storage.tpc_begin(metadata)
        db.storage.storeBlob(oid, serial, record, str(file), "", metadata)
    db.storage.tpc_vote(stored)
    db.storage.tpc_abort(dropped)
    tid = db.storage.tpc_finish(stored)
    assert Path(db.storage.loadBlob(oids[0], tid)).read_bytes() == b"new"
    with pytest.raises(POSKeyError):
        db.storage.loadBlob(oids[1], tid)
    assert list(Path(db.storage.temporaryDirectory()).iterdir()) == []
    db.close()


def test_records_are_compressed_by_a_wrapper_that_copies_declarations(tmp_path: Path) -> None:
    base = ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"), blob_dir=str(tmp_path / "b"))
    storage = zc.zlibstorage.ZlibStorage(base)
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root.text = "x" * 1000
        connection.root.blob = ZODB.blob.Blob(b"blob")
    with db.transaction() as connection:
        assert connection.root.text == "x" * 1000
        with connection.root.blob.open() as file:
            assert file.read() == b"blob"
    assert base.load(b"\0" * 8)[0].startswith(b".z")
    plain = [record.data for each in storage.iterator() for record in each]
    assert all(data.startswith(b"\x80") for data in plain)
    db.pack()
    target = ZODB.FileStorage.FileStorage(str(tmp_path / "e.fs"), blob_dir=str(tmp_path / "f"))
    target.copyTransactionsFrom(storage)
    assert target.load(b"\0" * 8)[0] == storage.load(b"\0" * 8)[0]
    target.close()
    db.close()


def test_conflicts_are_resolved_below_a_wrapper(tmp_path: Path) -> None:
    db = ZODB.DB(zc.zlibstorage.ZlibStorage(ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"))))
    with db.transaction() as connection:
        connection.root.tree = OOBTree({str(n): "x" * 100 for n in range(9)})
    one, two = transaction.TransactionManager(), transaction.TransactionManager()
    first, second = db.open(one), db.open(two)
    first.root.tree["1"] = "one"
    second.root.tree["2"] = "two"
    one.commit()
    two.commit()
    assert (second.root.tree["1"], second.root.tree["2"]) == ("one", "two")
    first.close()
    second.close()
    db.close()


def test_a_storage_before_a_moment(tmp_path: Path) -> None:
    beforestorage = pytest.importorskip("zc.beforestorage")
    base = ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"))
    below = ZODB.DB(base)
    for number in (1, 2):
        with below.transaction() as connection:
            connection.root.x = number
    moment = base.lastTransaction()
    db = ZODB.DB(beforestorage.Before(base, moment))
    with db.transaction() as connection:
        assert connection.root.x == 1
        assert connection.isReadOnly()
    db.close()
