"""Deleting objects by oid, for a garbage collection from outside."""

from typing import Any

import pytest

from perdure.capabilities import capabilities_of
from perdure.ids import MAX_TID, after
from perdure.interfaces import HasMetaData, TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import (
    AnyStorage,
    Outcome,
    commit,
    current,
    transactions,
    write,
)

__all__ = ["ExternalGCContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))


def _delete(storage: AnyStorage, oid: bytes, serial: bytes) -> Outcome:
    def work(transaction: HasMetaData) -> None:
        storage.deleteObject(oid, serial, transaction)

    return commit(storage, work)


class ExternalGCContract(Suite):
    """`deleteObject` ends an object; its past stays until it is packed."""

    capability = "external_gc"

    def test_a_deleted_object_is_a_pos_key_error(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1), B: cell(1)}).tid

        tid = _delete(storage, A, first).tid

        for bound in (after(tid), MAX_TID):
            with pytest.raises(self.errors.POSKeyError):
                storage.loadBefore(A, bound)
        with pytest.raises(self.errors.POSKeyError):
            storage.loadSerial(A, tid)
        assert storage.loadBefore(A, tid) == (cell(1), first, tid)
        assert storage.loadSerial(A, first) == cell(1)
        assert current(storage, B) == (cell(1), first, None)

    def test_a_deletion_is_iterated_as_a_record_without_data(self, storage: AnyStorage) -> None:
        if not capabilities_of(storage).iteration:
            pytest.skip("shown by iteration, which this storage does not have")
        first = write(storage, {A: cell(1)}).tid

        tid = _delete(storage, A, first).tid

        [(*_, records)] = transactions(storage, tid, tid)
        assert records == [(A, tid, None, None)]

    def test_deleting_what_changed_meanwhile_is_a_conflict(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        second = write(storage, {A: cell(2)}).tid

        with pytest.raises(self.errors.ConflictError) as caught:
            _delete(storage, A, first)

        assert caught.value.oid == A
        assert current(storage, A) == (cell(2), second, None)

    def test_deleting_what_does_not_exist_is_a_pos_key_error(self, storage: AnyStorage) -> None:
        tid = write(storage, {A: cell(1)}).tid

        with pytest.raises(self.errors.POSKeyError):
            _delete(storage, B, tid)

        write(storage, {B: cell(1)})

    def test_an_aborted_deletion_leaves_the_object(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.deleteObject(A, first, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_abort(transaction)

        assert current(storage, A) == (cell(1), first, None)

    def test_deleting_in_another_transaction_is_refused_before_the_rest_is_looked_at(
        self, storage: AnyStorage
    ) -> None:
        nonsense: Any = object()
        with pytest.raises(self.errors.StorageTransactionError):
            storage.deleteObject(nonsense, nonsense, TransactionMetaData())
