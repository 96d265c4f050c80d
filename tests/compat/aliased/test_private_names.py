"""Names that are private by their spelling, and used all the same."""

import os
from pathlib import Path

import pytest
import ZODB
import ZODB.blob
import ZODB.FileStorage
from persistent.mapping import PersistentMapping
from ZODB.BaseStorage import TransactionRecord
from ZODB.Connection import TransactionMetaData


@pytest.fixture
def db(tmp_path: Path):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(str(tmp_path / "d.fs"), blob_dir=tmp_path / "b"))
    yield db
    db.close()


def test_of_connections(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        root = connection.root()
        root._p_activate()
        assert connection._db is db
        assert connection._cache.get(root._p_oid) is root
        assert connection._storage.load(root._p_oid)[1] == root._p_serial
        assert connection._registered_objects == []
        root["new"] = PersistentMapping()
        assert connection._registered_objects == [root]
        cache = connection._cache
    connection = db.open()
    connection._resetCache()
    assert connection._cache is not cache
    connection.close()


def test_of_the_savepoint_storage(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        connection.root.x = 1
        committed = connection._storage
        connection.transaction_manager.savepoint()
        assert connection._storage is not committed
        assert b"x" in connection._storage.load(b"\0" * 8)[0]


def test_of_databases_and_roots(db: ZODB.DB) -> None:
    assert db._storage is db.storage
    with db.transaction() as connection:
        assert connection.root._root is connection.root()
    with pytest.warns(DeprecationWarning, match=r"use DB\.storage"):
        assert db._mvcc_storage.storage is db.storage
    with pytest.warns(DeprecationWarning, match=r"use getCacheSize\(\)"):
        assert db._cache_size == db.getCacheSize()


def test_of_the_directory_of_blobs(db: ZODB.DB) -> None:
    oid, tid = b"\0" * 7 + b"\5", b"\0" * 7 + b"\6"
    helper = db.storage.fshelper
    directory = helper.getPathForOID(oid, create=True)
    descriptor, path = helper.blob_mkstemp(oid, tid)
    os.close(descriptor)
    assert os.path.dirname(path) == directory
    assert Path(directory).is_relative_to(db.storage.blob_dir)
    without = ZODB.FileStorage.FileStorage(f"{db.storage.getName()}.without")
    with pytest.raises(TypeError, match="Blobs are not supported"):
        _ = without.fshelper.temp_dir
    without.close()


def test_of_blobs(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        blob = connection.root.blob = ZODB.blob.Blob(b"text")
        assert blob._p_blob_committed is None
        assert Path(blob._p_blob_uncommitted).read_bytes() == b"text"
    with db.transaction() as connection:
        blob = connection.root.blob
        blob._p_activate()
        assert Path(blob._p_blob_committed).read_bytes() == b"text"
        assert blob._p_blob_uncommitted is None


def test_of_file_storages(db: ZODB.DB) -> None:
    storage = db.storage
    index = storage._index
    assert list(index) == [b"\0" * 8]
    assert (len(index), index.get(b"\1" * 8), b"\0" * 8 in index) == (1, None, True)
    assert index.minKey() == index.maxKey() == b"\0" * 8
    assert storage._quota is None
    assert storage._is_read_only is False
    assert storage.getExtensionMethods() == {}
    with pytest.warns(DeprecationWarning, match=r"use getName"):
        assert storage._file_name == storage.getName()
    with pytest.warns(DeprecationWarning, match=r"use getSize"):
        assert storage._pos == storage.getSize()


def test_of_a_quota_and_of_reading_only(tmp_path: Path) -> None:
    storage = ZODB.FileStorage.FileStorage(str(tmp_path / "q.fs"), quota=4096)
    assert storage._quota == 4096
    storage.close()
    storage = ZODB.FileStorage.FileStorage(str(tmp_path / "q.fs"), read_only=True)
    assert storage._is_read_only
    assert storage._quota is None
    storage.close()


def test_of_metadata() -> None:
    metadata = TransactionMetaData("u", "d", {"a": 1})
    assert metadata._extension == {"a": 1}
    metadata._extension = {"b": 2}
    assert metadata.extension == {"b": 2}
    record = TransactionRecord(b"\0" * 8, " ", b"", b"", b"")
    assert record._extension == {}


def test_of_transactions_in_a_file(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        connection.root.x = 1
    first, second = db.storage.iterator()
    assert first._tpos == 4
    assert second._tpos == first._tend + 8
    assert second._tend + 8 == db.storage.getSize()
