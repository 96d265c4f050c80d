"""Plans of transactions, in both storages that make them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import (
    ConflictError,
    MultipleUndoErrors,
    POSKeyError,
    ReadConflictError,
    UndoError,
)
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages import FileStorage, MappingStorage
from perdure.testing.contract.records import cell, references, tally
from perdure.testing.contract.transactions import commit, undo, write

A, B, C = p64(1), p64(2), p64(3)


@pytest.fixture(params=["memory", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = MappingStorage() if request.param == "memory" else FileStorage(tmp_path / "data.fs")
    yield made
    made.close()


def begun(storage: Any) -> TransactionMetaData:
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    return transaction


def finish(storage: Any, transaction: TransactionMetaData) -> tuple[list[bytes], bytes]:
    resolved = list(storage.tpc_vote(transaction))
    return resolved, storage.tpc_finish(transaction)


def ids(storage: Any) -> list[bytes]:
    """Return what `undo` calls the transactions, newest first."""
    return [entry["id"] for entry in storage.undoLog(0, -100)]


# What others commit between the call and the vote


def test_a_conflict_that_arises_after_storing_shows_at_the_vote(storage: Any) -> None:
    read = write(storage, {A: cell(1)}).tid
    transaction = begun(storage)
    storage.store(A, read, cell(2), "", transaction)
    write(storage, {A: cell(3)})
    with pytest.raises(ConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    assert storage.load(A).data == cell(3)


def test_a_conflict_that_arises_after_storing_is_resolved_at_the_vote(storage: Any) -> None:
    read = write(storage, {A: tally(1)}).tid
    transaction = begun(storage)
    storage.store(A, read, tally(11), "", transaction)
    storage.store(B, ZERO, cell(1), "", transaction)
    write(storage, {A: tally(101)})
    resolved, tid = finish(storage, transaction)
    assert resolved == [A]
    assert storage.load(A) == (tally(111), tid)


@pytest.mark.parametrize("others", [1, 2, 70])
def test_what_others_commit_to_other_objects_changes_nothing(storage: Any, others: int) -> None:
    read = write(storage, {A: tally(1), C: cell(1)}).tid
    write(storage, {A: tally(2)})
    transaction = begun(storage)
    storage.store(A, read, tally(11), "", transaction)
    storage.store(B, ZERO, cell(1), "", transaction)
    storage.deleteObject(C, read, transaction)
    for number in range(others):
        write(storage, {p64(100 + number): cell(number)})
    resolved, tid = finish(storage, transaction)
    assert resolved == [A]
    assert storage.load(A) == (tally(12), tid)
    assert storage.load(B) == (cell(1), tid)
    with pytest.raises(POSKeyError):
        storage.load(C)


@pytest.mark.parametrize("others", [0, 1, 70])
@pytest.mark.parametrize("objects", [1, 1500])
def test_among_many_commits_the_one_that_conflicts_is_found(
    storage: Any, others: int, objects: int
) -> None:
    read = write(storage, {A: cell(1)}).tid
    transaction = begun(storage)
    storage.store(A, read, cell(2), "", transaction)
    write(storage, {p64(1000 + number): cell(1) for number in range(objects)} | {A: cell(3)})
    for number in range(others):
        write(storage, {p64(100 + number): cell(number)})
    with pytest.raises(ConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    assert storage.load(A).data == cell(3)


def test_a_conflict_resolved_early_is_resolved_again_if_more_was_committed(storage: Any) -> None:
    read = write(storage, {A: tally(1)}).tid
    write(storage, {A: tally(2)})
    transaction = begun(storage)
    storage.store(A, read, tally(11), "", transaction)
    write(storage, {A: tally(102)})
    resolved, _ = finish(storage, transaction)
    assert resolved == [A]
    assert storage.load(A).data == tally(112)


@pytest.mark.parametrize(("before", "after"), [(0, 3), (1, 2), (3, 0), (3, 3)])
def test_a_change_is_merged_with_the_newest_of_many_and_with_what_was_read(
    storage: Any, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    merge = storage.tryToResolveConflict
    merged: list[tuple[bytes, bytes, bytes, bytes]] = []

    def watched(oid: bytes, committed: bytes, read: bytes, new: bytes, there: bytes) -> Any:
        if new == mine:
            merged.append((oid, committed, read, there))
        return merge(oid, committed, read, new, there)

    monkeypatch.setattr(storage, "tryToResolveConflict", watched)
    mine = tally(1001)
    read = write(storage, {A: tally(1)}).tid
    transaction = begun(storage)
    tids = [write(storage, {A: tally(1 + number)}).tid for number in range(before)]
    storage.store(A, read, mine, "", transaction)
    tids += [write(storage, {A: tally(11 + number)}).tid for number in range(after)]
    resolved, _ = finish(storage, transaction)
    assert resolved == [A]
    newest = tally(10 + after) if after else tally(before)
    assert merged[-1] == (A, tids[-1], read, newest)
    # Before, it may have been merged with what was the newest then: its own change, not the result.
    assert {(oid, read_tid) for oid, _, read_tid, _ in merged} == {(A, read)}
    assert storage.load(A).data == tally(1010 + after if after else 1000 + before)


def test_of_many_objects_stored_at_once_those_that_others_changed_are_merged(storage: Any) -> None:
    oids = [p64(number) for number in range(1, 8)]
    read = write(storage, {oid: tally(0) for oid in oids}).tid
    theirs = [oids[0], oids[3], oids[4], oids[-1]]
    write(storage, dict.fromkeys(theirs, tally(10)))
    transaction = begun(storage)
    records = [(oid, read, tally(1)) for oid in oids]
    if isinstance(storage, FileStorage):
        storage.store_all(records, transaction)
    else:
        for oid, serial, data in records:
            storage.store(oid, serial, data, "", transaction)
    resolved, _ = finish(storage, transaction)
    assert resolved == theirs
    assert [storage.load(oid).data for oid in oids] == [
        tally(11 if oid in theirs else 1) for oid in oids
    ]


def test_an_object_made_by_two_at_once_is_a_conflict(storage: Any) -> None:
    transaction = begun(storage)
    storage.store(A, ZERO, cell(1), "", transaction)
    write(storage, {A: cell(2)})
    with pytest.raises(ConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)


def test_what_was_only_read_is_checked_again_at_the_vote(storage: Any) -> None:
    read = write(storage, {A: cell(1), B: cell(1)}).tid
    transaction = begun(storage)
    storage.checkCurrentSerialInTransaction(A, read, transaction)
    write(storage, {B: cell(2)})
    finish(storage, transaction)

    transaction = begun(storage)
    storage.checkCurrentSerialInTransaction(A, read, transaction)
    write(storage, {A: cell(2)})
    with pytest.raises(ReadConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    with pytest.raises(POSKeyError):
        commit(storage, lambda t: storage.checkCurrentSerialInTransaction(C, read, t))


def test_a_deletion_is_planned_again_at_the_vote(storage: Any) -> None:
    read = write(storage, {A: cell(1)}).tid
    transaction = begun(storage)
    storage.deleteObject(A, read, transaction)
    write(storage, {A: cell(2)})
    with pytest.raises(ConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)


def test_an_undo_is_planned_again_at_the_vote(storage: Any) -> None:
    write(storage, {A: cell(1), B: tally(5)})
    write(storage, {A: cell(2), B: tally(6)})
    transaction = begun(storage)
    storage.undo(ids(storage)[0], transaction)
    write(storage, {B: tally(16)})
    finish(storage, transaction)
    assert storage.load(A).data == cell(1)
    assert storage.load(B).data == tally(15)


def test_what_was_packed_meanwhile_cannot_be_undone_any_more(storage: Any) -> None:
    write(storage, {ZERO: cell(0)})
    write(storage, {ZERO: cell(1)})
    transaction = begun(storage)
    storage.undo(ids(storage)[0], transaction)
    storage.pack(4e9, references)
    with pytest.raises(UndoError, match="packed"):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)


def test_a_restored_record_is_planned_again_on_what_is_current_then(storage: Any) -> None:
    first = write(storage, {A: cell(1)}).tid
    write(storage, {A: cell(2)})
    later = p64(1 << 62)
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction, later, " ")
    storage.restore(A, later, cell(1), "", first, transaction)
    middle = write(storage, {A: cell(3)}).tid
    finish(storage, transaction)
    assert storage.load(A) == (cell(1), later)
    assert storage.loadBefore(A, later) == (cell(3), middle, later)
    *_, last = storage.iterator()
    assert [record.data_txn for record in last] == [first]


# Restoring


@pytest.mark.parametrize("hint", [None, p64(5), b"first"])
def test_a_hint_that_is_wrong_is_ignored(storage: Any, hint: bytes | None) -> None:
    first = write(storage, {A: cell(1)}).tid
    later = p64(1 << 62)
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction, later, " ")
    wrong = first if hint == b"first" else hint
    storage.restore(A, later, cell("something else"), "", wrong, transaction)
    finish(storage, transaction)
    assert storage.load(A) == (cell("something else"), later)
    *_, last = storage.iterator()
    assert [record.data_txn for record in last] == [None]


# Undo


def test_undo_brings_back_what_was_before(storage: Any) -> None:
    write(storage, {A: cell(1), B: cell(1)})
    write(storage, {A: cell(2), C: cell(2)})
    tid = undo(storage, ids(storage)[0]).tid
    assert storage.load(A) == (cell(1), tid)
    with pytest.raises(POSKeyError):
        storage.load(C)


def test_an_undo_can_be_undone_and_that_too(storage: Any) -> None:
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    for expected in (1, 2, 1, 2):
        undo(storage, ids(storage)[0])
        assert storage.load(A).data == cell(expected)


def test_several_transactions_are_undone_in_one(storage: Any) -> None:
    for number in range(1, 5):
        write(storage, {A: cell(number)})
    undo(storage, *ids(storage)[:3])
    assert storage.load(A).data == cell(1)
    undo(storage, ids(storage)[0])
    assert storage.load(A).data == cell(4)


def test_undoing_what_a_later_one_changed_is_refused(storage: Any) -> None:
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    write(storage, {A: cell(3)})
    with pytest.raises(UndoError, match="changed by a later transaction") as caught:
        undo(storage, ids(storage)[1])
    assert caught.value.oid == A
    assert type(caught.value) is MultipleUndoErrors  # which ZEO knows how to send
    with pytest.raises(UndoError, match="created by this transaction"):
        undo(storage, ids(storage)[2])
    assert storage.load(A).data == cell(3)


def test_all_objects_that_cannot_be_undone_are_named(storage: Any) -> None:
    write(storage, {A: cell(1), B: cell(1), C: cell(1)})
    write(storage, {A: cell(2), B: cell(2), C: cell(2)})
    write(storage, {A: cell(3), C: cell(3)})
    with pytest.raises(MultipleUndoErrors) as caught:
        undo(storage, ids(storage)[1])
    assert [oid for oid, _ in caught.value.errors] == [A, C]


def test_undoing_what_a_later_one_changed_back_is_no_conflict(storage: Any) -> None:
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    write(storage, {A: cell(3)})
    write(storage, {A: cell(2)})
    undo(storage, ids(storage)[2])
    assert storage.load(A).data == cell(1)


def test_undoing_merges_with_later_changes_where_the_class_can(storage: Any) -> None:
    write(storage, {A: tally(1)})
    write(storage, {A: tally(11)})
    write(storage, {A: tally(111)})
    undo(storage, ids(storage)[1])
    assert storage.load(A).data == tally(101)


def test_undoing_twice_in_one_transaction_merges_with_itself(storage: Any) -> None:
    write(storage, {A: tally(1)})
    write(storage, {A: tally(11)})
    write(storage, {A: tally(111)})
    write(storage, {A: tally(1111)})
    undo(storage, ids(storage)[1], ids(storage)[2])
    assert storage.load(A).data == tally(1001)


def test_undoing_sees_what_the_same_transaction_stored(storage: Any) -> None:
    write(storage, {A: tally(1)})
    tid = write(storage, {A: tally(11)}).tid
    transaction = begun(storage)
    storage.store(A, tid, tally(111), "", transaction)
    storage.undo(ids(storage)[0], transaction)
    finish(storage, transaction)
    assert storage.load(A).data == tally(101)


def test_undoing_a_deletion_brings_the_object_back(storage: Any) -> None:
    tid = write(storage, {A: cell(1)}).tid
    commit(storage, lambda t: storage.deleteObject(A, tid, t))
    with pytest.raises(POSKeyError):
        storage.load(A)
    undo(storage, ids(storage)[0])
    assert storage.load(A).data == cell(1)


def test_undoing_a_change_of_what_is_gone_is_refused(storage: Any) -> None:
    write(storage, {A: cell(1)})
    tid = write(storage, {A: cell(2)}).tid
    commit(storage, lambda t: storage.deleteObject(A, tid, t))
    with pytest.raises(UndoError, match="deleted by a later transaction"):
        undo(storage, ids(storage)[1])


def test_undoing_what_brought_an_object_back_is_refused_once_it_changed(storage: Any) -> None:
    tid = write(storage, {A: cell(1)}).tid
    commit(storage, lambda t: storage.deleteObject(A, tid, t))
    undo(storage, ids(storage)[0])
    write(storage, {A: cell(2)})
    with pytest.raises(UndoError, match="gone before"):
        undo(storage, ids(storage)[1])


def test_what_is_gone_is_gone_after_undoing_it_again(storage: Any) -> None:
    write(storage, {A: cell(1)})
    undo(storage, ids(storage)[0])
    undo(storage, ids(storage)[0])
    assert storage.load(A).data == cell(1)
    undo(storage, ids(storage)[0])
    with pytest.raises(POSKeyError):
        storage.load(A)


def test_a_transaction_that_is_not_here_cannot_be_undone(storage: Any) -> None:
    write(storage, {A: cell(1)})
    for unknown in (p64(5), p64(1 << 62)):
        with pytest.raises(UndoError, match="0x"):
            undo(storage, unknown)
