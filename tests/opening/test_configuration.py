"""Databases that a configuration file describes."""

import sys
from pathlib import Path
from typing import Any

import pytest
import ZODB.config

import perdure
from perdure.errors import (
    AddressError,
    MissingExtraError,
    ReadOnlyError,
    Unsupported,
)
from perdure.opening import address_text, open_storage, parse
from perdure.storages import DemoStorage, FileStorage
from processes import python

TEXT = """
<zodb Main>
  cache-size 77
  cache-size-bytes 2MB
  pool-size 3
  pool-timeout 2m
  historical-timeout 7s
  large-record-size 1MB
  database-name shop
  allow-implicit-cross-references false
  <filestorage>
    path app.fs
    blob-dir blobs
    pack-gc false
    quota 10MB
  </filestorage>
</zodb>

<zodb other>
  <mappingstorage>
    name elsewhere
  </mappingstorage>
</zodb>

<demostorage layered>
  <filestorage>
    path app.fs
    blob-dir blobs
  </filestorage>
  <filestorage changes>
    path changes.fs
  </filestorage>
</demostorage>
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.conf").write_text(TEXT)
    return tmp_path


def settings(db: Any) -> dict[str, Any]:
    return {
        "cache_size": db.getCacheSize(),
        "cache_size_bytes": db.getCacheSizeBytes(),
        "pool_size": db.getPoolSize(),
        "historical_pool_size": db.getHistoricalPoolSize(),
        "historical_cache_size": db.getHistoricalCacheSize(),
        "historical_timeout": db.getHistoricalTimeout(),
        "large_record_size": db.large_record_size,
        "xrefs": db.xrefs,
        "pool_timeout": db.pool.timeout_s if isinstance(db, perdure.DB) else db.pool.timeout,
    }


@pytest.mark.parametrize("address", ["zconfig:app.conf", "zconfig://app.conf#main"])
def test_a_section_says_what_it_says_to_zodb(here: Path, address: str) -> None:
    theirs = ZODB.config.databaseFromURL(str(section(here, "Main")))
    wanted = settings(theirs)
    theirs.close()
    with perdure.open(address) as db:
        assert settings(db) == wanted
        assert db.getCacheSize() == 77
        assert db.database_name == "shop"
        assert isinstance(db.storage, FileStorage)
        assert db.storage.blob_dir == str(here / "blobs")


def section(here: Path, name: str) -> Path:
    """Return a file with only one of the sections; ZODB wants them alone."""
    text = TEXT[TEXT.index(f"<zodb {name}>") :]
    path = here / "alone.conf"
    path.write_text(text[: text.index("</zodb>")] + "</zodb>\n")
    return path


def test_names_find_sections_and_no_name_the_first_database(here: Path) -> None:
    with perdure.open(f"zconfig://{here}/app.conf#other") as db:
        assert (db.getName(), db.getCacheSize()) == ("elsewhere", 5000)
    with perdure.open("zconfig:?path=app.conf&section=Other") as db:
        assert db.getName() == "elsewhere"


def test_a_storage_can_be_named_too(here: Path) -> None:
    with perdure.open("zconfig:app.conf") as db, db.transaction() as connection:
        connection.root.count = 1
    with perdure.open("zconfig:app.conf?cache_size=5#layered") as db:
        assert isinstance(db.storage, DemoStorage)
        assert db.getCacheSize() == 5
        with db.transaction() as connection:
            connection.root.count += 1
    with perdure.open("zconfig:app.conf#layered") as db:
        assert db.getCacheSize() == 10_000
        with db.transaction() as connection:
            assert connection.root.count == 2
    with perdure.open("app.fs") as db, db.transaction() as connection:
        assert connection.root.count == 1


def test_options_of_the_address_go_before_those_of_the_section(here: Path) -> None:
    with perdure.open("zconfig:app.conf?connection_cache_size=5#main") as db:
        assert (db.getCacheSize(), db.getPoolSize()) == (5, 3)


def test_it_can_be_a_layer_and_then_is_only_read(here: Path) -> None:
    with perdure.open("zconfig:app.conf") as db:
        with db.transaction() as connection:
            connection.root.count = 1
        layer = perdure.open("demo:(zconfig:app.conf#main)/(memory:)")
        with layer, layer.transaction() as connection:
            connection.root.count += 1
        with db.transaction() as connection:
            assert connection.root.count == 1


@pytest.mark.parametrize("name", ["main", "other", "layered"])
def test_any_section_can_be_opened_read_only(here: Path, name: str) -> None:
    with perdure.open("zconfig:app.conf#main") as db, db.transaction() as connection:
        connection.root.count = 1
    perdure.open("zconfig:app.conf#layered").close()
    storage = open_storage(parse(f"zconfig:app.conf#{name}", read_only=True))
    assert storage.isReadOnly()
    with pytest.raises(ReadOnlyError):
        storage.new_oid()
    storage.close()


def test_its_address_can_be_written(here: Path) -> None:
    address = parse("zconfig:app.conf?cache_size=5#main")
    assert address.options == {"section": "main"}
    assert parse(address_text(address)) == address


def test_a_blobstorage_gives_its_directory_to_the_file(here: Path) -> None:
    (here / "blobs.conf").write_text(
        "<blobstorage>\nblob-dir blobs\n<filestorage>\npath app.fs\n</filestorage>\n</blobstorage>"
    )
    storage = open_storage("zconfig:blobs.conf")
    assert isinstance(storage, FileStorage)
    assert storage.blob_dir == str(here / "blobs")
    storage.close()
    (here / "blobs.conf").write_text(
        "<blobstorage>\nblob-dir blobs\n<mappingstorage/>\n</blobstorage>"
    )
    with pytest.raises(Unsupported, match="takes a <filestorage>"):
        open_storage("zconfig:blobs.conf")


def test_functions_are_found_by_name(here: Path) -> None:
    (here / "named.conf").write_text(
        "<zodb>\nclass-factory samples.staging.title\n<filestorage>\npath app.fs\n"
        "packer samples.staging.title\n</filestorage>\n</zodb>"
    )
    with perdure.open("zconfig:named.conf") as db:
        assert db._class_factory.__name__ == "title"
    (here / "named.conf").write_text("<filestorage>\npath app.fs\npacker os:getcwd\n</filestorage>")
    open_storage("zconfig:named.conf").close()
    (here / "named.conf").write_text(
        "<filestorage>\npath app.fs\npacker os:nothing\n</filestorage>"
    )
    with pytest.raises(AddressError, match="'os:nothing' is no packer"):
        open_storage("zconfig:named.conf")
    (here / "named.conf").write_text("<filestorage>\npath app.fs\npacker nowhere.x\n</filestorage>")
    with pytest.raises(AddressError, match=r"'nowhere\.x' cannot be imported"):
        open_storage("zconfig:named.conf")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no section that describes"),
        ("<zodb>\n", "cannot be read: .*line 1"),
        ("<zeppelin>\n</zeppelin>", "cannot be read: .*zeppelin"),
        ("<filestorage>\npath app.fs\nsize 3\n</filestorage>", "cannot be read: .*size"),
        ("<filestorage>\n</filestorage>", "cannot be read: .*path"),
        ("<zodb>\n</zodb>", "cannot be read: .*"),
        ("<zodb>\ncache-size lots\n<mappingstorage/>\n</zodb>", "cannot be read: .*lots"),
        ("<demostorage>\n<mappingstorage a/>\n<mappingstorage b/>\n</demostorage>", ".*one base"),
        ("%import no.such.package\n", r"cannot be read: .*no\.such\.package"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(here: Path, text: str, problem: str) -> None:
    (here / "bad.conf").write_bytes(text.encode("latin-1"))
    with pytest.raises(AddressError, match=f"address 'zconfig:bad.conf': 'bad.conf' {problem}"):
        perdure.open("zconfig:bad.conf")


COMPONENT = """
<component>
  <import package="ZODB"/>
  <sectiontype name="elsewhere" implements="ZODB.storage" datatype="others.Elsewhere"/>
