"""Encrypted blobs: any part of them read back, nothing changed unnoticed, never whole in memory."""

import os
import random
import shutil
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.errors import (
    BlobError,
    DamagedRecordError,
    FileAccessError,
    MisplacedRecordError,
    UnknownKeyError,
)
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.records.keyring import KeyRing
from perdure.storages import (
    DemoStorage,
    FileStorage,
    MappingStorage,
    compressed,
    copy_transactions,
    encrypted,
)
from perdure.storages.sealedblobs import SealedBlobs
from perdure.testing.contract.transactions import commit, undo, undo_id

OID, TID = p64(0x1A), p64(1 << 57)
CHUNK = 1 << 16
RECORD = b"\x80\x03cZODB.blob\nBlob\nq\x01.\x80\x03N."

sealer = SealedBlobs(KeyRing(bytes(32)))


def sealed(tmp_path: Path, content: bytes, name: str = "sealed") -> tuple[Path, bytes]:
    plain, target = tmp_path / f"{name}.plain", tmp_path / name
    plain.write_bytes(content)
    return target, sealer.seal(OID, str(plain), target)


def opened(path: Path, blob_id: bytes) -> Any:
    return sealer.open(OID, TID, blob_id, str(path))


def commit_blob(storage: Any, content: bytes, serial: bytes = ZERO) -> bytes:
    path = Path(storage.temporaryDirectory(), os.urandom(4).hex())
    path.write_bytes(content)
    return commit(storage, lambda t: storage.storeBlob(OID, serial, RECORD, str(path), "", t)).tid


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 77])
def test_every_size_comes_back(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    path, blob_id = sealed(tmp_path, content)

    with opened(path, blob_id) as file:
        assert file.read() == content
        assert file.read(1) == b""
        assert file.tell() == size
        assert file.seek(0, os.SEEK_END) == size
    assert size < 100 or content[:50] not in path.read_bytes()


def test_any_part_is_read_as_from_a_plain_file(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3 * CHUNK + 1000)
    path, blob_id = sealed(tmp_path, content)
    choose = random.Random(2)

    with opened(path, blob_id) as file:
        for _ in range(200):
            start, size = choose.randrange(len(content) + 10), choose.randrange(2 * CHUNK)
            assert file.seek(start) == start
            assert file.read(size) == content[start : start + size]
        file.seek(-10, os.SEEK_END)
        assert file.read() == content[-10:]
        with pytest.raises(ValueError, match="cannot seek"):
            file.seek(-1)


def test_a_file_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    path, blob_id = sealed(tmp_path, bytes(3 * CHUNK))
    size = path.stat().st_size

    for cut in (1, 16, CHUNK, CHUNK + 16, 2 * (CHUNK + 16), size - 37, size - 36, size - 1, size):
        short = tmp_path / "short"
        shutil.copyfile(path, short)
        os.truncate(short, size - cut)
        with pytest.raises(DamagedRecordError):
            opened(short, blob_id)


def test_chunks_cannot_be_exchanged_or_changed(tmp_path: Path) -> None:
    path, blob_id = sealed(tmp_path, bytes(3 * CHUNK))
    content = path.read_bytes()
    head, chunk = content[:36], CHUNK + 16
    chunks = [content[36 + n * chunk : 36 + (n + 1) * chunk] for n in range(3)]
    flipped = bytes([chunks[0][0] ^ 1]) + chunks[0][1:]

    for wrong in (
        [chunks[1], chunks[0], chunks[2]],
        [chunks[0], chunks[2]],
        [flipped, *chunks[1:]],
        [*chunks, chunks[2]],
    ):
        path.write_bytes(head + b"".join(wrong))
        with (
            pytest.raises(DamagedRecordError, match="damaged chunk"),
            opened(path, blob_id) as file,
        ):
            file.read()


def test_the_file_of_another_blob_is_refused(tmp_path: Path) -> None:
    path, _ = sealed(tmp_path, b"mine")
    _, other_id = sealed(tmp_path, b"other", "other")

    with pytest.raises(MisplacedRecordError):
        opened(path, other_id)


def test_a_wrong_key_is_told_apart_from_damage(tmp_path: Path) -> None:
    path, blob_id = sealed(tmp_path, b"content")

    with pytest.raises(UnknownKeyError):
        SealedBlobs(KeyRing(bytes(range(32)))).open(OID, TID, blob_id, str(path))
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedRecordError):
        opened(path, blob_id)


def test_files_that_were_swapped_between_revisions_are_refused(tmp_path: Path) -> None:
    below = FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
    storage = encrypted(below, bytes(32))
    first = commit_blob(storage, b"one")
    second = commit_blob(storage, b"two", first)
    one, two = (Path(below.loadBlob(OID, tid)) for tid in (first, second))
    aside = tmp_path / "aside"
    one.rename(aside)
    two.rename(one)
    aside.rename(two)

    for tid in (first, second):
        with pytest.raises(MisplacedRecordError):
            storage.openCommittedBlobFile(OID, tid)
    storage.close()


