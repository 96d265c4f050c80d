"""Databases and storages as ZConfig describes them."""

from pathlib import Path

import pytest
import transaction
import ZConfig
import ZODB.blob
import ZODB.config
import ZODB.POSException
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage
from ZODB.MappingStorage import MappingStorage

import perdure


def found(connection, module: str, name: str) -> type:
    return dict


def test_a_database_in_a_file_with_all_its_options(tmp_path: Path) -> None:
    db = ZODB.config.databaseFromString(
        f"""
        <zodb main>
          cache-size 123
          cache-size-bytes 4MB
          pool-size 3
          pool-timeout 10m
          large-record-size 1MB
          historical-pool-size 5
          historical-cache-size 77
          historical-cache-size-bytes 2MB
          historical-timeout 1m
          allow-implicit-cross-references false
          class-factory {__name__}.found
          <filestorage>
            path {tmp_path}/d.fs
            blob-dir {tmp_path}/blobs
            quota 10MB
            pack-gc false
            pack-keep-old false
          </filestorage>
        </zodb>
        """
    )
    assert isinstance(db.storage, FileStorage)
    assert (db.getCacheSize(), db.getCacheSizeBytes(), db.getPoolSize()) == (123, 4 << 20, 3)
    assert (db.getHistoricalPoolSize(), db.getHistoricalCacheSize()) == (5, 77)
    assert (db.getHistoricalCacheSizeBytes(), db.getHistoricalTimeout()) == (2 << 20, 60)
    assert (db.database_name, db.xrefs, db.large_record_size) == ("main", False, 1 << 20)
    assert db.pool.timeout_s == 600
    assert db.storage._quota == 10 << 20
    assert db.storage.pack_keep_old is False
    connection = db.open()
    assert db.classFactory(connection, "no.such", "Class") is dict
    connection.close()
    db.close()


def test_several_sections_are_one_multi_database() -> None:
    first = ZODB.config.databaseFromString(
        """
        <zodb first>
          <mappingstorage/>
        </zodb>
        <zodb>
          database-name second
          <mappingstorage>
            name two
          </mappingstorage>
        </zodb>
        """
    )
    assert sorted(first.databases) == ["first", "second"]
    assert first.databases["second"].storage.getName() == "two"
    for database in list(first.databases.values()):
        database.close()


def test_what_was_opened_is_closed_when_a_later_section_fails(tmp_path: Path) -> None:
    text = f"""
        <zodb first>
          <filestorage>
            path {tmp_path}/d.fs
          </filestorage>
        </zodb>
        <zodb first>
          <mappingstorage/>
        </zodb>
    """
    with pytest.raises(ZConfig.ConfigurationSyntaxError):
        ZODB.config.databaseFromString(text)
    with pytest.raises(ValueError, match="already in databases"):
        ZODB.config.databaseFromString(text.replace("<zodb first>", "<zodb>"))
    FileStorage(str(tmp_path / "d.fs")).close()  # nobody holds its lock


@pytest.mark.parametrize("named", ["", "changes"])
def test_a_demo_storage(tmp_path: Path, named: str) -> None:
    FileStorage(str(tmp_path / "base.fs")).close()
    changes = f"<filestorage changes>\npath {tmp_path}/changes.fs\n</filestorage>" if named else ""
    storage = ZODB.config.storageFromString(
        f"""
        <demostorage>
          name layered
          <filestorage base>
            path {tmp_path}/base.fs
          </filestorage>
          {changes}
        </demostorage>
        """
    )
    assert isinstance(storage, DemoStorage)
    assert storage.getName() == "layered"
    assert storage.base.getName() == f"{tmp_path}/base.fs"
    assert isinstance(storage.changes, FileStorage if named else MappingStorage)
    storage.close()


def test_too_many_bases_of_a_demo_storage_are_refused() -> None:
    text = "<demostorage>\n<mappingstorage a/>\n<mappingstorage b/>\n</demostorage>"
    with pytest.raises(ValueError, match="Too many base storages"):
        ZODB.config.storageFromString(text)


