import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import CorruptDataError
from perdure.ids import MAX_TID, ZERO, after, before, p64
from perdure.interfaces import StoredRecord, TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.iterate import backward, position_from
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write

A, B = p64(1), p64(2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def storage(path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(path)
    yield storage
    storage.close()


def flip(path: Path, position: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_every_start_is_found(storage: FileStorage, count: int) -> None:
    tids = [write(storage, {A: cell("x" * number)}).tid for number in range(count)]
    for number, tid in enumerate(tids):
        assert [t.tid for t in storage.iterator(tid)] == tids[number:]
        assert [t.tid for t in storage.iterator(after(tid))] == tids[number + 1 :]
        assert [t.tid for t in storage.iterator(before(tid))] == tids[number:]
        assert [t.tid for t in storage.iterator(None, tid)] == tids[: number + 1]
        assert [t.tid for t in storage.iterator(tid, tid)] == [tid]
    assert [t.tid for t in storage.iterator(ZERO, MAX_TID)] == tids
    assert position_from(storage._opened(), MAX_TID) == storage.getSize()


def test_an_empty_storage_has_nothing_to_yield(storage: FileStorage) -> None:
    assert list(storage.iterator()) == []
    assert list(storage.iterator(p64(5))) == []
    assert list(backward(storage._opened())) == []
    assert storage.lastInvalidations(5) == []


def test_a_transaction_can_be_iterated_as_often_as_one_likes(storage: FileStorage) -> None:
    tid = write(storage, {A: cell(1), B: cell(2)}).tid
    (transaction,) = storage.iterator()
    expected = [StoredRecord(A, tid, cell(1)), StoredRecord(B, tid, cell(2))]
    assert list(transaction) == list(transaction) == expected


def test_an_iteration_ends_where_the_storage_ended_when_it_began(storage: FileStorage) -> None:
    first = write(storage, {A: cell(1)}).tid
    iteration = storage.iterator()
    assert next(iteration).tid == first
    write(storage, {A: cell(2)})
    assert list(iteration) == []


def test_an_iteration_survives_a_pack_and_the_end_of_the_storage(path: Path) -> None:
    storage = FileStorage(path, pack_keep_old=False)
    tids = [write(storage, {ZERO: cell(number)}).tid for number in range(3)]
    iteration = storage.iterator()
    next(iteration)
    storage.pack(4e9, lambda data: [])
    storage.close()
    assert [(t.tid, [r.data for r in t]) for t in iteration] == [
        (tids[1], [cell(1)]),
        (tids[2], [cell(2)]),
    ]


def test_backwards_is_forwards_reversed(storage: FileStorage) -> None:
    tids = [write(storage, {A: os.urandom(number * 7919 + 1)}).tid for number in range(40)]
    found = list(backward(storage._opened()))
    assert [header.tid for _, header in found] == tids[::-1]
    assert found[-1][0] == 4


def test_who_looks_back_past_large_transactions_reads_little(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tids = [write(storage, {A: os.urandom(200_000)}).tid for _ in range(10)]
    sizes: list[int] = []
    read = DataFile.read

    def counted(file: DataFile, position: int, size: int) -> bytes:
        sizes.append(size)
        return read(file, position, size)

    monkeypatch.setattr(DataFile, "read", counted)
    assert [header.tid for _, header in backward(storage._opened())] == tids[::-1]
    assert sum(sizes) < 10_000


def test_the_last_invalidations_are_the_last_transactions(storage: FileStorage) -> None:
    tids = [write(storage, {A: cell(1), p64(n + 5): cell(n)}).tid for n in range(4)]
    assert storage.lastInvalidations(2) == [(tids[2], [A, p64(7)]), (tids[3], [A, p64(8)])]
    assert storage.lastInvalidations(0) == []
    assert len(storage.lastInvalidations(100)) == 4


def test_records_that_point_back_name_the_transaction_that_has_the_data(
    storage: FileStorage,
) -> None:
    first = write(storage, {A: cell(1)}).tid
    write(storage, {A: cell(2)})
    undone = undo(storage, undo_id(storage)).tid
    gone = undo(storage, *(entry["id"] for entry in storage.undoLog())).tid
    *_, before_last, last = storage.iterator()
    assert list(before_last) == [StoredRecord(A, undone, cell(1), first)]
    assert list(last) == [StoredRecord(A, gone, None)]


def test_metadata_longer_than_what_is_read_ahead_are_whole(storage: FileStorage) -> None:
    metadata = TransactionMetaData("u" * 700, "d" * 600, {"key": "x" * 900})
    write(storage, {A: cell(1)}, metadata=metadata)
    (found,) = storage.iterator()
    assert (found.user, found.description) == (b"u" * 700, b"d" * 600)
    assert found.extension == {"key": "x" * 900}
    assert storage.undoLog()[0]["key"] == storage.history(A)[0]["key"] == "x" * 900


def test_a_damaged_transaction_is_named(storage: FileStorage, path: Path) -> None:
    write(storage, {A: cell(1)})
    position = storage.getSize()
    write(storage, {A: cell(2)})
    flip(path, position + 8, 0x40)  # its length
    iteration = storage.iterator()
    next(iteration)
    with pytest.raises(CorruptDataError, match=f"{path}, byte {position}: found"):
        next(iteration)
    with pytest.raises(CorruptDataError, match=f"byte {position}: found length"):
        storage.undoLog()


@pytest.mark.parametrize("offset", [24, 34])
def test_a_damaged_record_is_named(storage: FileStorage, path: Path, offset: int) -> None:
    write(storage, {A: cell(1)})
    position = storage._opened().index.get(A)
    flip(path, position + offset, 0x40)  # the transaction that it belongs to, its size
    (transaction,) = storage.iterator()
    with pytest.raises(CorruptDataError, match=f"byte {position}, oid 0x1: found a record"):
        list(transaction)


def test_a_length_at_the_end_that_leads_nowhere_is_named(storage: FileStorage, path: Path) -> None:
    write(storage, {A: cell(1)})
    flip(path, storage.getSize() - 7, 0x40)
    with pytest.raises(CorruptDataError, match="expected one that leads to its header"):
        storage.undoLog()


def test_an_extension_that_cannot_be_loaded_hides_nothing_else(storage: FileStorage) -> None:
    write(storage, {A: cell(1)}, metadata=TransactionMetaData("me", "why", b"no pickle"))
    assert storage.undoLog()[0]["description"] == b"why"
    assert storage.history(A)[0]["user_name"] == b"me"
    (transaction,) = storage.iterator()
    assert transaction.extension_bytes == b"no pickle"
