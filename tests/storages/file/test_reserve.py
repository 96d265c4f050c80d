import errno
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import ZODB.FileStorage
from ZODB.Connection import TransactionMetaData as ZODBMetaData

from perdure.errors import CorruptDataError
from perdure.fileops import FileOperations
from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import TRANSACTION_HEADER
from perdure.storages.file.reserve import (
    RESERVE_BYTES,
    Reserve,
    end_without_reserve,
    written_end,
)
from perdure.testing.contract.records import cell, references
from perdure.testing.contract.transactions import write
from perdure.testing.faults import SHORT, Failing, Recording
from perdure.testing.faults.operations import Truncated, Wrote
from perdure.tools import back_up, check_file, recover, restore
from samples.file_operations import FailingOperations

A, B = p64(1), p64(2)
TID = b"\x03\xf1\xc2\xa4\xb5\xd6\xe7\xf8"
KIB = 1 << 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


def killed(path: Path) -> Path:
    """Return a copy of what a process leaves that is killed now."""
    copy = path.parent / "killed" / path.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(path, copy)
    return copy


def committed(path: Path, reserve_bytes: int = RESERVE_BYTES, commits: int = 3) -> FileStorage:
    """Return an open storage with some small transactions, whose tids are always the same."""
    storage = FileStorage(path, reserve_bytes=reserve_bytes)
    serial = ZERO
    for number, tid in zip(range(commits), count(1), strict=False):
        metadata = TransactionMetaData()
        storage.tpc_begin(metadata, p64(tid << 32))
        storage.store(A, serial, cell(number), "", metadata)
        storage.tpc_vote(metadata)
        serial = storage.tpc_finish(metadata)
    return storage


def data_file(path: Path) -> DataFile:
    return DataFile(path, os.open(path, os.O_RDONLY))


# How it is made


@pytest.mark.parametrize(
    ("size", "room"),
    [(100, 128 * KIB), (8 * KIB, 128 * KIB), (16 * KIB, 256 * KIB), (64 * KIB, 1024 * KIB)],
)
def test_a_reserve_has_room_for_sixteen_such_commits(size: int, room: int) -> None:
    end = 1000 + size
    behind = Reserve(RESERVE_BYTES, None, 1000).behind(TID, 1000, end)
    assert behind[:23] == TRANSACTION_HEADER.pack(after(TID), 0, b"c", 0, 0, 0)
    assert not any(behind[23:])
    assert room <= len(behind) < room + 4096
    assert (end + len(behind)) % 4096 == 0


def test_a_large_commit_makes_none() -> None:
    assert Reserve(RESERVE_BYTES, None, 4).behind(TID, 4, 5 + 64 * KIB) == b""
    assert Reserve(0, None, 4).behind(TID, 4, 100) == b""


def test_what_fits_into_a_reserve_only_moves_its_header() -> None:
    assert len(Reserve(RESERVE_BYTES, None, 200).behind(TID, 4, 199)) == 23
    assert Reserve(RESERVE_BYTES, None, 200).behind(TID, 4, 200) == b""


def test_a_reserve_ends_where_the_quota_does() -> None:
    assert len(Reserve(RESERVE_BYTES, 1000, 4).behind(TID, 4, 200)) == 800
    assert Reserve(RESERVE_BYTES, 210, 4).behind(TID, 4, 200) == b""


def test_small_commits_overwrite_it_and_the_file_does_not_grow(path: Path) -> None:
    recording = Recording(path.parent)
    storage = FileStorage(path, operations=recording)
    write(storage, {A: cell(0)})
    size = path.stat().st_size
    assert size > storage.getSize() + 120 * KIB
    for number in range(50):
        write(storage, {A: cell(number)})
    assert path.stat().st_size == size
    assert not any(isinstance(done, Truncated) for done in recording.log)
    assert max(len(done.data) for done in recording.log[-150:] if isinstance(done, Wrote)) < 300
    for number in range(1200):
        write(storage, {A: cell(number)})
    assert path.stat().st_size > size
    storage.close()
    assert check_file(path, follow_references=False).findings == ()


def test_a_closed_file_is_the_same_as_without_reserve(tmp_path: Path) -> None:
    with_it, without = tmp_path / "with.fs", tmp_path / "without.fs"
    committed(with_it).close()
    storage = committed(without, reserve_bytes=0)
    assert os.path.getsize(without) == storage.getSize()
    storage.close()
    assert with_it.read_bytes() == without.read_bytes()