def test_blobs_for_a_storage_without(tmp_path: Path) -> None:
    storage = ZODB.config.storageFromString(
        f"""
        <blobstorage>
          blob-dir {tmp_path}/blobs
          <filestorage>
            path {tmp_path}/d.fs
          </filestorage>
        </blobstorage>
        """
    )
    assert isinstance(storage, ZODB.blob.BlobStorage)
    with ZODB.DB(storage).transaction() as connection:
        connection.root.blob = ZODB.blob.Blob(b"x")
    storage.close()


def test_a_packer_is_named_or_made_by_an_expression(tmp_path: Path) -> None:
    text = "<filestorage>\npath {}\npacker {}\n</filestorage>"
    named = ZODB.config.storageFromString(text.format(tmp_path / "a.fs", f"{__name__}.found"))
    named.close()
    made = ZODB.config.storageFromString(
        text.format(tmp_path / "b.fs", f"{__name__}:lambda *args: found")
    )
    made.close()
    with pytest.raises(ValueError, match="cannot be imported"):
        ZODB.config.storageFromString(text.format(tmp_path / "c.fs", "no.such.packer"))


def test_a_storage_that_is_no_more_says_so(tmp_path: Path) -> None:
    with pytest.raises(ZODB.POSException.Unsupported, match="use <filestorage>"):
        ZODB.config.storageFromString("<fullstorage>\nenvdir x\n</fullstorage>")


def test_files_and_urls(tmp_path: Path) -> None:
    path = tmp_path / "zodb.conf"
    path.write_text("<zodb>\n<mappingstorage/>\n</zodb>")
    ZODB.config.databaseFromURL(str(path)).close()
    with path.open() as file:
        ZODB.config.databaseFromFile(file).close()
    path.write_text("<mappingstorage/>")
    ZODB.config.storageFromURL(path.as_uri()).close()


def test_other_schemas_import_the_sections_of_zodb() -> None:
    import io

    schema = ZConfig.loadSchemaFile(
        io.StringIO(
            '<schema><import package="ZODB"/><section type="ZODB.storage" name="*"'
            ' attribute="storage"/></schema>'
        )
    )
    # A package of another one, as ZEO and RelStorage have it, and the file asks for ZODB again.
    text = "%import zc.zlibstorage\n%import ZODB\n<zlibstorage>\n<mappingstorage/>\n</zlibstorage>"
    config, _ = ZConfig.loadConfigFile(schema, io.StringIO(text))
    storage = config.storage.open()
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root.x = "x" * 100
    assert storage.base.load(b"\0" * 8)[0].startswith(b".z")
    db.close()
    transaction.abort()


def test_an_address_reads_files_that_import_the_sections_of_others(tmp_path: Path) -> None:
    conf = tmp_path / "app.conf"
    conf.write_text(
        "%import zc.zlibstorage\n%import ZODB\n"
        f"<zodb main>\ncache-size 11\n<zlibstorage>\n<filestorage>\npath {tmp_path}/d.fs\n"
        "</filestorage>\n</zlibstorage>\n</zodb>\n"
    )
    db = perdure.open(f"zconfig:{conf}#main")
    assert db.getCacheSize() == 11
    assert isinstance(db.storage.base, FileStorage)
    db.close()
    conf.write_text(f"<zodb>\n<filestorage>\npath {tmp_path}/d.fs\n</filestorage>\n</zodb>\n")
    db = perdure.open(f"zconfig:{conf}", read_only=True)
    assert db.storage.isReadOnly()
    assert isinstance(db.storage, FileStorage)
    db.close()


def test_a_section_of_a_file_may_have_a_path_only(tmp_path: Path) -> None:
    class Section:  # as `runzeo -f` makes it
        path = str(tmp_path / "d.fs")
        stop = None

        def getSectionName(self) -> str:
            return "1"

    storage = ZODB.config.FileStorage(Section()).open()
    assert (storage.getName(), storage.isReadOnly()) == (Section.path, False)
    storage.close()
