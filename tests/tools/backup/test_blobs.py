"""Blobs are backed up and restored with the records."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import (
    BackupError,
    FileAccessError,
    FileMissingError,
    MissingBlobError,
    POSKeyError,
)
from perdure.ids import ROOT_OID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.storages import FileStorage
from perdure.tools import back_up, restore
from samples.transactions import write


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "app.fs", blob_dir=str(tmp_path / "blobs"))
    # The root refers to the objects that have blobs, so that a pack keeps them.
    write(
        storage, {ROOT_OID: b"N.(" + b"".join(b"C\x08" + p64(n) + b"Q" for n in (1, 2, 3)) + b"t."}
    )
    yield storage
    storage.close()


def put(storage: FileStorage, oid: bytes, content: bytes) -> bytes:
    source = Path(storage.temporaryDirectory()) / "incoming"
    source.write_bytes(content)
    try:
        serial = storage.getTid(oid)
    except POSKeyError:
        serial = ZERO
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.storeBlob(oid, serial, b"N.N.", os.fspath(source), "", transaction)
    storage.tpc_vote(transaction)
    return storage.tpc_finish(transaction)


def content(path: Path, blob_dir: Path, oid: bytes, tid: bytes) -> bytes:
    storage = FileStorage(path, blob_dir=str(blob_dir), read_only=True)
    try:
        return Path(storage.loadBlob(oid, tid)).read_bytes()
    finally:
        storage.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


def test_blobs_come_back_with_their_records(
    storage: FileStorage, path: Path, blobs: Path, backups: Path, tmp_path: Path
) -> None:
    first = put(storage, p64(1), b"one")
    done = back_up(path, backups, blob_dir=blobs)
    assert done.manifest is not None
    assert [blob.tid for blob in done.manifest.blobs] == [first]
    second = put(storage, p64(1), b"two")
    third = put(storage, p64(2), b"x" * 3_000_000)
    done = back_up(path, backups, blob_dir=blobs)
    assert done.manifest is not None
    assert sorted(blob.tid for blob in done.manifest.blobs) == [second, third]
    new, new_blobs = tmp_path / "new.fs", tmp_path / "new.blobs"
    assert restore(backups, new, blob_dir=new_blobs).blob_count == 3
    assert content(new, new_blobs, p64(1), first) == b"one"
    assert content(new, new_blobs, p64(1), second) == b"two"
    assert content(new, new_blobs, p64(2), third) == b"x" * 3_000_000
    names = {p.relative_to(blobs) for p in blobs.rglob("*") if p.is_file()}
    assert {p.relative_to(new_blobs) for p in new_blobs.rglob("*") if p.is_file()} == names


def test_a_moment_has_the_blobs_of_that_moment(
    storage: FileStorage, path: Path, blobs: Path, backups: Path, tmp_path: Path
) -> None:
    first = put(storage, p64(1), b"one")
    second = put(storage, p64(1), b"two")
    back_up(path, backups, blob_dir=blobs)
    new, new_blobs = tmp_path / "new.fs", tmp_path / "new.blobs"
    assert restore(backups, new, at=first, blob_dir=new_blobs).blob_count == 1
    with pytest.raises(MissingBlobError):
        content(new, new_blobs, p64(1), second)


def test_equal_blobs_are_kept_once_and_go_with_the_last_backup_of_them(
    storage: FileStorage, path: Path, blobs: Path, backups: Path
) -> None:
    put(storage, p64(1), b"same")
    put(storage, p64(2), b"same")
    old = put(storage, p64(3), b"old")
    back_up(path, backups, blob_dir=blobs)
    stored = [p for p in (backups / "blobs").rglob("*") if p.is_file()]
    assert sorted(p.read_bytes() for p in stored) == [b"old", b"same"]
    put(storage, p64(3), b"new")
    storage.pack(4_000_000_000, references)
    assert not (blobs / "x" / str(old)).exists()
    back_up(path, backups, blob_dir=blobs)
    assert len([p for p in (backups / "blobs").rglob("*") if p.is_file()]) == 3
    back_up(path, backups, blob_dir=blobs, keep=1)
    stored = [p for p in (backups / "blobs").rglob("*") if p.is_file()]
    assert sorted(p.read_bytes() for p in stored) == [b"new", b"same"]


def test_a_damaged_blob_is_named(
    storage: FileStorage, path: Path, blobs: Path, backups: Path, tmp_path: Path
) -> None:
    put(storage, p64(1), b"one")
    back_up(path, backups, blob_dir=blobs)
    (stored,) = [p for p in (backups / "blobs").rglob("*") if p.is_file()]
    stored.write_bytes(b"eno")
    with pytest.raises(BackupError, match=stored.name):
        restore(backups, tmp_path / "new.fs", blob_dir=tmp_path / "new.blobs")
    assert not (tmp_path / "new.fs").exists()
    assert not (tmp_path / "new.blobs").exists()
    done = restore(backups, tmp_path / "new.fs")  # the records alone are sound
    assert (done.blob_count, done.left_blob_count) == (0, 1)
    done = back_up(path, backups, blob_dir=blobs, thorough=True)
    assert [Path(error.path).name for error in done.damaged] == [stored.name]


def test_a_blob_directory_is_replaced_only_when_told_to(
    storage: FileStorage, path: Path, blobs: Path, backups: Path, tmp_path: Path
) -> None:
    tid = put(storage, p64(1), b"one")
    back_up(path, backups, blob_dir=blobs)
    new, new_blobs = tmp_path / "new.fs", tmp_path / "new.blobs"
    new_blobs.mkdir()
    with pytest.raises(BackupError, match="found a directory"):
        restore(backups, new, blob_dir=new_blobs)
    restore(backups, new, blob_dir=new_blobs, force=True)
    assert content(new, new_blobs, p64(1), tid) == b"one"


def test_blobs_that_were_not_backed_up_are_missed(
    storage: FileStorage, path: Path, blobs: Path, backups: Path, tmp_path: Path
) -> None:
    put(storage, p64(1), b"one")
    back_up(path, backups)
    with pytest.raises(BackupError, match="a backup without blobs"):
        restore(backups, tmp_path / "new.fs", blob_dir=tmp_path / "new.blobs")
    done = back_up(path, backups, blob_dir=blobs)
    assert done.manifest is not None
    assert done.manifest.reason == "blobs"


def test_a_blob_that_cannot_be_read_is_named_and_not_the_directory_of_the_backup(
    storage: FileStorage, path: Path, blobs: Path, backups: Path
) -> None:
    tid = put(storage, p64(1), b"one")
    blob = Path(storage.loadBlob(p64(1), tid))
    blob.unlink()
    blob.mkdir()
    with pytest.raises(FileAccessError, match=r"cannot read it: Is a directory") as caught:
        back_up(path, backups, blob_dir=blobs)
    assert caught.value.path == str(blob)


def test_a_blob_directory_that_is_not_there_is_named(
    storage: FileStorage, path: Path, backups: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileMissingError, match="nowhere"):
        back_up(path, backups, blob_dir=tmp_path / "nowhere")