def test_an_aborted_commit_takes_its_reserve_along(path: Path) -> None:
    storage = committed(path)
    end = storage.getSize()
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.store(B, ZERO, cell("x" * 200_000), "", metadata)
    storage.tpc_vote(metadata)
    storage.tpc_abort(metadata)
    assert path.stat().st_size == end
    write(storage, {A: cell(7)})
    with closing(FileStorage(killed(path), read_only=True)) as copy:
        assert copy.load(A).data == cell(7)
    storage.close()


def test_a_packed_file_and_the_old_one_have_none(path: Path) -> None:
    storage = committed(path)
    end = storage.getSize()
    storage.pack(4e9, references, gc=False)
    assert path.with_name("data.fs.old").stat().st_size == end
    assert path.stat().st_size == storage.getSize()
    write(storage, {B: cell(1)})
    assert path.stat().st_size > storage.getSize()
    storage.close()


# Where the disk refuses


class NoRoomAhead(FileOperations):
    """Refuses to write as much as a reserve is."""

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        if sum(map(len, pieces)) > 4096:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, pieces, position)


def test_a_reserve_that_finds_no_room_costs_nothing_but_itself(path: Path) -> None:
    storage = FileStorage(path, operations=NoRoomAhead())
    for number in range(3):
        tid = write(storage, {A: cell(number)}).tid
        assert storage.load(A) == (cell(number), tid)
        assert path.stat().st_size == storage.getSize()
    storage.close()


def test_a_short_write_leaves_a_short_reserve_which_is_cut_off_too(path: Path) -> None:
    storage = FileStorage(path, operations=Failing(3, SHORT))  # the magic, and a transaction
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    end = storage.getSize()
    storage.close()
    assert path.stat().st_size == end


def test_a_reserve_that_cannot_be_cut_off_stays(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operations = FailingOperations(errno.EIO)
    storage = FileStorage(path, operations=operations)
    write(storage, {A: cell(1)})
    operations.countdown = 1
    storage.close()
    assert operations.failed == "truncate"
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its reserve could not be cut off: [Errno 5] Input/output error"
    ]
    caplog.clear()
    with closing(FileStorage(path)) as storage:
        assert storage.load(A).data == cell(1)
        assert path.stat().st_size == storage.getSize()
    assert caplog.records == []


# What readers make of it


def test_a_killed_process_leaves_a_reserve_which_is_cut_off_without_a_word(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "perdure")
    storage = committed(path)
    copy, end = killed(path), storage.getSize()
    storage.close()
    left = copy.read_bytes()

    with closing(FileStorage(copy, read_only=True)) as reading:
        assert (reading.load(A).data, reading.getSize()) == (cell(2), end)
    assert copy.read_bytes() == left
    with closing(FileStorage(copy)) as writing:
        assert os.path.getsize(copy) == end
        assert write(writing, {A: cell(3)}).tid
    assert caplog.records == []
    assert sorted(name.name for name in copy.parent.iterdir()) == [
        "data.fs",
        "data.fs.index",
        "data.fs.lock",
    ]
    assert copy.read_bytes().startswith(path.read_bytes())


def test_zeros_without_a_header_are_reported_and_nothing_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = committed(path)
    copy, end = killed(path), storage.getSize()
    storage.close()
    copy.write_bytes(copy.read_bytes()[:end].ljust(os.path.getsize(copy), b"\0"))
    with closing(FileStorage(copy)) as storage:
        assert (storage.load(A).data, os.path.getsize(copy)) == (cell(2), end)
    assert f"byte {end}: found status b'\\x00'" in caplog.text
    assert not list(copy.parent.glob("*.tr*"))


