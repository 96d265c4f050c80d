"""The end of a data file: what is kept until it has finished, and what is appended before."""

import errno
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from perdure.errors import FileAccessError, StorageClosedError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.format import STATUS_OFFSET
from perdure.testing.contract.records import cell, tally
from perdure.testing.contract.transactions import write
from perdure.testing.faults import Recording
from perdure.testing.faults.operations import Truncated
from samples.file_operations import SlowSync

A, B, C = p64(1), p64(2), p64(3)


class Disk(SlowSync):
    """A disk whose syncs can be held, that tells of its writes, and can be full."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, bytes]] = []
        self.full = False

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.writes.append((position, b"".join(pieces)))
        return super().write(descriptor, pieces, position)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def storage(path: Path, disk: Disk) -> Iterator[FileStorage]:
    storage = FileStorage(path, operations=disk)
    write(storage, {A: tally(10)})  # which makes a reserve
    disk.writes.clear()
    yield storage
    disk.release()
    storage.close()


def voted(storage: FileStorage, oid: bytes, data: bytes, status: str = " ") -> TransactionMetaData:
    """Return a transaction that voted; so whoever voted before has finished or given up."""
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction, None, status)
    storage.store(oid, storage.lastTid(oid) or ZERO, data, "", transaction)
    storage.tpc_vote(transaction)
    return transaction


def committing(
    storage: FileStorage, oid: bytes, data: bytes, status: str = " "
) -> threading.Thread:
    """Commit in a thread, which has voted when this returns."""
    has_voted = threading.Event()

    def run() -> None:
        transaction = voted(storage, oid, data, status)
        has_voted.set()
        with suppress(FileAccessError):
            storage.tpc_finish(transaction)

    thread = threading.Thread(target=run)
    thread.start()
    assert has_voted.wait(10)
    return thread


def joined(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_nothing_is_written_before_a_small_transaction_finishes(
    storage: FileStorage, disk: Disk, path: Path
) -> None:
    before, end = path.read_bytes(), storage.getSize()
    transaction = voted(storage, B, cell(1))
    assert path.read_bytes() == before
    storage.tpc_finish(transaction)
    assert [position for position, _ in disk.writes] == [end, end + STATUS_OFFSET]


def test_an_aborted_one_leaves_no_trace(path: Path) -> None:
    recording = Recording(path.parent)
    with closing(FileStorage(path, operations=recording)) as storage:
        write(storage, {A: cell(1)})
        calls, content = len(recording.log), path.read_bytes()
        storage.tpc_abort(voted(storage, B, cell("x" * 5000)))
        assert len(recording.log) == calls
        assert path.read_bytes() == content


def test_what_does_not_fit_is_appended_when_it_votes(storage: FileStorage, disk: Disk) -> None:
    large = cell("x" * 200_000)
    transaction = voted(storage, B, large)
    assert max(len(data) for _, data in disk.writes) > 200_000
    storage.tpc_finish(transaction)
    assert storage.load(B).data == large


def test_those_that_finish_during_a_sync_are_written_together(
    storage: FileStorage, disk: Disk
) -> None:
    disk.hold()
    threads = [committing(storage, A, tally(11))]
    assert disk.syncing.wait(10)
    disk.writes.clear()
    start = storage._committer._end.position  # type: ignore[union-attr]
    for oid, status in ((B, "p"), (C, " ")):
        threads.append(committing(storage, oid, cell(1), status))
    storage.tpc_abort(voted(storage, p64(4), cell(1)))
    assert disk.writes == []
    disk.release()
    joined(*threads)

    (position, written), *statuses = disk.writes
    ends = [each.tid for each in storage.iterator()][-2:]
    assert [written.count(tid) for tid in ends] == [2, 2]  # its header's, and its record's
    # The first is unfinished until all is there.
    assert (position, written[STATUS_OFFSET : STATUS_OFFSET + 1]) == (start, b"c")
    assert statuses == [(start + STATUS_OFFSET, b"p")]
    assert [each.status for each in storage.iterator()][-2:] == ["p", " "]


def test_a_change_of_one_that_is_not_in_the_file_yet_is_merged(
    storage: FileStorage, disk: Disk
) -> None:
    disk.hold()
    first = committing(storage, B, cell(1))
    assert disk.syncing.wait(10)
    second = committing(storage, A, tally(11))
    third = TransactionMetaData()
    storage.tpc_begin(third)
    storage.store(A, storage.load(A).tid, tally(15), "", third)
    assert storage.tpc_vote(third) == [A]
    disk.release()
    storage.tpc_finish(third)
    joined(first, second)
    assert storage.load(A).data == tally(16)


def test_one_that_is_appended_has_those_before_it_written_first(
    storage: FileStorage, disk: Disk, path: Path
) -> None:
    disk.hold()
    first = committing(storage, A, tally(11))
    assert disk.syncing.wait(10)
    second = committing(storage, B, cell(2))
    large = voted(storage, C, cell("x" * 200_000))
    positions = [position for position, _ in disk.writes]
    assert positions[-2:] == sorted(positions)[-2:]
    disk.release()
    storage.tpc_finish(large)
    joined(first, second)
    storage.close()
    path.with_name("data.fs.index").unlink()
    with closing(FileStorage(path)) as reopened:
        assert reopened.load(B).data == cell(2)
        assert reopened.load(C).data == cell("x" * 200_000)


def test_a_write_that_fails_beside_a_sync_is_the_failure_of_all(
    storage: FileStorage, disk: Disk, path: Path
) -> None:
    disk.hold()
    threads = [committing(storage, A, tally(11))]
    assert disk.syncing.wait(10)
    threads.append(committing(storage, B, cell(2)))
    late = TransactionMetaData()
    storage.tpc_begin(late)
    storage.store(C, ZERO, cell("x" * 200_000), "", late)
    disk.full = True
    with pytest.raises(FileAccessError, match="refuses everything"):
        storage.tpc_vote(late)
    disk.release()
    joined(*threads)
    with pytest.raises(StorageClosedError, match="No space left on device"):
        storage.load(A)
    disk.full = False
    storage.close()
    with closing(FileStorage(path)) as reopened:
        assert reopened.load(A).data in (tally(10), tally(11))


def test_closing_waits_for_what_is_not_written_yet(
    storage: FileStorage, disk: Disk, path: Path
) -> None:
    disk.hold()
    threads = [committing(storage, A, tally(11))]
    assert disk.syncing.wait(10)
    threads.append(committing(storage, B, cell(2)))
    storage.tpc_abort(voted(storage, C, cell(3)))
    threads.append(threading.Thread(target=storage.close))
    threads[-1].start()
    disk.release()
    joined(*threads)
    with closing(FileStorage(path)) as reopened:
        assert path.stat().st_size == reopened.getSize()
        assert (reopened.load(A).data, reopened.load(B).data) == (tally(11), cell(2))


def test_a_pack_waits_for_what_is_not_written_yet(storage: FileStorage, disk: Disk) -> None:
    disk.hold()
    threads = [committing(storage, A, tally(11))]
    assert disk.syncing.wait(10)
    threads.append(committing(storage, B, cell(2)))
    storage.tpc_abort(voted(storage, C, cell(3)))
    pack = threading.Thread(target=storage.pack, args=(4e9, lambda record: [], False))
    pack.start()
    disk.release()
    joined(*threads, pack)
    assert (storage.load(A).data, storage.load(B).data) == (tally(11), cell(2))


def test_a_reserve_is_not_given_up_beneath_an_aborted_vote(path: Path) -> None:
    recording = Recording(path.parent)
    with closing(FileStorage(path, operations=recording)) as storage:
        write(storage, {A: cell(1)})
        storage.tpc_abort(voted(storage, B, cell(2)))
        write(storage, {A: cell(3)})
        assert not any(isinstance(done, Truncated) for done in recording.log)
