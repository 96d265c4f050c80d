"""Commits to a file: several at once, and what happens when the disk does not play along."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from perdure.errors import (
    ConflictError,
    FileAccessError,
    FileStorageError,
    FileStorageQuotaError,
    POSKeyError,
    ReadConflictError,
    StorageClosedError,
    StorageError,
    UndoError,
)
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage, committing
from perdure.storages.file.encoding import Encoded
from perdure.testing.contract.records import cell, references, state_of, tally
from perdure.testing.contract.transactions import contents, current, undo_id, write
from perdure.testing.faults import Recording
from perdure.testing.faults.operations import Synced, SyncedDirectory, Wrote
from samples.file_operations import FailingOperations, SlowSync

A, B, C = p64(1), p64(2), p64(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def disk() -> SlowSync:
    return SlowSync()


@pytest.fixture
def storage(path: Path, disk: SlowSync) -> Iterator[FileStorage]:
    storage = FileStorage(path, operations=disk)
    yield storage
    disk.release()
    storage.close()


def begun(storage: FileStorage, **records: object) -> TransactionMetaData:
    """Begin a transaction that has stored these records, made from the current ones."""
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    for name, data in records.items():
        oid = globals()[name]
        revision = current(storage, oid)
        serial = revision.tid if revision else ZERO
        storage.store(oid, serial, data, "", transaction)
    return transaction


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run `call` in a thread; what it returns or raises is in the list afterwards."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def joined(thread: threading.Thread) -> None:
    thread.join(30)
    assert not thread.is_alive()


# Several transactions at once


def test_the_next_transaction_votes_while_one_waits_for_its_sync(
    storage: FileStorage, disk: SlowSync
) -> None:
    first, second = begun(storage, A=cell(1)), begun(storage, B=cell(1))
    disk.hold()
    storage.tpc_vote(first)
    thread, found = in_thread(lambda: storage.tpc_finish(first))
    assert disk.syncing.wait(10)

    storage.tpc_vote(second)  # would wait for ever if the commit lock were held
    assert found == []
    assert storage.lastTransaction() == ZERO
    assert current(storage, A) is None
    disk.release()
    joined(thread)
    tid = storage.tpc_finish(second)
    assert found < [tid]
    assert storage.lastTransaction() == tid


def test_reading_does_not_wait_for_a_commit(storage: FileStorage, disk: SlowSync) -> None:
    tid = write(storage, {A: cell(1)}).tid
    transaction = begun(storage, A=cell(2))
    disk.hold()
    storage.tpc_vote(transaction)
    thread, found = in_thread(lambda: storage.tpc_finish(transaction))
    assert disk.syncing.wait(10)

    assert storage.loadBefore(A, MAX_TID) == (cell(1), tid, None)
    assert [t.tid for t in storage.iterator()] == [tid]
    assert len(storage.history(A, 5)) == len(storage.undoLog()) == 1
    disk.release()
    joined(thread)
    assert storage.loadBefore(A, MAX_TID) == (cell(2), found[0], None)


def test_a_conflict_with_a_transaction_that_is_not_durable_yet_is_one(
    storage: FileStorage, disk: SlowSync
) -> None:
    write(storage, {A: cell(1)})
    first, second = begun(storage, A=cell(2)), begun(storage, A=cell(3))
    disk.hold()
    storage.tpc_vote(first)
    thread, found = in_thread(lambda: storage.tpc_finish(first))
    assert disk.syncing.wait(10)
    try:
        with pytest.raises(ConflictError) as caught:
            storage.tpc_vote(second)
    finally:
        disk.release()
        joined(thread)
    assert caught.value.oid == A
    assert caught.value.serials is not None
    assert caught.value.serials[0] == found[0]
    storage.tpc_abort(second)


def test_a_change_of_a_transaction_that_is_not_durable_yet_is_merged(
    storage: FileStorage, disk: SlowSync
) -> None:
    write(storage, {A: tally(10)})
    first, second = begun(storage, A=tally(11)), begun(storage, A=tally(15))
    disk.hold()
    storage.tpc_vote(first)
    thread, _ = in_thread(lambda: storage.tpc_finish(first))
    assert disk.syncing.wait(10)
    assert storage.tpc_vote(second) == [A]
    disk.release()
    joined(thread)
    storage.tpc_finish(second)
    assert storage.load(A).data == tally(16)


@pytest.mark.parametrize("size", [1, 100_000])
def test_changes_that_wait_for_a_sync_are_merged_one_with_the_other(
    storage: FileStorage, disk: SlowSync, size: int
) -> None:
    write(storage, {A: tally(10)})
    read = storage.load(A).tid
    transactions = [begun(storage, A=tally(10 + 10**number)) for number in range(5)]
    for number, transaction in enumerate(transactions[:-1]):
        storage.store(p64(100 + number), ZERO, cell("x" * size), "", transaction)
    disk.hold()
    voted = [threading.Event() for _ in transactions]
    writes = 0

    def commit(number: int) -> list[bytes]:
        # Waits for the lock of the one before, until that waits for its sync.
        resolved = storage.tpc_vote(transactions[number])
        voted[number].set()
        storage.tpc_finish(transactions[number])
        return resolved

    running = []
    for number in range(4):
        running.append(in_thread(partial(commit, number)))
        assert voted[number].wait(10)
        assert disk.syncing.wait(10)
        writes = writes or disk.write_calls
    assert storage.tpc_vote(transactions[-1]) == [A]
    # What was not written yet is not written for that, unless it is too large to be kept.
    assert (disk.write_calls == writes) is (size == 1)
    assert storage.load(A).tid == read
    disk.release()
    for thread, _ in running:
        joined(thread)
    assert [found for _, found in running] == [[[]], [[A]], [[A]], [[A]]]
    storage.tpc_finish(transactions[-1])
    assert storage.load(A).data == tally(10 + 11_111)


def test_a_conflict_that_arises_after_storing_shows_at_the_vote(storage: FileStorage) -> None:
    read = write(storage, {A: cell(1), B: cell(1)}).tid
    transaction = begun(storage, A=cell(2), B=cell(2))
    committed = write(storage, {B: cell(3)}).tid
    size = storage.getSize()
    with pytest.raises(ConflictError) as caught:
        storage.tpc_vote(transaction)
    assert (caught.value.oid, caught.value.serials) == (B, (committed, read))
    storage.tpc_abort(transaction)
    assert storage.getSize() == size
    storage.close()
    assert os.path.getsize(storage.getName()) == size


def test_what_was_read_is_checked_again_at_the_vote(storage: FileStorage) -> None:
    read = write(storage, {A: cell(1), B: cell(1)}).tid
    transaction = begun(storage, A=cell(2))
    storage.checkCurrentSerialInTransaction(B, read, transaction)
    write(storage, {B: cell(3)})
    with pytest.raises(ReadConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)


def test_an_undo_is_worked_out_again_at_the_vote(storage: FileStorage) -> None:
    write(storage, {A: cell(1), B: tally(5)})
    write(storage, {A: cell(2), B: tally(6)})
    latest = undo_id(storage)
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.undo(latest, transaction)
    write(storage, {B: tally(16)})
    storage.tpc_vote(transaction)
    storage.tpc_finish(transaction)
    assert storage.load(A).data == cell(1)
    assert storage.load(B).data == tally(15)

    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.undo(undo_id(storage), transaction)
    write(storage, {A: cell(7)})
    with pytest.raises(UndoError, match="changed by a later transaction"):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)


def test_a_pack_between_storing_and_voting_does_no_harm(storage: FileStorage) -> None:
    write(storage, {ZERO: cell(0), A: cell("x" * 500)})
    write(storage, {A: cell(2), B: cell(2)})
    transaction = begun(storage, A=cell(3), B=cell(3))
    storage.pack(4e9, references, gc=False)
    storage.tpc_vote(transaction)
    tid = storage.tpc_finish(transaction)
    assert storage.load(A) == (cell(3), tid)
    assert storage.history(B, 5)[0]["tid"] == tid
    assert len(storage.history(A, 5)) == 2


def test_many_threads_lose_nothing(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {A: tally(0)})
    tids: list[bytes] = []
    seen: list[bytes] = []

    def work(number: int) -> None:
        mine = p64(100 + number)
        for turn in range(20):
            while True:
                transaction = TransactionMetaData()
                storage.tpc_begin(transaction)
                try:
                    data, serial = storage.load(A)
                    count = state_of(data)["count"] + 1
                    storage.store(A, serial, tally(count), "", transaction)
                    storage.store(mine, storage.lastTid(mine) or ZERO, cell(turn), "", transaction)
                    storage.tpc_vote(transaction)
                    tids.append(storage.tpc_finish(transaction, seen.append))
                    break
                except ConflictError:
                    storage.tpc_abort(transaction)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        joined(thread)

    assert storage.load(A).data == tally(80)
    assert sorted(tids) == seen == [t.tid for t in storage.iterator()][1:]
    before = contents(storage, [A, p64(100), p64(103)])
    storage.close()
    path.with_name("data.fs.index").unlink()
    storage = FileStorage(path)
    assert contents(storage, [A, p64(100), p64(103)]) == before
    storage.close()


# Visibility


def test_the_callback_comes_before_anybody_can_see_the_transaction(
    storage: FileStorage, disk: SlowSync
) -> None:
    seen = []
    transaction = begun(storage, A=cell(1))
    storage.tpc_vote(transaction)
    syncs = disk.syncs

    def func(tid: bytes) -> None:
        seen.append((tid, disk.syncs - syncs, storage.lastTransaction(), current(storage, A)))

    tid = storage.tpc_finish(transaction, func)
    assert seen == [(tid, 1, ZERO, None)]
    assert storage.lastTransaction() == tid


def test_a_callback_that_raises_does_not_undo_the_commit(storage: FileStorage) -> None:
    transaction = begun(storage, A=cell(1))
    storage.tpc_vote(transaction)

    def func(tid: bytes) -> None:
        raise LookupError(tid)

    with pytest.raises(LookupError):
        storage.tpc_finish(transaction, func)
    assert storage.load(A).data == cell(1)
    write(storage, {A: cell(2)})


# Limits


@pytest.mark.parametrize("field", ["user", "description", "extension"])
def test_metadata_that_do_not_fit_are_refused_and_nothing_is_written(
    storage: FileStorage, path: Path, field: str
) -> None:
    metadata = TransactionMetaData(**{field: b"x" * 65536})
    with pytest.raises(FileStorageError, match=f"{field} of 65536 bytes"):
        storage.tpc_begin(metadata)
    assert path.read_bytes() == b"FS30"
    write(storage, {A: cell(1)})


@pytest.mark.parametrize("size", [65535 - 37, 65535 - 36, 65535 - 35, 65534, 65535])
def test_an_extension_near_the_limit_survives_unchanged(
    storage: FileStorage, path: Path, size: int
) -> None:
    extension = b"\x80\x03B" + (size - 8).to_bytes(4, "little") + b"x" * (size - 8) + b"."
    assert len(extension) == size
    metadata = TransactionMetaData(b"u" * 65535, b"d" * 65535, extension)
    write(storage, {A: cell(1)}, metadata=metadata)
    write(storage, {A: cell(2)})
    storage.close()
    path.with_name("data.fs.index").unlink()
    reopened = FileStorage(path)
    first = next(iter(reopened.iterator()))
    assert (first.user, first.description) == (b"u" * 65535, b"d" * 65535)
    assert first.extension_bytes == extension
    reopened.close()


def test_a_quota_is_kept_and_smaller_transactions_still_fit(path: Path) -> None:
    storage = FileStorage(path, quota=1000)
    write(storage, {A: cell(1)})
    size = storage.getSize()
    with pytest.raises(FileStorageQuotaError, match="expected at most 1000, the quota"):
        write(storage, {A: cell("x" * 1000)})
    assert storage.getSize() == size
    assert path.stat().st_size <= 1000
    write(storage, {B: cell(1)})
    storage.close()


def test_an_empty_record_is_refused(storage: FileStorage) -> None:
    transaction = begun(storage)
    with pytest.raises(StorageError, match="cannot be empty"):
        storage.store(A, ZERO, b"", "", transaction)
    with pytest.raises(StorageError, match="cannot be empty"):
        storage.restore(A, ZERO, b"", "", None, transaction)
    storage.tpc_abort(transaction)


def test_a_status_that_is_none_is_refused(storage: FileStorage) -> None:
    with pytest.raises(FileStorageError, match="found status 'c'"):
        storage.tpc_begin(TransactionMetaData(), p64(1), "c")


def test_a_large_transaction_waits_in_a_file_without_a_name(
    storage: FileStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "_MEMORY_LIMIT", 1000)
    write(storage, {A: tally(1)})
    records = {p64(n): cell("x" * n) for n in range(10, 100)}
    transaction = begun(storage)
    for oid, data in records.items():
        storage.store(oid, ZERO, data, "", transaction)
    storage.store(A, storage.load(A).tid, tally(3), "", transaction)
    assert sorted(name.name for name in path.parent.iterdir()) == ["data.fs", "data.fs.lock"]
    write(storage, {A: tally(11)})  # so that everything is planned again
    assert storage.tpc_vote(transaction) == [A]
    storage.tpc_finish(transaction)

    assert storage.load(A).data == tally(13)
    assert {oid: storage.load(oid).data for oid in records} == records
    storage.close()
    path.with_name("data.fs.index").unlink()
    reopened = FileStorage(path)
    assert {oid: reopened.load(oid).data for oid in records} == records
    reopened.close()


# Many records at a time


def test_a_batch_is_planned_again_record_by_record_after_another_commit(
    storage: FileStorage,
) -> None:
    write(storage, {A: tally(1), B: cell("old")})
    read = storage.lastTransaction()
    transaction = begun(storage)
    batch = [(A, read, tally(3)), (B, read, cell("new")), (C, ZERO, cell("made"))]
    storage.store_all(batch, transaction)
    batch.clear()  # it is the caller's
    write(storage, {A: tally(11)})
    assert storage.tpc_vote(transaction) == [A]
    storage.tpc_finish(transaction)
    found = [storage.load(oid).data for oid in (A, B, C)]
    assert found == [tally(13), cell("new"), cell("made")]


def test_a_conflict_within_a_batch_is_found_when_it_is_stored(storage: FileStorage) -> None:
    write(storage, {A: cell("old"), B: cell("old")})
    read = storage.lastTransaction()
    write(storage, {B: cell("newer")})
    transaction = begun(storage)
    with pytest.raises(ConflictError) as caught:
        storage.store_all([(A, read, cell("a")), (B, read, cell("b"))], transaction)
    assert caught.value.oid == B
    storage.tpc_abort(transaction)
    assert storage.load(A).data == cell("old")


def test_a_batch_without_room_in_memory_waits_in_a_file(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "_MEMORY_LIMIT", 1000)
    records = {p64(n): cell("x" * n) for n in range(10, 100)}
    transaction = begun(storage)
    storage.store_all([(oid, ZERO, data) for oid, data in records.items()], transaction)
    assert not storage._committer.draft_of(transaction).spool.empty  # type: ignore[union-attr]
    storage.tpc_vote(transaction)
    storage.tpc_finish(transaction)
    assert {oid: storage.load(oid).data for oid in records} == records


def test_a_batch_has_no_empty_record_and_may_be_empty(storage: FileStorage) -> None:
    transaction = begun(storage)
    storage.store_all([], transaction)
    with pytest.raises(StorageError, match="cannot be empty"):
        storage.store_all([(A, ZERO, b"")], transaction)
    storage.tpc_abort(transaction)


# A disk that fails


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO, "short"])
def test_whichever_call_of_a_commit_fails_the_file_is_sound(path: Path, kind: int | str) -> None:
    number = 0
    while True:
        number += 1
        operations = FailingOperations(kind)
        storage = FileStorage(path, create=True, operations=operations)
        tid = write(storage, {A: cell(1), B: cell(1)}).tid
        operations.countdown = number
        outcome = None
        problem = ""
        try:
            outcome = write(storage, {A: cell(2), C: cell(2)}).tid
        except FileAccessError as error:
            problem = str(error)
        usable = "nothing of the transaction was kept" in problem
        if usable:
            assert storage.load(A) == (cell(1), tid)
            write(storage, {B: cell(3)})
        elif problem:
            assert "refuses everything" in problem
            _refuses_everything(storage)
        failed = operations.failed
        operations.countdown = 0
        storage.close()
        reopened = FileStorage(path)
        if outcome is not None:
            assert reopened.load(A) == (cell(2), outcome)
        elif usable:
            assert reopened.load(A) == (cell(1), tid)
            assert reopened.load(B).data == cell(3)
        else:
            assert reopened.load(A).data in (cell(1), cell(2))
        write(reopened, {A: cell(9)})
        reopened.close()
        if failed is None:
            break
    assert number == 2 + (2 if kind != "short" else 1)


def _refuses_everything(storage: FileStorage) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.load(A),
        lambda: storage.loadBefore(A, MAX_TID),
        lambda: storage.loadSerial(A, ZERO),
        lambda: storage.lastTransaction(),
        lambda: storage.history(A),
        lambda: storage.undoLog(),
        lambda: storage.iterator(),
        lambda: storage.new_oid(),
        lambda: storage.tpc_begin(TransactionMetaData()),
        lambda: storage.pack(4e9, references),
        lambda: len(storage),
    ]
    for call in calls:
        with pytest.raises(StorageClosedError, match="what the disk holds is not known any more"):
            call()


def test_a_full_disk_is_named_and_the_transaction_can_be_tried_again(path: Path) -> None:
    operations = FailingOperations(errno.ENOSPC)
    storage = FileStorage(path, operations=operations)
    size = path.stat().st_size
    transaction = begun(storage, A=cell(1))
    operations.countdown = 1
    with pytest.raises(FileAccessError) as caught:
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value) == (
        f"{path}: cannot write a transaction: No space left on device; "
        "nothing of the transaction was kept"
    )
    assert path.stat().st_size == size
    write(storage, {A: cell(1)})
    storage.close()


def test_after_a_failed_sync_the_index_is_not_saved(path: Path) -> None:
    operations = FailingOperations(errno.EIO)
    storage = FileStorage(path, operations=operations)
    transaction = begun(storage, A=cell(1))
    storage.tpc_vote(transaction)
    operations.countdown = 2
    with pytest.raises(FileAccessError, match="refuses everything"):
        storage.tpc_finish(transaction)
    assert operations.failed == "sync"
    storage.close()
    assert not path.with_name("data.fs.index").exists()
    FileStorage(path).close()


def test_opening_a_file_that_was_closed_changes_nothing_and_its_first_commit_makes_sure(
    path: Path,
) -> None:
    with closing(FileStorage(path)) as storage:
        write(storage, {A: cell(1)})
    recording = Recording(path.parent)
    storage = FileStorage(path, operations=recording)
    assert recording.log == []
    write(storage, {A: cell(2)})
    write(storage, {A: cell(3)})
    storage.close()
    kinds = [type(done) for done in recording.log]
    # What a killed process has cut off, and the name, before anything; then commits as ever,
    # the first with a reserve.
    commit = [Wrote, Wrote, Synced]
    assert kinds[:9] == [Synced, SyncedDirectory, Wrote, *commit, *commit]


def test_opening_a_file_without_its_index_makes_sure_at_once(path: Path) -> None:
    with closing(FileStorage(path)) as storage:
        write(storage, {A: cell(1)})
    path.with_name("data.fs.index").unlink()
    recording = Recording(path.parent)
    storage = FileStorage(path, operations=recording)
    assert [type(done) for done in recording.log] == [Wrote, Synced, SyncedDirectory]
    storage.close()


@pytest.mark.parametrize("call", [1, 2])
def test_a_first_commit_that_cannot_make_sure_stops_everything(path: Path, call: int) -> None:
    with closing(FileStorage(path)) as storage:
        write(storage, {A: cell(1)})
    operations = FailingOperations(errno.EIO)
    storage = FileStorage(path, operations=operations)
    transaction = begun(storage, A=cell(2))
    operations.countdown = call
    with pytest.raises(FileAccessError, match="refuses everything"):
        storage.tpc_vote(transaction)
    assert operations.failed == ("sync", "sync_directory")[call - 1]
    _refuses_everything(storage)
    storage.close()
    with closing(FileStorage(path)) as storage:
        assert storage.load(A).data == cell(1)


def test_an_aborted_vote_that_cannot_be_cut_off_stops_everything(path: Path) -> None:
    operations = FailingOperations(errno.EIO)
    storage = FileStorage(path, operations=operations, reserve_bytes=0)
    write(storage, {A: cell(1)})
    transaction = begun(storage, A=cell(2))
    storage.tpc_vote(transaction)
    operations.countdown = 1
    with pytest.raises(FileAccessError, match="refuses everything"):
        storage.tpc_abort(transaction)
    _refuses_everything(storage)
    storage.close()
    reopened = FileStorage(path)
    assert reopened.load(A).data == cell(1)
    reopened.close()


def test_a_vote_that_was_interrupted_after_writing_leaves_nothing(
    storage: FileStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = begun(storage, A=cell("x" * 500)), begun(storage, B=cell(1))
    committer = storage._committer
    assert committer is not None
    append = committer._append

    def interrupted(encoded: Encoded, tid: bytes) -> None:
        append(encoded, tid)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(committer, "_append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.tpc_vote(long)
    storage.tpc_abort(long)
    storage.tpc_vote(short)
    storage.tpc_finish(short)
    size = storage.getSize()
    storage.close()
    assert path.stat().st_size == size


# Closing


def test_closing_waits_for_who_is_in_the_file_already(path: Path, disk: SlowSync) -> None:
    storage = FileStorage(path, operations=disk)
    transaction = begun(storage, A=cell(1))
    storage.tpc_vote(transaction)
    disk.hold()
    finishing, found = in_thread(lambda: storage.tpc_finish(transaction))
    assert disk.syncing.wait(10)
    closing, _ = in_thread(storage.close)
    closing.join(0.05)
    assert closing.is_alive()
    disk.release()
    joined(finishing)
    joined(closing)
    reopened = FileStorage(path)
    assert reopened.load(A) == (cell(1), found[0])
    reopened.close()


def test_closing_lets_go_of_a_transaction_that_voted(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {A: cell(1)})
    size = storage.getSize()
    voted = begun(storage, A=cell(2))
    waiting = begun(storage, B=cell(2))
    storage.tpc_vote(voted)
    thread, found = in_thread(lambda: storage.tpc_vote(waiting))
    storage.close()
    joined(thread)
    assert isinstance(found[0], StorageClosedError)
    assert path.stat().st_size == size
    with pytest.raises(StorageClosedError):
        storage.tpc_finish(voted)
    storage.tpc_abort(voted)
    storage.tpc_abort(waiting)


def test_a_record_of_the_past_stays_out_of_a_conflict(storage: FileStorage) -> None:
    first = write(storage, {A: cell(1)}).tid
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    with pytest.raises(ConflictError):
        storage.store(A, ZERO, cell(2), "", transaction)
    with pytest.raises(ConflictError):
        storage.deleteObject(A, after(first), transaction)
    with pytest.raises(POSKeyError):
        storage.deleteObject(B, ZERO, transaction)
    storage.tpc_vote(transaction)
    storage.tpc_finish(transaction)
    assert storage.load(A) == (cell(1), first)