def test_what_a_crash_leaves_in_a_reserve_is_set_aside_without_the_reserve(path: Path) -> None:
    storage = committed(path)
    end = storage.getSize()
    before = killed(path).read_bytes()
    write(storage, {A: cell("x" * 2000)})
    copy, torn = killed(path), storage.getSize()
    storage.close()
    after_it = copy.read_bytes()
    # Of the sectors that were written, the first did not reach the disk.
    sector = (end // 512 + 1) * 512
    copy.write_bytes(before[:sector] + after_it[sector:])
    with closing(FileStorage(copy)) as storage:
        assert (storage.load(A).data, os.path.getsize(copy)) == (cell(2), end)
    (aside,) = copy.parent.glob("*.tr*")
    assert aside.read_bytes() == before[end:sector] + after_it[sector:torn]


def test_a_reader_of_a_live_file_follows_into_its_reserve(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "perdure")
    writer = committed(path)
    reader = FileStorage(path, read_only=True)
    assert not reader.refresh()
    for number in range(5):
        tid = write(writer, {A: cell(number), B: cell("x" * 300)}).tid
        assert reader.refresh()
        assert reader.load(A) == (cell(number), tid)
        assert not reader.refresh()
    writer.close()
    assert not reader.refresh()
    reader.close()
    assert caplog.records == []


def test_a_live_file_is_sound_and_its_backup_has_no_reserve(tmp_path: Path, path: Path) -> None:
    storage = committed(path)
    assert check_file(path, follow_references=False).findings == ()
    back_up(path, tmp_path / "backups")
    write(storage, {A: cell(3)})
    back_up(path, tmp_path / "backups")
    restore(tmp_path / "backups", tmp_path / "restored.fs")
    storage.close()
    assert (tmp_path / "restored.fs").read_bytes() == path.read_bytes()


def test_recovering_misses_nothing_in_a_reserve(tmp_path: Path, path: Path) -> None:
    storage = committed(path)
    copy = killed(path)
    storage.close()
    done = recover(copy, tmp_path / "recovered.fs")
    assert (done.transactions, done.lost, done.doubtful) == (3, (), ())


def test_damage_in_front_of_a_reserve_is_not_taken_for_a_torn_end(path: Path) -> None:
    storage = committed(path)
    copy = killed(path)
    storage.close()
    data = bytearray(copy.read_bytes())
    data[4 + 9] = 1  # the length of the first transaction
    copy.write_bytes(data)
    with pytest.raises(CorruptDataError):
        FileStorage(copy)
    assert copy.read_bytes() == data


def test_the_end_is_found_of_files_with_and_without_reserve(path: Path) -> None:
    storage = committed(path)
    copy, end = killed(path), storage.getSize()
    storage.close()
    for name in (path, copy):
        size = os.path.getsize(name)
        assert end_without_reserve(data_file(name), 4, size) == end
        assert written_end(data_file(name), end, size) == end
    voted = bytes(100) + b"x" + bytes(1000)
    path.write_bytes(path.read_bytes() + voted)
    size = os.path.getsize(path)
    assert end_without_reserve(data_file(path), 4, size) == size
    assert end + 101 <= written_end(data_file(path), end, size) <= end + 101 + 64


# ZODB


def zodb_commit(storage: ZODB.FileStorage.FileStorage, data: bytes) -> bytes:
    metadata = ZODBMetaData()
    storage.tpc_begin(metadata)
    storage.store(A, storage.getTid(A), data, "", metadata)
    storage.tpc_vote(metadata)
    tid: bytes = storage.tpc_finish(metadata)
    return tid


def test_zodb_reads_a_live_file(path: Path) -> None:
    storage = committed(path)
    before = path.read_bytes()
    reader = ZODB.FileStorage.FileStorage(str(path), read_only=True)
    assert reader.getSize() == storage.getSize()
    assert reader.loadBefore(A, after(reader.lastTransaction()))[0] == cell(2)
    assert [t.tid for t in reader.iterator()] == [t.tid for t in storage.iterator()]
    assert len(reader.undoLog(0, 10)) == 3
    reader.close()
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.tr*"))
    storage.close()


@pytest.mark.parametrize("header", [True, False])
def test_zodb_goes_on_with_what_a_killed_process_left(path: Path, header: bool) -> None:
    storage = committed(path)
    copy, end = killed(path), storage.getSize()
    storage.close()
    if not header:  # lost in the crash
        copy.write_bytes(copy.read_bytes()[:end].ljust(os.path.getsize(copy), b"\0"))
    theirs = ZODB.FileStorage.FileStorage(str(copy))
    assert (theirs.getSize(), os.path.getsize(copy)) == (end, end)
    assert theirs.loadBefore(A, b"\xff" * 8)[0] == cell(2)
    tid = zodb_commit(theirs, cell(3))
    theirs.pack(4e9, references, gc=False)
    zodb_commit(theirs, cell(4))
    theirs.close()

    with closing(FileStorage(copy)) as ours:
        assert ours.load(A).data == cell(4)
        assert ours.loadSerial(A, tid) == cell(3)
        write(ours, {A: cell(5)})
        last = killed(copy)
    with closing(ZODB.FileStorage.FileStorage(str(last), read_only=True)) as theirs:
        assert theirs.loadBefore(A, b"\xff" * 8)[0] == cell(5)
