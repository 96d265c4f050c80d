"""A data file and its blob directory: opening both, what fails, what a pack takes."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from perdure.capabilities import capabilities_of
from perdure.errors import (
    FileAccessError,
    FileMissingError,
    FileStorageFormatError,
    ReadOnlyError,
    StorageClosedError,
    Unsupported,
)
from perdure.ids import ROOT_OID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.storages.copying import copy_transactions
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.testing.contract.blobs import RECORD
from perdure.testing.contract.records import holder
from perdure.testing.contract.transactions import commit, write
from samples.file_operations import FailingOperations, Unsynced

OID = p64(1)


@pytest.fixture
def blob_dir(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def storage(tmp_path: Path, blob_dir: Path) -> FileStorage:
    storage = FileStorage(tmp_path / "data.fs", blob_dir=blob_dir)
    write(storage, {ROOT_OID: holder(OID)})
    return storage


def new_file(storage: FileStorage, content: bytes) -> str:
    path = Path(storage.temporaryDirectory(), "new")
    path.write_bytes(content)
    return str(path)


def store(storage: FileStorage, content: bytes) -> bytes:
    serial = storage.lastTid(OID) or ZERO
    path = new_file(storage, content)
    return commit(storage, lambda t: storage.storeBlob(OID, serial, RECORD, path, "", t)).tid


def read(storage: FileStorage, tid: bytes) -> bytes:
    return Path(storage.loadBlob(OID, tid)).read_bytes()


def blobs(directory: Path) -> list[str]:
    return sorted(
        name for _, _, names in os.walk(directory) for name in names if name.endswith(".blob")
    )


def test_blobs_are_declared_where_there_is_a_directory_for_them(tmp_path: Path) -> None:
    with_blobs = FileStorage(tmp_path / "with.fs", blob_dir=tmp_path / "blobs")
    without = FileStorage(tmp_path / "without.fs")

    assert capabilities_of(with_blobs).blobs
    assert capabilities_of(with_blobs).blob_restore
    assert not capabilities_of(without).blobs
    assert not capabilities_of(without).blob_restore
    assert with_blobs.blob_dir == str(tmp_path / "blobs")
    assert without.blob_dir is None
    with_blobs.close()
    without.close()


def test_without_a_directory_blobs_are_refused(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data.fs")
    with pytest.raises(Unsupported, match="open it with blob_dir"):
        storage.loadBlob(OID, ZERO)
    with pytest.raises(Unsupported, match="open it with blob_dir"):
        storage.temporaryDirectory()
    with pytest.raises(Unsupported, match="open it with blob_dir"):
        commit(storage, lambda t: storage.storeBlob(OID, ZERO, RECORD, "file", "", t))
    assert storage.lastTid(OID) is None
    storage.close()


def test_blobs_are_there_again(storage: FileStorage, tmp_path: Path, blob_dir: Path) -> None:
    tid = store(storage, b"content")
    storage.close()

    with pytest.raises(StorageClosedError):
        storage.loadBlob(OID, tid)
    again = FileStorage(tmp_path / "data.fs", blob_dir=blob_dir)
    assert read(again, tid) == b"content"
    again.close()


def test_a_reader_makes_nothing_and_writes_nothing(
    storage: FileStorage, tmp_path: Path, blob_dir: Path
) -> None:
    tid = store(storage, b"content")

    with pytest.raises(FileMissingError):
        FileStorage(tmp_path / "data.fs", read_only=True, blob_dir=tmp_path / "missing")
    reader = FileStorage(tmp_path / "data.fs", read_only=True, blob_dir=blob_dir)

    assert not (tmp_path / "missing").exists()
    assert read(reader, tid) == b"content"
    with pytest.raises(ReadOnlyError):
        reader.temporaryDirectory()
    reader.close()
    storage.close()


def test_a_blob_directory_that_is_none_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"")
    for _ in range(2):  # the second time as the first: nobody holds the lock
        with pytest.raises(FileStorageFormatError, match="expected a blob directory"):
            FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
    FileStorage(tmp_path / "data.fs").close()


def test_a_directory_that_goes_away_fails_the_commit_and_nothing_else(
    storage: FileStorage, blob_dir: Path, tmp_path: Path
) -> None:
    tid = store(storage, b"content")
    path = new_file(storage, b"new")
    moved = shutil.move(path, tmp_path / "kept")
    away = blob_dir.rename(tmp_path / "away")

    with pytest.raises(FileAccessError) as caught:
        commit(storage, lambda t: storage.storeBlob(OID, tid, RECORD, str(moved), "", t))
    assert caught.value.errno == errno.ENOENT
    assert "nothing of the transaction was kept" in str(caught.value)

    assert storage.lastTid(OID) == tid
    assert Path(moved).exists()
    away.rename(blob_dir)
    assert read(storage, store(storage, b"newer")) == b"newer"
    storage.close()


def test_a_blob_that_cannot_be_placed_fails_the_vote_and_leaves_nothing(
    tmp_path: Path, blob_dir: Path
) -> None:
    operations = FailingOperations(errno.ENOSPC)
    storage = FileStorage(tmp_path / "data.fs", blob_dir=blob_dir, operations=operations)
    first = store(storage, b"first")
    size = storage.getSize()
    failed = set()
    for countdown in range(1, 100):
        operations.failed = None
        operations.countdown = countdown
        try:
            store(storage, b"second")
            break
        except FileAccessError as error:
            if "refuses everything" in str(error):
                break  # the data file itself could not be synced
            failed.add(operations.failed)
            operations.countdown = 0
        assert storage.lastTid(OID) == first
        assert storage.getSize() == size
        assert len(blobs(blob_dir)) == 1
        assert [n for n in os.listdir(blob_dir / "tmp") if n != "new"] == []
    assert {"rename", "link", "sync_directory"} <= failed
    operations.countdown = 0
    storage.close()
    again = FileStorage(tmp_path / "data.fs", blob_dir=blob_dir)
    tid = again.lastTid(OID)
    assert tid is not None
    assert read(again, tid) == (b"second" if tid != first else b"first")
    again.close()


def test_what_a_dead_process_left_is_removed_when_the_storage_is_opened(
    storage: FileStorage, tmp_path: Path, blob_dir: Path
) -> None:
    tid = store(storage, b"first")
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.storeBlob(OID, tid, RECORD, new_file(storage, b"second"), "", transaction)
    storage.tpc_vote(transaction)
    (tmp_path / "crashed").mkdir()
    shutil.copy(tmp_path / "data.fs", tmp_path / "crashed")
    shutil.copytree(blob_dir, tmp_path / "crashed" / "blobs")
    assert len(blobs(blob_dir)) == 2
    storage.tpc_abort(transaction)
    storage.close()

    crashed = tmp_path / "crashed"
    again = FileStorage(crashed / "data.fs", blob_dir=crashed / "blobs")

    assert len(blobs(crashed / "blobs")) == 1
    assert os.listdir(crashed / "blobs" / "tmp") == []
    assert read(again, tid) == b"first"
    again.close()


def test_creating_anew_removes_the_blobs_and_nothing_else(
    storage: FileStorage, tmp_path: Path, blob_dir: Path
) -> None:
    store(storage, b"content")
    storage.close()
    (blob_dir / "notes.txt").write_text("of the operator")

    again = FileStorage(tmp_path / "data.fs", create=True, blob_dir=blob_dir)

    assert blobs(blob_dir) == []
    assert (blob_dir / "notes.txt").exists()
    again.close()


@pytest.mark.parametrize("keep", [True, False])
def test_a_pack_keeps_the_old_blobs_with_the_old_file_or_neither(
    tmp_path: Path, blob_dir: Path, keep: bool
) -> None:
    storage = FileStorage(tmp_path / "data.fs", blob_dir=blob_dir, pack_keep_old=keep)
    write(storage, {ROOT_OID: holder(OID)})
    tids = [store(storage, content) for content in (b"one", b"two")]

    storage.pack(4e9, references)

    assert len(blobs(blob_dir)) == 1
    assert (tmp_path / "data.fs.old").exists() == keep
    assert (tmp_path / "blobs.old").exists() == keep
    storage.close()
    if keep:
        old = FileStorage(tmp_path / "data.fs.old", read_only=True, blob_dir=tmp_path / "blobs.old")
        assert [read(old, tid) for tid in tids] == [b"one", b"two"]
        old.close()


def test_a_pack_to_a_time_to_come_leaves_what_is_being_committed(
    storage: FileStorage,
) -> None:
    last = [store(storage, content) for content in (b"one", b"two")][-1]
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.storeBlob(OID, last, RECORD, new_file(storage, b"three"), "", transaction)

    storage.pack(4e9, references)
    storage.tpc_vote(transaction)
    tid = storage.tpc_finish(transaction)

    assert read(storage, tid) == b"three"
    assert read(storage, last) == b"two"
    storage.close()


def test_copies_between_storages_have_their_own_files(storage: FileStorage, tmp_path: Path) -> None:
    tids = [store(storage, content) for content in (b"one", b"two")]
    copy = FileStorage(tmp_path / "copy.fs", blob_dir=tmp_path / "copied", operations=Unsynced())

    copy.copyTransactionsFrom(storage)

    assert [read(copy, tid) for tid in tids] == [b"one", b"two"]
    assert not os.path.samefile(copy.loadBlob(OID, tids[0]), storage.loadBlob(OID, tids[0]))
    assert os.listdir(copy.temporaryDirectory()) == []
    copy.close()
    storage.close()


def test_a_copy_into_a_storage_without_blobs_is_refused(
    storage: FileStorage, tmp_path: Path
) -> None:
    store(storage, b"content")
    copy = FileStorage(tmp_path / "copy.fs")

    with pytest.raises(Unsupported, match="does not keep blobs"):
        copy.copyTransactionsFrom(storage)

    assert copy.lastTid(OID) is None
    copy.close()
    storage.close()


def test_a_copy_of_a_storage_that_lost_a_blob_has_all_the_rest(
    storage: FileStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tids = [store(storage, content) for content in (b"one", b"two")]
    os.unlink(storage.loadBlob(OID, tids[0]))
    copy = FileStorage(tmp_path / "copy.fs", blob_dir=tmp_path / "copied")

    copy.copyTransactionsFrom(storage)

    assert read(copy, tids[1]) == b"two"
    assert copy.loadSerial(OID, tids[0]) == RECORD
    assert "without its blob" in caplog.text
    copy.close()
    storage.close()


class Wrapped:
    """What others write: it passes everything on, and declares nothing."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class Transactions:
    """Has transactions to iterate over, and nothing else."""

    def __init__(self, storage: FileStorage) -> None:
        self.iterator = storage.iterator


def test_blobs_are_copied_from_a_source_that_does_not_declare_them(
    storage: FileStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tid = store(storage, b"content")
    copy = FileStorage(tmp_path / "copy.fs", blob_dir=tmp_path / "copied")
    copy.copyTransactionsFrom(Wrapped(storage))
    assert read(copy, tid) == b"content"
    copy.close()

    copy = FileStorage(tmp_path / "records.fs", blob_dir=tmp_path / "none")
    copy.copyTransactionsFrom(Transactions(storage))
    assert copy.loadSerial(OID, tid) == RECORD
    assert "without its blob" in caplog.text
    copy.close()
    storage.close()


def test_blobs_are_copied_into_memory_too(storage: FileStorage, tmp_path: Path) -> None:
    tid = store(storage, b"content")
    memory = MappingStorage()
    copy_transactions(storage, memory)

    assert Path(memory.loadBlob(OID, tid)).read_bytes() == b"content"
    memory.close()
    storage.close()
