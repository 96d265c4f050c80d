from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

import perdure
from perdure.errors import AddressError, FileLockedError, ReadOnlyError, SnapshotError
from perdure.ids import after, tid_repr
from perdure.interfaces import Storage
from perdure.opening import Address, Form, Scheme, open_storage, parse, register, registry
from perdure.storages.memory import MappingStorage


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put(db: perdure.DB, value: object) -> None:
    with db.transaction() as connection:
        connection.root.value = value


def got(db: perdure.DB) -> object:
    with db.transaction() as connection:
        value: object = connection.root.value
        return value


def test_none_is_a_database_in_memory() -> None:
    with perdure.DB(None) as db:
        put(db, 1)
        assert isinstance(db.storage, MappingStorage)
        assert got(db) == 1


@pytest.mark.parametrize("as_text", [True, False])
def test_a_path_is_a_database_in_a_file(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "app.fs"
    for expected in (None, 1):
        with perdure.DB(str(path) if as_text else path) as db:
            if expected is None:
                put(db, 1)
            else:
                assert got(db) == expected


def test_a_path_means_itself_whatever_is_in_it(here: Path) -> None:
    for name in ("memory:", "file:x.fs?cache_size=1", "a b%20.fs"):
        perdure.DB(Path(name)).close()
        assert (here / name).is_file()


def test_options_of_a_file_are_refused_for_other_storages() -> None:
    with pytest.raises(TypeError, match="for a database that is given by its path"):
        perdure.DB(None, read_only=True)


def test_a_storage_that_the_caller_made_stays_open_when_the_database_fails() -> None:
    storage = MappingStorage()
    with pytest.raises(ValueError, match="already in databases"):
        perdure.DB(storage, databases={"unnamed": None})
    perdure.DB(storage).close()


def test_a_file_is_let_go_of_when_the_database_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="already in databases"):
        perdure.DB(tmp_path / "app.fs", databases={"unnamed": None})
    perdure.DB(tmp_path / "app.fs").close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("app.fs", "app.fs"),
        ("file:app.fs", "app.fs"),
        ("file://app.fs", "app.fs"),
        ("file:~/app.fs", "app.fs"),
        ("~/app.fs", "app.fs"),
        ("file:100% of it.fs", "100% of it.fs"),
        ("file:a%20b.fs", "a%20b.fs"),
        ("file:?path=what%3F.fs", "what?.fs"),
        ("./with:colon.fs", "with:colon.fs"),
    ],
)
def test_an_address_leads_to_its_file(here: Path, address: str, name: str) -> None:
    with perdure.open(address) as db:
        put(db, 1)
    assert (here / name).is_file()
    with perdure.DB(here / name) as db:
        assert got(db) == 1


def test_a_pathlike_is_no_address(here: Path) -> None:
    perdure.open(Path("memory:")).close()
    assert (here / "memory:").is_file()


def test_options_reach_the_database_and_the_storage(here: Path) -> None:
    perdure.open("file:app.fs").close()
    address = "file:app.fs?read_only=1&cache_size=7&pool_size=3&database_name=main"
    with perdure.open(address) as db:
        assert (db.getCacheSize(), db.getPoolSize(), db.database_name) == (7, 3, "main")
        assert db.storage.isReadOnly()
        with pytest.raises(ReadOnlyError):
            put(db, 1)


def test_every_option_of_a_file_can_be_given_with_its_path(here: Path) -> None:
    of_file = set(signature(perdure.FileStorage).parameters) - {"file_name", "operations"}
    assert of_file <= set(signature(perdure.DB).parameters)


def test_the_index_is_saved_as_often_as_a_path_or_an_address_says(here: Path) -> None:
    by_path = perdure.DB("path.fs", checkpoint_bytes=0)
    by_address = perdure.open("file:address.fs?checkpoint_bytes=0")
    for db, index in ((by_path, "path.fs.index"), (by_address, "address.fs.index")):
        for number in range(3):
            put(db, number)
        db.storage._checkpoints.wait()
        assert Path(index).exists()
        db.close()


