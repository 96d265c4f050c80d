"""Commands look inside records through the layers of an address, and say where one lacks."""

from pathlib import Path

import pytest

import perdure
from commands import invoke
from perdure.storages import write_key_file


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A database of three objects and a note, compressed and then encrypted."""
    write_key_file(tmp_path / "app.key")
    file = f"file:{tmp_path / 'app.fs'}?blob_dir={tmp_path / 'blobs'}"
    address = f"zstd:(encrypt:({file})?key_file={tmp_path / 'app.key'}&metadata=1)"
    with perdure.open(address) as db:
        with db.transaction("the first note") as connection:
            connection.root.books = perdure.PersistentMapping(one=perdure.PersistentMapping())
            connection.root.old = perdure.Blob(b"a blob")
        with db.transaction("the second note") as connection:
            connection.root.books["one"]["title"] = "a title " * 20
            del connection.root.old
    return address


def printed(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_looking_through_layers_shows_what_is_inside(address: str) -> None:
    assert printed("check", address).endswith("sound\n")
    assert "a title a title" in printed("show", address, "/books/one")
    assert "the second note" in printed("log", address)
    assert "persistent.mapping.PersistentMapping" in printed("du", address)
    assert "0x1" in printed("ls", address)
    assert ".data.books" in printed("refs", address, "0x1")
    assert "zstd(encrypted(" in printed("info", address)


def test_packing_through_layers_drops_garbage_and_its_blobs(address: str, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    assert len(list(blobs.rglob("*.blob"))) == 1

    assert "4 -> 3" in printed("pack", address)

    assert not list(blobs.rglob("*.blob"))
    assert printed("check", address).endswith("sound\n")


def test_undoing_through_layers_brings_back_what_was(address: str) -> None:
    tid = printed("log", address, "-n", "1").split()[0]

    printed("undo", address, tid)

    with perdure.open(address, read_only=True) as db, db.transaction() as connection:
        assert dict(connection.root.books["one"]) == {}
        with connection.root.old.open() as file:
            assert file.read() == b"a blob"


def test_copying_to_a_plain_file_decrypts(address: str, tmp_path: Path) -> None:
    plain = str(tmp_path / "plain.fs")

    printed("copy", address, f"file:{plain}?blob_dir={tmp_path / 'plain'}")

    assert b"a title" in Path(plain).read_bytes()
    assert printed("check", plain, "--blob-dir", str(tmp_path / "plain")).endswith("sound\n")


def test_a_wrong_key_is_told_in_one_line(address: str, tmp_path: Path) -> None:
    (tmp_path / "app.key").unlink()
    write_key_file(tmp_path / "app.key")

    result = invoke("check", address)

    assert result.exit_code == 2
    assert "this is the wrong key, not damage" in result.output
    assert result.output.count("\n") == 1


def test_without_its_layer_a_file_says_which_one_lacks(address: str, tmp_path: Path) -> None:
    result = invoke("check", str(tmp_path / "app.fs"))

    assert result.exit_code == 1
    assert "begins with b'.e', as a layer writes it" in result.output
    packed = invoke("pack", str(tmp_path / "app.fs"))
    assert packed.exit_code == 1
    assert "open the database through that layer" in packed.output