</component>
"""
FACTORY = """
class Elsewhere:
    def __init__(self, config):
        self.name = config.getSectionName()

    def open(self):
        from perdure import MappingStorage
        return MappingStorage("elsewhere")
"""


def test_sections_of_packages_that_stand_on_zodb_take_its_names(here: Path) -> None:
    (here / "others").mkdir()
    (here / "others" / "__init__.py").write_text(FACTORY)
    (here / "others" / "component.xml").write_text(COMPONENT)
    (here / "others.conf").write_text("%import others\n<elsewhere>\n</elsewhere>\n")
    program = (
        "import sys, perdure, perdure.compat\n"
        "from perdure.errors import AddressError\n"
        "sys.path.insert(0, '')\n"
        "if sys.argv[1] == 'installed':\n"
        "    perdure.compat.install()\n"
        "try:\n"
        "    print(perdure.open('zconfig:others.conf').getName())\n"
        "except AddressError as error:\n"
        "    print(error)\n"
    )
    refused = python("-c", program, "not installed")
    assert "'others.conf' cannot be read: " in refused.stdout
    assert "set PERDURE_COMPAT=1 in the environment" in refused.stdout
    assert python("-c", program, "installed").stdout == "elsewhere\n"


def test_a_name_that_is_not_there_is_answered_with_the_near_one(here: Path) -> None:
    with pytest.raises(AddressError) as caught:
        perdure.open("zconfig:app.conf#mian")
    assert "is no section of app.conf (there are layered, main, other)" in str(caught.value)
    assert caught.value.nearest == "zconfig:app.conf#main"
    (here / "bare.conf").write_text("<mappingstorage/>")
    with pytest.raises(AddressError, match="its sections have no names"):
        perdure.open("zconfig:bare.conf#main")


def test_a_file_that_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(AddressError, match=r"'missing\.conf' is no file"):
        perdure.open("zconfig:missing.conf")


def test_a_section_can_be_given_once(here: Path) -> None:
    with pytest.raises(AddressError, match="is given a second time"):
        perdure.open("zconfig:app.conf?section=main#other")


def test_without_zconfig_the_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ZConfig", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'perdure\[zconfig\]'"):
        perdure.open("zconfig:app.conf")


def test_nobody_else_pays_for_it() -> None:
    code = "import perdure, sys; perdure.open('memory:').close(); print('ZConfig' in sys.modules)"
    result = python("-c", code)
    assert (result.stdout, result.stderr) == ("False\n", "")