def test_an_address_can_show_a_file_as_it_was(here: Path) -> None:
    with perdure.DB("app.fs") as db:
        put(db, "before")
        moment = db.lastTransaction()
        put(db, "after")
    with perdure.open(f"file:app.fs?read_only=1&stop={tid_repr(after(moment))}") as db:
        assert got(db) == "before"


def test_read_only_can_be_asked_for_beside_the_address(here: Path) -> None:
    with perdure.open("app.fs") as db:
        put(db, 1)
    with perdure.open("app.fs", read_only=True) as db:
        assert db.storage.isReadOnly()
        assert got(db) == 1


def test_an_empty_file_that_is_only_read_says_that_it_has_no_root(here: Path) -> None:
    (here / "app.fs").touch()
    with pytest.raises(
        ReadOnlyError, match=r"app\.fs has no root yet, and only reads; open it for"
    ):
        perdure.open("app.fs", read_only=True)


def test_classes_of_the_call_go_before_those_of_the_address() -> None:
    address = "memory:?classes=nothing"
    with perdure.open(address, classes=["persistent.*"]) as db, db.transaction() as connection:
        connection.root.value = perdure.PersistentMapping({"a": 1})
        connection.transaction_manager.commit()
        connection.cacheMinimize()
        assert connection.root.value == {"a": 1}


def test_a_wrong_address_opens_nothing(here: Path) -> None:
    with pytest.raises(AddressError):
        perdure.open("file:app.fs?nonsense=1")
    assert list(here.iterdir()) == []


def test_a_connection_closes_its_database(here: Path) -> None:
    connection = perdure.connection("app.fs")
    with pytest.raises(FileLockedError):
        perdure.open("app.fs")
    connection.close()
    perdure.open("app.fs").close()


def test_a_storage_can_be_opened_without_a_database(here: Path) -> None:
    storage = open_storage("file:app.fs")
    assert storage.getName().endswith("app.fs")
    assert len(storage) == 0
    storage.close()


def test_what_is_parsed_can_be_opened() -> None:
    assert open_storage(parse("memory:scratch")).getName() == "scratch"


def test_a_demo_address_leaves_its_base_alone(here: Path) -> None:
    with perdure.open("base.fs") as db:
        put(db, 1)
    before = (here / "base.fs").read_bytes()
    with perdure.open("demo:(file:base.fs)/(file:changes.fs)") as db:
        put(db, 2)
        with perdure.open("demo:(file:base.fs)") as another:
            assert got(another) == 1
            put(another, 3)
    with perdure.open("demo:(file:base.fs)/(file:changes.fs)") as db:
        assert got(db) == 2
    assert (here / "base.fs").read_bytes() == before


def test_a_demo_address_works_while_another_process_would_hold_its_base(here: Path) -> None:
    with perdure.open("base.fs") as db:
        put(db, 1)
        with perdure.open("demo:(file:base.fs)") as layer:
            assert got(layer) == 1


def test_a_before_address_shows_the_past(here: Path) -> None:
    with perdure.open("app.fs") as db:
        put(db, "old")
        moment = tid_repr(after(db.lastTransaction()))
        put(db, "new")
        with perdure.open(f"before:{moment}/(file:app.fs)") as past:
            assert got(past) == "old"
            with pytest.raises(ReadOnlyError):
                put(past, "never")
        with perdure.open(f"demo:(before:{moment}/(file:app.fs))") as staged:
            put(staged, f"{got(staged)}, staged")
            assert got(staged) == "old, staged"
        assert got(db) == "new"


def test_a_snapshot_before_the_first_transaction_is_an_error(here: Path) -> None:
    perdure.open("app.fs").close()
    with pytest.raises(SnapshotError):
        perdure.open("before:1999-01-01/(file:app.fs)")
    perdure.open("app.fs").close()


def test_a_demo_database_can_be_opened_read_only(here: Path) -> None:
    with perdure.open("base.fs") as db:
        put(db, 1)
    perdure.open("demo:(base.fs)/(changes.fs)").close()
    with perdure.open("demo:(base.fs)/(changes.fs)", read_only=True) as db:
        assert got(db) == 1
        with pytest.raises(ReadOnlyError):
            put(db, 2)


class Pile:
    """What a layered scheme was given."""

    opened: tuple[Storage, ...] = ()


