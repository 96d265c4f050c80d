"""What zodburi opens, opens here as the same."""

from pathlib import Path
from typing import Any

import pytest
import zodburi
from ZODB.DB import DB as TheirDB  # noqa: N811

import perdure
from perdure.errors import AddressError
from perdure.opening import open_storage
from perdure.storages import DemoStorage, FileStorage, MappingStorage

OPTIONS = "connection_pool_size=3&connection_cache_size=55&database_name=shop"
ALL_OPTIONS = (
    f"{OPTIONS}&connection_pool_timeout=5&connection_cache_size_bytes=2MB"
    "&connection_historical_pool_size=4&connection_historical_cache_size=66"
    "&connection_historical_cache_size_bytes=1kb&connection_historical_timeout=9"
    "&connection_large_record_size=1gb"
)


def settings(db: Any) -> dict[str, Any]:
    ours = isinstance(db, perdure.DB)
    return {
        "database_name": db.database_name,
        "cache_size": db.getCacheSize(),
        "cache_size_bytes": db.getCacheSizeBytes(),
        "pool_size": db.getPoolSize(),
        "pool_timeout": db.pool.timeout_s if ours else db.pool.timeout,
        "historical_pool_size": db.getHistoricalPoolSize(),
        "historical_cache_size": db.getHistoricalCacheSize(),
        "historical_cache_size_bytes": db.getHistoricalCacheSizeBytes(),
        "historical_timeout": db.getHistoricalTimeout(),
        "large_record_size": db.large_record_size,
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.conf").write_text(
        "<zodb main>\ncache-size 77\npool-size 3\n"
        "<filestorage>\npath z.fs\n</filestorage>\n</zodb>\n"
        "<mappingstorage scratch>\nname elsewhere\n</mappingstorage>\n"
    )
    return tmp_path


def theirs(uri: str) -> dict[str, Any]:
    """Return the settings of the database that zodburi opens, and who it says it is."""
    factory, arguments = zodburi.resolve_uri(uri)
    db = TheirDB(factory(), **arguments)
    try:
        with db.transaction() as connection:
            connection.root()["writer"] = "zodburi"
        return settings(db)
    finally:
        db.close()


def ours(uri: str) -> dict[str, Any]:
    with perdure.open(uri) as db:
        return settings(db)


@pytest.mark.parametrize(
    "uri",
    [
        "memory://",
        "memory://name",
        f"memory://name?{ALL_OPTIONS}",
        "file://{here}/app.fs",
        "file://app.fs",
        "file://{here}/sub/../app.fs",
        "file://{here}/a b 100% %20.fs",
        f"file://app.fs?{ALL_OPTIONS}",
        "file://app.fs?quota=10MB&create=1&connection_cache_size=1",
        "file://app.fs?create=true&read_only=off",
        "file://app.fs?blobstorage_dir=blobs&blobstorage_layout=bushy",
        "file://app.fs?blobstorage_dir=blobs&blobstorage_layout=lawn",
        "demo:(memory://base)/(memory://changes)",
        f"demo:(memory://base)/(memory://changes)#{ALL_OPTIONS}",
        "demo:(file://{here}/base.fs)/(file://{here}/changes.fs)#connection_pool_size=9",
        "demo:(demo:(memory://a)/(memory://b))/(memory://c)",
        "zconfig://{here}/app.conf",
        "zconfig://{here}/app.conf#main",
        "zconfig://{here}/app.conf#scratch",
        f"zconfig://{{here}}/app.conf?{OPTIONS}#scratch",
    ],
)
def test_what_zodburi_opens_opens_here_with_the_same_settings(here: Path, uri: str) -> None:
    (here / "sub").mkdir()
    uri = uri.format(here=here)
    if "base.fs" in uri:
        perdure.DB(here / "base.fs").close()  # a base is only read here, and has to be there
    assert ours(uri) == theirs(uri)


def test_the_file_is_the_same(here: Path) -> None:
    for name in ("plain.fs", "a b 100% %20.fs"):
        theirs(f"file://{here}/{name}")
        assert (here / name).is_file()
        with perdure.open(f"file://{here}/{name}") as db, db.transaction() as connection:
            assert connection.root.writer == "zodburi"


def test_a_blob_directory_has_the_layout_that_zodburi_gives_it(here: Path) -> None:
    for layout in ("bushy", "lawn"):
        for number, opened in enumerate((ours, theirs)):
            name = f"{layout}{number}"
            opened(f"file://{name}.fs?blobstorage_dir={name}&blobstorage_layout={layout}")
        assert (here / f"{layout}0/.layout").read_text() == (
            here / f"{layout}1/.layout"
        ).read_text()


def test_options_of_a_file_reach_it(here: Path) -> None:
    perdure.DB(here / "app.fs").close()
    storage: Any = open_storage("file://app.fs?read_only=1&quota=10kb")
    theirs_storage = zodburi.resolve_uri("file://app.fs?read_only=1&quota=10kb")[0]()
    assert storage.isReadOnly() == theirs_storage.isReadOnly() == True  # noqa: E712
    theirs_storage.close()
    storage.close()


def test_demostorage_puts_changes_in_memory_over_the_file(here: Path) -> None:
    theirs(f"file://{here}/app.fs")
    storage: Any = open_storage(f"file://{here}/app.fs?demostorage=1")
    assert isinstance(storage, DemoStorage)
    assert isinstance(storage.base, FileStorage)
    assert isinstance(storage.changes, MappingStorage)
    storage.close()
    with pytest.warns(DeprecationWarning, match="demostorage option is deprecated"):
        factory, _ = zodburi.resolve_uri(f"file://{here}/app.fs?demostorage=1")
    their_storage = factory()
    assert type(their_storage).__name__ == "DemoStorage"
    their_storage.close()


def test_a_memory_storage_has_the_name_in_its_address() -> None:
    factory, _ = zodburi.resolve_uri("memory://scratch")
    assert open_storage("memory://scratch").getName() == factory().getName() == "scratch"


@pytest.mark.parametrize(
    "uri",
    [
        "file://app.fs?no_such_option=1",
        "memory://?connection_no_such_option=1",
        "demo:(memory://a?database_name=x)/(memory://b)",
        "demo:(memory://a)",  # here this one is right: changes in memory
        "ftp://app.fs",
        "zconfig://{here}/app.conf#nobody",
    ],
)
def test_what_zodburi_refuses_is_refused_here_with_a_reason(here: Path, uri: str) -> None:
    uri = uri.format(here=here)
    with pytest.raises((KeyError, ValueError)):
        zodburi.resolve_uri(uri)
    if uri == "demo:(memory://a)":
        open_storage(uri).close()
    else:
        with pytest.raises(AddressError):
            perdure.open(uri)
