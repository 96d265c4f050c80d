import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import CorruptDataError, FileAccessError, POSKeyError
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.storages.file import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.reader import View
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write

A, B, C = p64(1), p64(2), p64(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def storage(path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(path)
    yield storage
    storage.close()


def view_of(storage: FileStorage) -> View:
    return storage._opened()


def overwrite(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


@pytest.mark.parametrize("size", [1, 981, 982, 983, 5000, 2_000_000])
def test_records_of_any_size_are_read_whole(storage: FileStorage, size: int) -> None:
    data = os.urandom(size)
    tid = write(storage, {A: data}).tid
    assert storage.loadBefore(A, MAX_TID) == (data, tid, None)
    assert storage.load(A) == (data, tid)
    assert storage.loadSerial(A, tid) == data


def test_revisions_are_found_by_time(storage: FileStorage) -> None:
    tids = [write(storage, {A: cell(number)}).tid for number in range(3)]
    for number, tid in enumerate(tids):
        next_tid = tids[number + 1] if number < 2 else None
        assert storage.loadBefore(A, after(tid)) == (cell(number), tid, next_tid)
        assert storage.loadSerial(A, tid) == cell(number)
    assert storage.loadBefore(A, tids[0]) is None
    with pytest.raises(POSKeyError):
        storage.loadSerial(A, after(tids[0]))
    with pytest.raises(POSKeyError):
        storage.loadSerial(A, ZERO)


def test_records_that_point_back_are_read_where_they_point(storage: FileStorage) -> None:
    first = write(storage, {A: cell(1)}).tid
    second = write(storage, {A: cell(2)}).tid
    third = undo(storage, undo_id(storage)).tid
    fourth = undo(storage, undo_id(storage)).tid
    assert storage.loadBefore(A, MAX_TID) == (cell(2), fourth, None)
    assert storage.loadBefore(A, fourth) == (cell(1), third, fourth)
    assert storage.loadBefore(A, third) == (cell(2), second, third)
    assert storage.loadBefore(A, second) == (cell(1), first, second)
    assert storage.loadSerial(A, third) == cell(1)


def test_what_is_gone_is_gone_and_its_past_is_not(storage: FileStorage) -> None:
    first = write(storage, {A: cell(1)}).tid
    gone = undo(storage, undo_id(storage)).tid
    for load in (storage.load, lambda oid: storage.loadBefore(oid, MAX_TID), storage.getTid):
        with pytest.raises(POSKeyError):
            load(A)
    assert storage.lastTid(A) is None
    assert storage.loadBefore(A, gone) == (cell(1), first, gone)
    with pytest.raises(POSKeyError):
        storage.loadSerial(A, gone)


def test_a_damaged_record_is_named_and_others_stay_readable(
    storage: FileStorage, path: Path
) -> None:
    write(storage, {A: cell(1), B: cell(1)})
    position = view_of(storage).index.get(A)
    overwrite(path, position, C)
    for load in (storage.load, lambda oid: storage.loadBefore(oid, MAX_TID)):
        with pytest.raises(CorruptDataError) as caught:
            load(A)
        assert caught.value.path == str(path)
        assert caught.value.position == position
        assert caught.value.oid == A
        assert "found a record of oid 0x3, expected one of oid 0x1" in str(caught.value)
    assert storage.load(B).data == cell(1)


def test_a_size_that_leads_out_of_the_file_is_refused_without_reading_it(
    storage: FileStorage, path: Path
) -> None:
    write(storage, {A: cell(1)})
    position = view_of(storage).index.get(A)
    overwrite(path, position + 34, p64(1 << 60))
    with pytest.raises(CorruptDataError, match="bytes before the end of the file, expected 1152"):
        storage.load(A)


@pytest.mark.parametrize("pointer", [1, 10_000])
def test_pointers_that_lead_forward_are_refused(
    storage: FileStorage, path: Path, pointer: int
) -> None:
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    undo(storage, undo_id(storage))
    position = view_of(storage).index.get(A)
    view_of(storage).keep(0)  # so that each load reads the file
    overwrite(path, position + 42, p64(position + pointer))
    with pytest.raises(CorruptDataError, match=f"expected data before {position}"):
        storage.load(A)
    overwrite(path, position + 16, p64(position))
    with pytest.raises(CorruptDataError, match=f"a previous record at {position}"):
        storage.loadBefore(A, ZERO)


def test_a_file_that_lost_its_end_is_named(storage: FileStorage, path: Path) -> None:
    write(storage, {A: cell(1)})
    position = view_of(storage).index.get(A)
    os.truncate(path, position + 10)
    with pytest.raises(CorruptDataError, match="found 10 bytes, expected a 42-byte record header"):
        storage.load(A)
    os.truncate(path, position)
    with pytest.raises(CorruptDataError, match="found 0 bytes"):
        storage.loadBefore(A, MAX_TID)


def test_what_the_system_does_not_let_us_read_is_named(
    storage: FileStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, {A: cell(1)})
    view = view_of(storage)
    directory = os.open(path.parent, os.O_RDONLY)  # reading it fails with EISDIR
    broken = View(DataFile(path, directory), view.index, view.end, view.last_tid)
    position = view.index.get(A)
    for load in (broken.load, lambda oid: broken.origin(oid, position)):
        with pytest.raises(FileAccessError, match=f"read it at byte {position}") as caught:
            load(A)
        assert caught.value.errno == errno.EISDIR


def test_a_reader_that_is_busy_while_the_storage_closes_reads_on(
    storage: FileStorage,
) -> None:
    tid = write(storage, {A: cell(1)}).tid
    view = view_of(storage)
    descriptor = view.file.descriptor
    storage.close()
    assert view.load(A) == (cell(1), tid)

    del view
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_walking_the_records_leaves_out_what_is_gone(storage: FileStorage) -> None:
    write(storage, {A: cell(1), C: cell(3), p64(70000): cell(4)})
    write(storage, {B: cell(2), p64(80000): cell(5)})
    tid = undo(storage, undo_id(storage)).tid
    assert tid == storage.lastTransaction()
    found, following = [], None
    while True:
        oid, _, data, following = storage.record_iternext(following)
        found.append((oid, data))
        if following is None:
            break
    assert found == [(A, cell(1)), (C, cell(3)), (p64(70000), cell(4))]
    with pytest.raises(ValueError, match="no object has oid"):
        storage.record_iternext(p64(70001))
