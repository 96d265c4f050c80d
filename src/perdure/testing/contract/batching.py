"""Oids and records are handed over many at a time."""

import pytest

from perdure.errors import ConflictError, StorageTransactionError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell, tally
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, commit, current, write

__all__ = ["BatchContract"]

A, B, C = map(p64, (1, 2, 3))


class BatchContract(Suite):
    """What is handed over together is what would be handed over one by one."""

    capability = "batches"

    def test_oids_are_new_and_grow(self, storage: AnyStorage) -> None:
        first = storage.new_oid()
        several = storage.new_oids(5)
        last = storage.new_oid()

        assert len({first, *several, last}) == 7
        assert sorted([first, *several, last]) == [first, *several, last]

    def test_oids_that_are_stored_are_not_handed_out(self, storage: AnyStorage) -> None:
        batch = [(p64(number), ZERO, cell(number)) for number in (7, 900, 8)]
        commit(storage, lambda transaction: storage.store_all(batch, transaction))
        assert storage.new_oids(2) == [p64(901), p64(902)]

    def test_records_are_stored_as_one_by_one(self, storage: AnyStorage) -> None:
        read = write(storage, {A: cell(1), B: cell(1)}).tid
        batch = [(A, read, cell(2)), (C, ZERO, cell(2)), (B, read, cell(2))]

        def work(transaction: TransactionMetaData) -> None:
            storage.store_all(batch, transaction)
            batch.clear()  # it is the caller's
            storage.store_all([], transaction)

        tid = commit(storage, work).tid
        for oid in (A, B, C):
            assert current(storage, oid) == (cell(2), tid, None)

    def test_of_two_records_of_an_object_the_later_is_stored(self, storage: AnyStorage) -> None:
        batch = [(A, ZERO, cell("first")), (A, ZERO, cell("second"))]
        tid = commit(storage, lambda transaction: storage.store_all(batch, transaction)).tid
        assert current(storage, A) == (cell("second"), tid, None)

    def test_conflicts_within_a_batch_are_resolved(self, storage: AnyStorage) -> None:
        read = write(storage, {A: cell(1), B: tally(10)}).tid
        write(storage, {B: tally(12)})
        batch = [(A, read, cell(2)), (B, read, tally(15))]
        tid = commit(storage, lambda transaction: storage.store_all(batch, transaction)).tid
        assert current(storage, A) == (cell(2), tid, None)
        assert current(storage, B) == (tally(17), tid, None)

    def test_a_conflict_within_a_batch_is_an_error(self, storage: AnyStorage) -> None:
        read = write(storage, {A: cell(1), B: cell(1)}).tid
        tid = write(storage, {B: cell(2)}).tid
        batch = [(A, read, cell(3)), (B, read, cell(3))]
        with pytest.raises(ConflictError) as caught:
            commit(storage, lambda transaction: storage.store_all(batch, transaction))
        assert caught.value.oid == B
        assert current(storage, A) == (cell(1), read, None)
        assert current(storage, B) == (cell(2), tid, None)

    def test_a_batch_needs_a_transaction(self, storage: AnyStorage) -> None:
        with pytest.raises(StorageTransactionError):
            storage.store_all([(A, ZERO, cell(1))], TransactionMetaData())
