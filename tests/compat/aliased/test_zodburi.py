"""zodburi, unchanged: addresses become Perdure's storages and databases."""

from pathlib import Path

import pytest
import ZODB
import zodburi
from ZODB.blob import BlobStorage
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage
from ZODB.MappingStorage import MappingStorage


def opened(uri: str) -> ZODB.DB:
    factory, arguments = zodburi.resolve_uri(uri)
    return ZODB.DB(factory(), **arguments)


def test_a_file_with_options(tmp_path: Path) -> None:
    db = opened(f"file://{tmp_path}/d.fs?connection_cache_size=77&database_name=one&quota=10MB")
    assert isinstance(db.storage, FileStorage)
    assert (db.getCacheSize(), db.database_name, db.storage._quota) == (77, "one", 10 << 20)
    db.close()


def test_a_file_with_blobs(tmp_path: Path) -> None:
    db = opened(f"file://{tmp_path}/d.fs?blobstorage_dir={tmp_path}/b&blobstorage_layout=bushy")
    assert isinstance(db.storage, BlobStorage)
    db.close()


def test_changes_over_a_file(tmp_path: Path) -> None:
    opened(f"file://{tmp_path}/d.fs").close()
    db = opened(f"demo:(file://{tmp_path}/d.fs)/(file://{tmp_path}/changes.fs)")
    assert isinstance(db.storage, DemoStorage)
    with db.transaction() as connection:
        connection.root.x = 1
    db.close()


def test_memory_and_a_configuration_file(tmp_path: Path) -> None:
    db = opened("memory://name")
    assert isinstance(db.storage, MappingStorage)
    db.close()
    (tmp_path / "zodb.conf").write_text("<zodb>\ncache-size 55\n<mappingstorage/>\n</zodb>\n")
    db = opened(f"zconfig://{tmp_path}/zodb.conf")
    assert isinstance(db.storage, MappingStorage)
    assert db.getCacheSize() == 55
    db.close()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(KeyError):
        zodburi.resolve_uri("nosuch://x")
