"""Restoring: transactions of another storage written with their own tids."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.capabilities import capabilities_of
from perdure.ids import MAX_TID, ZERO, after, before, p64
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import (
    AnyStorage,
    current,
    revisions,
    transactions,
    undo,
    undo_id,
    write,
)

__all__ = ["RestoreContract"]

A, B, C = (b"\0" * 7 + bytes([n]) for n in (1, 2, 3))


def _restore(
    storage: AnyStorage, tid: bytes, records: dict[bytes, bytes | None], note: str = ""
) -> None:
    transaction = TransactionMetaData("elsewhere", note)
    try:
        storage.tpc_begin(transaction, tid, " ")
        for oid, data in records.items():
            storage.restore(oid, tid, data, "", None, transaction)
        storage.tpc_vote(transaction)
        assert storage.tpc_finish(transaction) == tid
    except BaseException:
        storage.tpc_abort(transaction)
        raise


class RestoreContract(Suite):
    """A copy has the tids, the records and the metadata of what it is a copy of."""

    capability = "restore"

    def test_a_restored_transaction_keeps_its_tid(self, storage: AnyStorage) -> None:
        tid = after(storage.lastTransaction() or p64(1 << 56))

        _restore(storage, tid, {A: cell(1)})

        assert storage.lastTransaction() == tid
        assert current(storage, A) == (cell(1), tid, None)
        assert storage.loadSerial(A, tid) == cell(1)
        [entry] = storage.history(A, 9)
        assert (entry["tid"], entry["user_name"]) == (tid, b"elsewhere")

    def test_restoring_does_not_look_for_conflicts(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        second = after(after(first))

        _restore(storage, second, {A: cell(2)})

        assert revisions(storage, A) == [(cell(2), second, None), (cell(1), first, second)]

    def test_a_record_without_data_is_an_object_that_is_gone(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        second = after(first)

        _restore(storage, second, {A: None})

        with pytest.raises(self.errors.POSKeyError):
            storage.loadBefore(A, MAX_TID)
        assert storage.loadBefore(A, second) == (cell(1), first, second)

    def test_tids_go_on_after_the_restored_ones(self, storage: AnyStorage) -> None:
        future = p64(1 << 61)
        _restore(storage, future, {A: cell(1)})

        tid = write(storage, {A: cell(2)}).tid

        assert tid > future
        assert storage.loadBefore(A, tid) == (cell(1), future, tid)

    def test_a_tid_that_is_not_later_than_the_last_is_refused(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(0)})
        last = write(storage, {A: cell(1)}).tid

        for tid in (before(last), last):
            with pytest.raises(self.errors.StorageTransactionError):
                _restore(storage, tid, {A: cell(2)})

        assert current(storage, A) == (cell(1), last, None)
        write(storage, {A: cell(3)})

    def test_restored_oids_are_not_handed_out(self, storage: AnyStorage) -> None:
        start = int.from_bytes(storage.new_oid(), "big")
        taken: dict[bytes, bytes | None] = {p64(start + n): cell(n) for n in range(1, 20)}
        _restore(storage, after(storage.lastTransaction() or p64(1 << 56)), taken)

        assert not taken.keys() & {storage.new_oid() for _ in range(100)}

    def test_restoring_in_another_transaction_is_refused_before_the_rest_is_looked_at(
        self, storage: AnyStorage
    ) -> None:
        nonsense: Any = object()
        with pytest.raises(self.errors.StorageTransactionError):
            storage.restore(nonsense, nonsense, nonsense, nonsense, nonsense, TransactionMetaData())

    def test_an_aborted_restore_leaves_nothing(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction, p64(1 << 61), " ")
        storage.restore(A, p64(1 << 61), cell(2), "", None, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_abort(transaction)

        assert current(storage, A) == (cell(1), first, None)
        assert write(storage, {A: cell(3)}).tid < p64(1 << 61)

    def test_a_copy_equals_its_source(
        self, storage: AnyStorage, open_storage: Callable[[str], AnyStorage]
    ) -> None:
        if not capabilities_of(storage).iteration:
            pytest.skip("compared by iteration, which this storage does not have")
        copy = open_storage("copy")
        start = after(max(storage.lastTransaction(), copy.lastTransaction()))
        metadata = TransactionMetaData("Zoë", "日本語", {"ticket": 1})
        write(storage, {A: cell(1), B: cell(1)}, metadata=metadata)
        write(storage, {A: cell(2)})
        if capabilities_of(storage).undo:
            undo(storage, undo_id(storage))
            write(storage, {C: cell(3)})
            undo(storage, undo_id(storage))

        for transaction in storage.iterator(start):
            copy.tpc_begin(transaction, transaction.tid, transaction.status)
            for record in transaction:
                copy.restore(record.oid, record.tid, record.data, "", record.data_txn, transaction)
            copy.tpc_vote(transaction)
            copy.tpc_finish(transaction)

        assert transactions(copy, start) == transactions(storage, start)
        assert [revisions(copy, oid) for oid in (A, B, C)] == [
            revisions(storage, oid) for oid in (A, B, C)
        ]

    def test_a_hint_at_a_transaction_that_is_missing_is_ignored(self, storage: AnyStorage) -> None:
        tid = after(storage.lastTransaction() or p64(1 << 56))
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction, tid, " ")
        storage.restore(A, tid, cell(1), "", ZERO, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)

        assert current(storage, A) == (cell(1), tid, None)
