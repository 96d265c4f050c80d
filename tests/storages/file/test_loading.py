"""The index on opening: the saved one where it fits the file, else a scan."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
import ZODB.FileStorage
from ZODB.Connection import TransactionMetaData as ZODBMetaData

from perdure.errors import POSKeyError
from perdure.ids import MAX_TID, ZERO, p64
from perdure.storages.file import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.indexfile import pack_index, unpack_index
from perdure.storages.file.loading import Loading, load_view
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write

A, B, C = p64(1), p64(2), p64(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.fs"
    storage = FileStorage(path)
    write(storage, {A: cell(1), B: cell(1)})
    write(storage, {A: cell(2), C: cell(1)})
    storage.close()
    return path


def index_of(path: Path) -> Path:
    return path.with_name(path.name + ".index")


def load(path: Path, stop: bytes | None = None) -> Loading:
    return load_view(DataFile(path, os.open(path, os.O_RDONLY)), stop)


def scanned(path: Path) -> dict[bytes, int]:
    """Return the index as a scan of the whole file finds it."""
    copy = path.with_name("copy.fs")
    shutil.copy(path, copy)
    loading = load(copy)
    assert loading.scanned_from == 4
    return dict(loading.view.index.items())


def append(path: Path) -> None:
    """Commit without saving the index, as if killed afterwards."""
    saved = index_of(path).read_bytes()
    storage = FileStorage(path)
    write(storage, {B: cell(2), p64(70000): cell(1)})
    storage.close()
    index_of(path).write_bytes(saved)


def test_a_saved_index_that_fits_spares_the_scan(path: Path) -> None:
    loading = load(path)
    assert loading.scanned_from == loading.view.end == path.stat().st_size
    assert dict(loading.view.index.items()) == scanned(path)


def test_what_was_committed_after_the_index_was_saved_is_scanned(path: Path) -> None:
    end = path.stat().st_size
    append(path)
    loading = load(path)
    assert loading.scanned_from == end
    assert dict(loading.view.index.items()) == scanned(path)


def test_without_an_index_the_file_is_scanned(path: Path) -> None:
    index_of(path).unlink()
    assert dict(load(path).view.index.items()) == scanned(path)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "nonsense", "directory"])
def test_a_damaged_index_is_not_used(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = index_of(path)
    data = index.read_bytes()
    if damage == "directory":
        index.unlink()
        index.mkdir()
    else:
        flipped = data[:20] + bytes([data[20] ^ 1]) + data[21:]
        index.write_bytes(
            {"empty": b"", "cut": data[:-30], "flipped": flipped, "nonsense": b"x" * 99}[damage]
        )
    loading = load(path)
    assert loading.scanned_from == 4
    assert dict(loading.view.index.items()) == scanned(path)
    assert f"{index} is not used, the data file is scanned instead" in caplog.text


def test_an_index_that_ends_behind_the_file_is_not_used(path: Path) -> None:
    index = index_of(path)
    data = index.read_bytes()
    append(path)
    storage = FileStorage(path)
    storage.close()  # which saves the index
    newer = index.read_bytes()
    os.truncate(path, unpack_index(data).position)
    index.write_bytes(newer)
    assert load(path).scanned_from == 4


def test_the_index_of_another_file_is_not_used(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.fs"
    storage = FileStorage(other)
    write(storage, {B: cell(3), C: cell(3)})  # records of the same sizes
    write(storage, {B: cell(4), A: cell(3)})
    storage.close()
    assert other.stat().st_size == path.stat().st_size
    shutil.copy(index_of(other), index_of(path))

    assert load(path).scanned_from == 4
    assert load(path).view.index.get(A) == scanned(path)[A]


def test_an_index_without_a_tid_is_checked_against_the_last_records(path: Path) -> None:
    saved = unpack_index(index_of(path).read_bytes())
    data = pack_index(saved.positions, saved.position, ZERO)[:-20]  # as ZODB writes it
    index_of(path).write_bytes(data)
    assert load(path).scanned_from == path.stat().st_size

    saved.positions.update({A: saved.positions.get(A) - 1})
    index_of(path).write_bytes(pack_index(saved.positions, saved.position, ZERO)[:-20])
    assert load(path).scanned_from == 4


def test_the_index_that_zodb_left_is_used(path: Path) -> None:
    theirs = ZODB.FileStorage.FileStorage(str(path))
    transaction = ZODBMetaData()
    theirs.tpc_begin(transaction)
    theirs.store(p64(9), ZERO, cell(9), "", transaction)
    theirs.tpc_vote(transaction)
    theirs.tpc_finish(transaction)
    theirs.close()
    loading = load(path)
    assert loading.scanned_from == path.stat().st_size
    assert dict(loading.view.index.items()) == scanned(path)


def test_an_empty_database_has_an_index_too(tmp_path: Path) -> None:
    path = tmp_path / "empty.fs"
    for _ in range(2):
        storage = FileStorage(path)
        assert (len(storage), storage.lastTransaction()) == (0, ZERO)
        storage.close()


def test_an_index_that_is_up_to_date_is_not_written_again(path: Path) -> None:
    before = index_of(path).stat()
    FileStorage(path).close()
    assert index_of(path).stat() == before
    index_of(path).unlink()
    FileStorage(path).close()
    assert index_of(path).exists()


def test_a_read_only_storage_writes_nothing(path: Path) -> None:
    index_of(path).unlink()
    before = sorted(path.parent.iterdir())
    FileStorage(path, read_only=True).close()
    assert sorted(path.parent.iterdir()) == before


def test_stop_shows_the_database_as_it_was_before_a_tid(path: Path) -> None:
    storage = FileStorage(path)
    first, second = (transaction.tid for transaction in storage.iterator())
    storage.close()

    storage = FileStorage(path, read_only=True, stop=second)
    assert storage.lastTransaction() == first
    assert storage.loadBefore(A, MAX_TID) == (cell(1), first, None)
    assert [transaction.tid for transaction in storage.iterator()] == [first]
    with pytest.raises(POSKeyError):
        storage.load(C)
    storage.close()


def test_undone_transactions_of_long_ago_do_not_count(path: Path) -> None:
    index_of(path).unlink()
    storage = FileStorage(path, read_only=True)
    first = next(iter(storage.iterator()))
    start = 4 + 8 + int.from_bytes(path.read_bytes()[12:20], "big")
    storage.close()
    data = bytearray(path.read_bytes())
    data[start + 16 : start + 17] = b"u"
    path.write_bytes(data)

    storage = FileStorage(path, read_only=True)
    assert storage.load(A) == (cell(1), first.tid)
    assert [transaction.tid for transaction in storage.iterator()] == [first.tid]
    with pytest.raises(POSKeyError):
        storage.load(C)
    storage.close()


def test_undo_records_survive_a_scan(path: Path) -> None:
    storage = FileStorage(path)
    undo(storage, undo_id(storage))
    before = dict(storage._opened().index.items())
    storage.close()
    assert scanned(path) == before


def test_tids_that_do_not_grow_are_reported(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = path.read_bytes()
    index_of(path).unlink()
    second = 4 + 8 + int.from_bytes(data[12:20], "big")
    swapped = bytearray(data)
    swapped[second : second + 8] = p64(1)
    # Its trailer would call that damage: away with it.
    trailer = data.index(b"\xf7Perdure", second)
    swapped[trailer : trailer + 8] = b"-" * 8
    path.write_bytes(swapped)
    load(path)
    assert "found tid 0x0000000000000001, expected one later than" in caplog.text


def test_a_database_from_the_future_is_reported_and_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = FileStorage(path, read_only=True)
    tid = last.lastTransaction()
    last.close()
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    storage = FileStorage(path)
    assert re.search(r"from 20\d\d-.* UTC, \d+ seconds ahead; tids go on", caplog.text)
    assert write(storage, {A: cell(3)}).tid == p64(int.from_bytes(tid, "big") + 1)
    storage.close()