def test_a_large_blob_is_never_whole_in_memory(tmp_path: Path) -> None:
    source = tmp_path / "large"
    with open(source, "wb") as file:
        file.truncate(24 << 20)
    storage = encrypted(FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs"), bytes(32))
    db = perdure.DB(storage)
    tracemalloc.start()

    with db.transaction() as connection:
        connection.root.blob = perdure.Blob()
        connection.root.blob.consumeFile(str(source))
    with db.transaction() as connection, connection.root.blob.open() as file:
        size = sum(len(piece) for piece in iter(lambda: file.read(1 << 16), b""))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    db.close()
    assert size == 24 << 20
    assert peak < 4 << 20


def test_blobs_of_a_database_are_written_and_read_in_every_mode(tmp_path: Path) -> None:
    def layered() -> Any:
        below = FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
        return compressed(encrypted(below, bytes(32)))

    db = perdure.DB(layered())
    with db.transaction() as connection:
        connection.root.blob = blob = perdure.Blob()
        with blob.open("w") as file:
            file.write(b"secret one")
    with db.transaction() as connection, connection.root.blob.open("a") as file:
        file.write(b", two")
    with db.transaction() as connection:
        blob = connection.root.blob
        with blob.open("r") as file:
            assert file.read() == b"secret one, two"
            with pytest.raises(BlobError):
                blob.open("w")
        with blob.open("c") as file:
            assert file.read() == b"secret one, two"
        path = Path(blob.committed())
        assert path.read_bytes() == b"secret one, two"
        assert path.stat().st_mode & 0o777 == 0o400
        assert path.parent.stat().st_mode & 0o777 == 0o700
    db.close()

    assert not path.exists()
    files = [each for each in (tmp_path / "blobs").rglob("*.blob") if each.is_file()]
    assert len(files) == 2
    assert all(b"secret" not in each.read_bytes() for each in files)
    again = perdure.DB(layered())
    with again.transaction() as connection, connection.root.blob.open() as file:
        assert file.read() == b"secret one, two"
    again.close()


def test_nothing_is_decrypted_to_a_disk_unless_a_path_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    storage = encrypted(FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs"), bytes(32))
    copy = encrypted(FileStorage(tmp_path / "copy.fs", blob_dir=tmp_path / "copies"), bytes(32))
    db = perdure.DB(storage)
    with db.transaction() as connection:
        connection.root.blob = perdure.Blob(b"secret one")
    for layered in (lambda: storage, lambda: DemoStorage(base=storage, close_base_on_close=False)):
        again = perdure.DB(layered())
        with again.transaction() as connection:
            with connection.root.blob.open("r+") as file:
                file.seek(7)
                file.write(b"two")
            connection.transaction_manager.savepoint()
            with connection.root.blob.open("a") as file:
                file.write(b" three")
            with connection.exportFile(connection.root.blob._p_oid) as exported:
                assert b"secret" in exported.read()
    again.storage.close()
    copy_transactions(storage, copy)

    assert not list(temporary.glob("*.opened"))
    with db.transaction() as connection:
        path = Path(connection.root.blob.committed())
        assert path.parent.parent == temporary
        assert path.read_bytes() == b"secret two three"
    copy.close()
    db.close()
    assert not list(temporary.glob("*.opened"))


def test_plain_blobs_that_are_there_stay_readable_and_undo_brings_them_back(
    tmp_path: Path,
) -> None:
    below = FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
    first = commit_blob(below, b"plain")
    storage = encrypted(below, bytes(32))
    second = commit_blob(storage, b"encrypted", first)
    third = undo(storage, undo_id(storage)).tid
    fourth = undo(storage, undo_id(storage)).tid

    for tid, content in zip(
        (first, second, third, fourth),
        (b"plain", b"encrypted", b"plain", b"encrypted"),
        strict=True,
    ):
        with storage.openCommittedBlobFile(OID, tid) as file:
            assert file.read() == content
    storage.close()


def test_blobs_are_copied_and_get_other_keys() -> None:
    source = encrypted(MappingStorage(), bytes(32))
    target = encrypted(MappingStorage(), bytes(range(32)))
    tid = commit_blob(source, b"content")

    copy_transactions(source, target)

    with target.openCommittedBlobFile(OID, tid) as file:
        assert file.read() == b"content"
    with target.base.openCommittedBlobFile(OID, tid) as file:
        assert b"content" not in file.read()


def test_what_cannot_be_encrypted_stays_where_it_is(tmp_path: Path) -> None:
    storage = encrypted(MappingStorage(), bytes(32))
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)

    with pytest.raises(FileAccessError, match="cannot encrypt it as a blob"):
        storage.storeBlob(OID, ZERO, RECORD, str(tmp_path / "none"), "", transaction)

    storage.tpc_abort(transaction)
    assert not [n for n in os.listdir(storage.temporaryDirectory()) if n.startswith("sealed")]


def test_a_closed_file_is_as_closed_as_any_other(tmp_path: Path) -> None:
    path, blob_id = sealed(tmp_path, b"content")
    file = opened(path, blob_id)
    file.close()
    file.close()

    for use in (file.read, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed file"):
            use()
    assert file.closed
