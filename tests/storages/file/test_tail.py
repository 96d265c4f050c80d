"""What a crash leaves at the end of a file, and what it does not."""

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path

import pytest
import ZODB.FileStorage
from ZODB.Connection import TransactionMetaData as ZODBMetaData

from perdure.errors import CorruptDataError, FileAccessError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from samples.file_operations import FailingOperations, Unsynced

OID = p64(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


def filled(path: Path, transactions: int = 3) -> list[int]:
    """Write some transactions, and return where each of them ends."""
    storage = FileStorage(path)
    ends = []
    for number in range(transactions):
        write(storage, {OID: cell(number), p64(number + 2): cell("x" * 50)})
        ends.append(storage.getSize())
    storage.close()
    path.with_name("data.fs.index").unlink()
    return ends


def flip(path: Path, position: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


def aside(path: Path) -> list[bytes]:
    return [found.read_bytes() for found in sorted(path.parent.glob("data.fs.tr*"))]


def test_every_truncation_opens_to_the_transactions_that_are_whole(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = [4, *filled(path)]
    whole = path.read_bytes()
    for size in range(4, len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = max(end for end in ends if end <= size)
        caplog.clear()

        read_only = FileStorage(path, read_only=True)
        assert read_only.getSize() == kept
        read_only.close()
        assert path.read_bytes() == whole[:size]
        storage = FileStorage(path, operations=Unsynced())
        assert len(list(storage.iterator())) == ends.index(kept)
        tid = write(storage, {OID: cell("new")}).tid
        storage.close()
        assert path.read_bytes()[:kept] == whole[:kept]
        assert aside(path) == ([whole[kept:size]] if kept < size else [])
        assert bool(caplog.records) == (kept < size)
        read_only = FileStorage(path, read_only=True)
        assert read_only.load(OID) == (cell("new"), tid)
        read_only.close()
        for name in path.parent.iterdir():
            name.unlink()


def test_what_is_set_aside_is_reported(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ends = filled(path)
    os.truncate(path, ends[2] - 1)
    with caplog.at_level(logging.WARNING, "perdure.storages.file"):
        FileStorage(path).close()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}, byte {ends[1]}: found a transaction up to {ends[2]}, expected one that ends "
        f"before {ends[2] - 1}; the file ends before this transaction",
        f"{path}: what stood behind its end is now in {path}.tr0",
    ]


def test_each_end_that_is_set_aside_gets_a_name_of_its_own(path: Path) -> None:
    for _ in range(3):
        storage = FileStorage(path)
        write(storage, {OID: cell(1)})
        storage.close()
        os.truncate(path, path.stat().st_size - 10)
        path.with_name("data.fs.index").unlink()
    FileStorage(path).close()
    assert len(aside(path)) == 3


def test_a_transaction_that_was_not_finished_is_cut_off(path: Path) -> None:
    ends = filled(path)
    storage = FileStorage(path)
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.store(OID, storage.load(OID).tid, cell("unfinished"), "", transaction)
    storage.tpc_vote(transaction)
    crashed = path.read_bytes()
    written = ends[2] + 8 + int.from_bytes(crashed[ends[2] + 8 : ends[2] + 16], "big")
    storage.close()
    path.with_name("data.fs.index").unlink()
    path.write_bytes(crashed)

    storage = FileStorage(path)
    assert storage.load(OID).data == cell(2)
    assert storage.getSize() == ends[2]
    storage.close()
    assert aside(path) == [crashed[ends[2] : written]]


@pytest.mark.parametrize("where", ["header", "record", "end"])
def test_a_torn_last_transaction_is_cut_off(path: Path, where: str) -> None:
    ends = filled(path)
    position = {"header": ends[1] + 3, "record": ends[1] + 120, "end": ends[2] - 1}[where]
    flip(path, position)

    storage = FileStorage(path)
    assert storage.getSize() == ends[1]
    storage.close()
    assert len(aside(path)) == 1


def in_one_sync(path: Path) -> list[int]:
    """Write three transactions of which none was durable when the next was written."""
    ends = filled(path)
    storage = FileStorage(path)
    committer = storage._committer
    assert committer is not None
    durable = committer._queue.durable
    for number in range(3):
        write(storage, {OID: cell(f"group {number}")})
        ends.append(storage.getSize())
        committer._queue.durable = durable
    storage.close()
    path.with_name("data.fs.index").unlink()
    return ends


@pytest.mark.parametrize("torn", [3, 4, 5])
def test_whole_transactions_behind_a_torn_one_of_the_same_sync_go_too(
    path: Path, torn: int
) -> None:
    ends = in_one_sync(path)
    flip(path, ends[torn] - 20)
    storage = FileStorage(path)
    assert storage.getSize() == ends[torn - 1]
    storage.close()


def test_several_torn_transactions_are_cut_off(path: Path) -> None:
    ends = in_one_sync(path)
    flip(path, ends[3] - 20)
    flip(path, ends[5] - 20)
    storage = FileStorage(path)
    assert storage.getSize() == ends[2]
    storage.close()


def test_damage_in_the_midst_is_not_taken_for_a_torn_end(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = filled(path)
    flip(path, ends[1] - 20)
    whole = path.read_bytes()
    storage = FileStorage(path)
    assert storage.getSize() == ends[2]
    assert storage.load(OID).data == cell(2)
    storage.close()
    assert aside(path) == []
    assert path.read_bytes() == whole
    assert f"{path}, byte {ends[0]}: found bytes that do not match their checksum" in caplog.text


@pytest.mark.parametrize("at", [8 + 7, 16, 18, 23 + 2 + 36 + 24 + 7, 23 + 2 + 36 + 35])
def test_damage_that_hides_where_the_next_transaction_begins_is_refused(
    path: Path, at: int
) -> None:
    ends = filled(path)
    flip(path, ends[0] + at, 0x40)
    whole = path.read_bytes()
    with pytest.raises(CorruptDataError, match="run `perdure check"):
        FileStorage(path)
    assert path.read_bytes() == whole
    assert aside(path) == []


def test_a_first_transaction_that_is_damaged_is_not_cut_off_with_all_the_rest(path: Path) -> None:
    filled(path)
    flip(path, 4 + 15, 0x40)  # its length
    with pytest.raises(CorruptDataError):
        FileStorage(path)


def zodb_file(path: Path) -> list[int]:
    storage = ZODB.FileStorage.FileStorage(str(path))
    ends = []
    serial = ZERO
    for number in range(3):
        transaction = ZODBMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, serial, cell(number), "", transaction)
        storage.tpc_vote(transaction)
        serial = storage.tpc_finish(transaction)
        ends.append(storage.getSize())
    storage.close()
    path.with_name("data.fs.index").unlink()
    return ends


def test_a_torn_end_that_zodb_left_is_cut_off(path: Path) -> None:
    ends = zodb_file(path)
    os.truncate(path, ends[2] - 3)
    storage = FileStorage(path)
    assert (storage.getSize(), storage.load(OID).data) == (ends[1], cell(1))
    storage.close()


def test_damage_in_a_file_of_zodb_is_told_by_the_sound_transaction_at_its_end(path: Path) -> None:
    ends = zodb_file(path)
    flip(path, ends[0] + 15)  # the length of the second transaction
    with pytest.raises(CorruptDataError):
        FileStorage(path)


@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC, "short"])
def test_whatever_fails_while_an_end_is_set_aside_nothing_is_lost(
    path: Path, kind: int | str
) -> None:
    ends = filled(path)
    os.truncate(path, ends[2] - 1)
    data = path.read_bytes()
    number = 0
    while True:
        number += 1
        operations = FailingOperations(kind)
        operations.countdown = number
        with suppress(FileAccessError):
            FileStorage(path, operations=operations).close()
        if operations.failed is None:
            break
        if path.read_bytes() != data:
            assert path.read_bytes() == data[: ends[1]]
            assert data[ends[1] :] in aside(path)
        path.write_bytes(data)
        for name in [*path.parent.glob("*.tr*"), *path.parent.glob("*.index")]:
            name.unlink()
    assert number > (1 if kind == "short" else 6)