@pytest.fixture
def pile(monkeypatch: pytest.MonkeyPatch) -> Pile:
    """A scheme of two layers, the first of which is only read; it fails if it is told to."""
    monkeypatch.setattr(registry, "_schemes", dict(registry._schemes))
    pile = Pile()

    def open_(address: Address, layers: tuple[Storage, ...]) -> Storage:
        pile.opened = layers
        raise OSError("no")

    form = Form("pile", "pile:(memory:)/(memory:)", min_layers=2, max_layers=2, layers_only_read=1)
    register(Scheme(form, open_))
    return pile


def test_layers_are_opened_in_order_and_closed_if_what_stands_on_them_fails(
    here: Path, pile: Pile
) -> None:
    perdure.open("base.fs").close()
    with pytest.raises(OSError, match="no"):
        perdure.open("pile:(file:base.fs)/(file:changes.fs)")
    base, changes = pile.opened
    assert base.isReadOnly()
    assert not changes.isReadOnly()
    perdure.open("changes.fs").close()  # it would be locked, were it still open


def test_a_layer_that_does_not_open_closes_those_before_it(here: Path, pile: Pile) -> None:
    with pytest.raises(OSError, match="nowhere"):
        perdure.open("pile:(memory:)/(file:nowhere/x.fs)")
    assert pile.opened == ()


@pytest.mark.parametrize("address", ["memory:", "file:app.fs", "demo:(memory:)"])
def test_an_address_is_not_taken_for_a_path(here: Path, address: str) -> None:
    with pytest.raises(AddressError, match=r"begins an address.*perdure\.open"):
        perdure.DB(address)
    assert list(here.iterdir()) == []


def test_a_file_that_is_named_like_an_address_can_be_opened(here: Path) -> None:
    (here / "memory:").touch()
    perdure.DB("memory:").close()


def test_without_an_address_the_environment_has_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_ADDRESS", "file:app.fs?cache_size=7")
    with perdure.open() as db:
        put(db, 1)
        assert db.getCacheSize() == 7
    connection = perdure.connection()
    assert connection.root.value == 1
    connection.close()
    open_storage().close()
    with perdure.open(read_only=True) as db:
        assert db.storage.isReadOnly()
    assert (here / "app.fs").is_file()


@pytest.mark.parametrize("value", [None, ""])
def test_without_any_address_it_is_said_where_one_could_stand(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("PERDURE_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("PERDURE_ADDRESS", value)
    with pytest.raises(AddressError, match="'PERDURE_ADDRESS' is not set in the environment"):
        perdure.open()


def test_an_address_opens_with_the_caches_of_zodburi(here: Path) -> None:
    with perdure.open("memory:") as db:
        assert db.getCacheSize() == 10_000
    with perdure.DB(None) as db:
        assert db.getCacheSize() == 400


def test_changes_in_memory_over_a_file_as_zodburi_spells_it(here: Path) -> None:
    with perdure.open("app.fs") as db:
        put(db, 1)
    with perdure.open("file://app.fs?demostorage=1") as db:
        put(db, 2)
        assert got(db) == 2
    with perdure.open("app.fs") as db:
        assert got(db) == 1


@pytest.mark.parametrize(
    ("layout", "expected"), [("lawn", "lawn"), ("bushy", "bushy"), ("automatic", "bushy")]
)
def test_a_new_blob_directory_gets_the_layout_that_is_asked_for(
    here: Path, layout: str, expected: str
) -> None:
    perdure.open(f"file:app.fs?blobstorage_dir=blobs&blobstorage_layout={layout}").close()
    assert (here / "blobs" / ".layout").read_text().strip() == expected
    # Another one asked for later changes nothing.
    perdure.open("file:app.fs?blobstorage_dir=blobs&blobstorage_layout=lawn").close()
    assert (here / "blobs" / ".layout").read_text().strip() == expected


def test_a_base_cannot_be_created(here: Path) -> None:
    with pytest.raises(AddressError, match="'create=1' cannot be asked of a file that is only"):
        perdure.open("demo:(file:base.fs?create=1)")
    with pytest.raises(AddressError):
        perdure.open("file:base.fs?create=1", read_only=True)
    assert list(here.iterdir()) == []
