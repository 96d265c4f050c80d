"""Addresses of layers: what is written through one is read through it, and by its options only."""

from pathlib import Path

import pytest

import perdure
from perdure.errors import (
    AddressError,
    FileAccessError,
    FileLockedError,
    KeySourceError,
    ReplicaDivergedError,
    UnknownDictionaryError,
    Unsupported,
)
from perdure.ids import p64
from perdure.opening import open_storage, parse
from perdure.records.keyring import new_key
from perdure.storages import FileStorage, ReplicatingStorage, train_dictionary, write_key_file
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write

SECRET = "a secret that would show " * 20


def fill(address: str) -> None:
    db = perdure.open(address)
    with db.transaction("told to nobody") as connection:
        connection.root.secret = SECRET
    db.close()


def read(address: str) -> object:
    db = perdure.open(address, read_only=True)
    with db.transaction() as connection:
        found = connection.root.secret
    db.close()
    return found


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("scheme", ["zstd", "zlib"])
def test_a_compressed_file_is_smaller_and_read_through_either_scheme(scheme: str) -> None:
    fill(f"{scheme}:(file:small.fs)?level=5&cache_size=10")
    fill("file:large.fs")

    assert Path("small.fs").stat().st_size < Path("large.fs").stat().st_size
    assert read("zstd:(file:small.fs)") == read("zlib:(file:small.fs)") == SECRET


def test_what_is_encrypted_is_not_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_file("app.key")
    address = "encrypt:(file:app.fs)?key_file=app.key&metadata=1&plain=0"

    fill(address)

    content = Path("app.fs").read_bytes()
    assert b"secret" not in content
    assert b"nobody" not in content
    assert read(address) == SECRET
    monkeypatch.setenv("APP_KEY", Path("app.key").read_text())
    assert read("encrypt:(file:app.fs)?key_env=APP_KEY&metadata=1") == SECRET


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("encrypt:(memory:)", "encrypt:(memory:)?key_file=app.key"),
        ("encrypt:(memory:)?metadata=1", "encrypt:(memory:)?metadata=1&key_file=app.key"),
        ("encrypt:(memory:)?key_file=a.key&key_env=KEY", "encrypt:(memory:)?key_file=a.key"),
    ],
)
def test_an_encrypted_address_names_one_key(given: str, nearest: str) -> None:
    with pytest.raises(AddressError, match="either key_file or key_env") as caught:
        open_storage(given)
    assert caught.value.nearest == nearest


def test_a_key_that_is_missing_or_no_key_says_where_it_should_be() -> None:
    Path("short.key").write_text(new_key().hex()[:40])
    for key, found in (
        ("key_file=none.key", "none.key: found no file"),
        ("key_env=NOT_SET", "NOT_SET: found nothing"),
        ("key_file=short.key", "found key 1 of 20 bytes"),
        ("key_file=.", "a file that cannot be read"),
    ):
        with pytest.raises(KeySourceError, match=found):
            open_storage(f"encrypt:(memory:)?{key}")


def test_a_dictionary_is_named_by_its_file() -> None:
    plain = FileStorage("plain.fs")
    write(plain, {p64(n): cell({"title": f"number {n}", "pages": n * 7}) for n in range(2000)})
    Path("app.dict").write_bytes(train_dictionary(plain, 4096))
    plain.close()
    with_it = open_storage("zstd:(file:app.fs)?dictionary=app.dict")
    write(with_it, {p64(1): cell({"title": "number 77", "pages": 539})})
    with_it.close()

    reader = open_storage("zstd:(file:app.fs)?old_dictionary=app.dict")
    assert reader.loadBefore(p64(1), b"\x7f" * 8) is not None
    reader.close()
    without = open_storage("zstd:(file:app.fs)")
    with pytest.raises(UnknownDictionaryError):
        without.loadBefore(p64(1), b"\x7f" * 8)
    without.close()
    with pytest.raises(FileAccessError, match=r"none\.dict: cannot read the dictionary"):
        open_storage("zstd:(memory:)?dictionary=none.dict")


@pytest.mark.parametrize(
    "options", ["dictionary=no.dict", "dictionary=good.dict&old_dictionary=no.dict"]
)
def test_a_file_that_is_no_dictionary_is_a_wrong_address(options: str) -> None:
    plain = FileStorage("plain.fs")
    write(plain, {p64(n): cell({"title": f"number {n}", "pages": n * 7}) for n in range(500)})
    Path("good.dict").write_bytes(train_dictionary(plain, 1024))
    plain.close()
    Path("no.dict").write_bytes(b"words, words, words")
    with pytest.raises(AddressError, match=r"dictionary=no\.dict' does not lead to a dictionary"):
        open_storage(f"zstd:(memory:)?{options}")


@pytest.mark.parametrize(("scheme", "most"), [("zstd", 22), ("zlib", 9)])
def test_a_level_that_there_is_not_is_a_wrong_address(scheme: str, most: int) -> None:
    open_storage(f"{scheme}:(memory:)?level={most}").close()
    for level in (0, most + 1, "high"):
        with pytest.raises(AddressError, match=f"should be a level from 1 to {most}"):
            open_storage(f"{scheme}:(memory:)?level={level}")


def test_a_replicated_file_is_there_twice_and_read_once() -> None:
    address = "replicate:(file:app.fs)/(zstd:(file:backup.fs))?synchronous=1&timeout=60"

    fill(address)

    assert read("file:app.fs") == read("zstd:(file:backup.fs)") == read(address) == SECRET


def test_a_backup_that_is_away_keeps_nobody_from_opening_and_gets_everything_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = "replicate:(file:app.fs)/(file:away/backup.fs)?timeout=60"

    db = perdure.open(address)
    with db.transaction() as connection:
        connection.root.secret = SECRET
    assert isinstance(db.storage, ReplicatingStorage)
    assert db.storage.lag()[0].error
    assert "a backup is away" in caplog.text
    Path("away").mkdir()
    assert any(db.storage.catch_up(60) for _ in range(10))  # a try may just have failed
    db.close()

    assert read("file:away/backup.fs") == SECRET


def test_a_backup_that_fails_is_opened_again() -> None:
    db = perdure.open("replicate:(file:app.fs)/(file:backup.fs)?timeout=60")
    assert isinstance(db.storage, ReplicatingStorage)
    assert db.storage.catch_up(60)
    backup = db.storage._replicas[0]._backup
    backup.close()

    with db.transaction() as connection:
        connection.root.secret = SECRET
    assert any(db.storage.catch_up(60) for _ in range(10))
    db.close()

    assert read("file:backup.fs") == SECRET


def test_reading_needs_no_backup() -> None:
    fill("app.fs")
    assert read("replicate:(file:app.fs)/(file:away/backup.fs)") == SECRET
    assert not Path("away").exists()


def test_what_is_no_backup_of_it_is_refused_and_let_go_of() -> None:
    for path in ("app.fs", "stranger.fs"):
        fill(path)
    for backups, error in (
        ("(file:new.fs)/(file:stranger.fs)", ReplicaDivergedError),
        ("(file:new.fs)/(file:app.fs)", FileLockedError),
        ("(file:new.fs)/(before:2099-01-01/(file:stranger.fs))", Unsupported),
    ):
        with pytest.raises(error):
            open_storage(f"replicate:(file:app.fs)/{backups}")
    for path in ("app.fs", "stranger.fs", "new.fs"):
        FileStorage(path).close()  # none is locked any more


def test_a_replicated_address_has_a_backup() -> None:
    with pytest.raises(AddressError, match="has 1 layer, expected 2 to 9"):
        parse("replicate:(file:app.fs)")
