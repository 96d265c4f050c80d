"""The order of two-phase calls, who may make them, and what is seen when."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.ids import MAX_TID, ZERO, after
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, commit, contents, current, write

__all__ = ["TwoPhaseContract"]

Call = Callable[[AnyStorage, TransactionMetaData], object]

OID = b"\0" * 7 + b"\x01"
OTHER = b"\0" * 7 + b"\x02"


def _store(storage: AnyStorage, transaction: TransactionMetaData) -> None:
    storage.store(OTHER, ZERO, cell("never"), "", transaction)


def _vote(storage: AnyStorage, transaction: TransactionMetaData) -> None:
    storage.tpc_vote(transaction)


def _finish(storage: AnyStorage, transaction: TransactionMetaData) -> None:
    storage.tpc_finish(transaction)


every_call = pytest.mark.parametrize("call", [_store, _vote, _finish])


class TwoPhaseContract(Suite):
    """Two-phase commit, as the module `perdure.interfaces.storage` describes it."""

    def test_a_finished_transaction_is_readable(self, storage: AnyStorage) -> None:
        tid = write(storage, {OID: cell(1)}).tid

        assert storage.lastTransaction() == tid
        assert current(storage, OID) == (cell(1), tid, None)
        assert storage.loadSerial(OID, tid) == cell(1)

    @every_call
    def test_a_call_before_tpc_begin_is_refused(self, storage: AnyStorage, call: Call) -> None:
        with pytest.raises(self.errors.StorageTransactionError):
            call(storage, TransactionMetaData())

    @every_call
    def test_a_call_with_another_transaction_is_refused(
        self, storage: AnyStorage, call: Call
    ) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)

        with pytest.raises(self.errors.StorageTransactionError):
            call(storage, TransactionMetaData())

        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)
        assert current(storage, OID) is not None
        assert current(storage, OTHER) is None

    def test_storing_in_another_transaction_is_refused_before_the_arguments_are_looked_at(
        self, storage: AnyStorage
    ) -> None:
        nonsense: Any = object()
        with pytest.raises(self.errors.StorageTransactionError):
            storage.store(nonsense, nonsense, nonsense, nonsense, TransactionMetaData())

    def test_tpc_begin_twice_is_refused_and_the_transaction_goes_on(
        self, storage: AnyStorage
    ) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)

        with pytest.raises(self.errors.StorageTransactionError):
            storage.tpc_begin(transaction)

        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)
        assert current(storage, OID) is not None

    def test_tpc_finish_without_a_vote_is_refused(self, storage: AnyStorage) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)

        try:
            with pytest.raises(self.errors.StorageTransactionError):
                storage.tpc_finish(transaction)
        finally:
            storage.tpc_abort(transaction)

        assert current(storage, OID) is None
        write(storage, {OTHER: cell(2)})

    def test_a_store_after_the_vote_is_refused(self, storage: AnyStorage) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)
        storage.tpc_vote(transaction)

        try:
            with pytest.raises(self.errors.StorageTransactionError):
                _store(storage, transaction)
        finally:
            storage.tpc_abort(transaction)

        assert current(storage, OID) is None

    @every_call
    def test_a_call_after_tpc_finish_is_refused(self, storage: AnyStorage, call: Call) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)

        with pytest.raises(self.errors.StorageTransactionError):
            call(storage, transaction)

        storage.tpc_abort(transaction)
        write(storage, {OID: cell(1)})

    @every_call
    def test_a_call_after_tpc_abort_is_refused(self, storage: AnyStorage, call: Call) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.tpc_abort(transaction)

        with pytest.raises(self.errors.StorageTransactionError):
            call(storage, transaction)

    def test_aborting_an_unknown_transaction_does_nothing(self, storage: AnyStorage) -> None:
        storage.tpc_abort(TransactionMetaData())
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)

        storage.tpc_abort(TransactionMetaData())

        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)
        assert current(storage, OID) is not None

    @pytest.mark.parametrize("calls", [[], [_store], [_store, _vote]])
    def test_an_abort_leaves_nothing_behind(self, storage: AnyStorage, calls: list[Call]) -> None:
        write(storage, {OID: cell(1)})
        before = contents(storage, [OID, OTHER])
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        for call in calls:
            call(storage, transaction)

        storage.tpc_abort(transaction)

        assert contents(storage, [OID, OTHER]) == before
        write(storage, {OTHER: cell(2)})
        assert current(storage, OTHER) is not None

    def test_aborting_twice_is_harmless(self, storage: AnyStorage) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.tpc_abort(transaction)
        storage.tpc_abort(transaction)

        write(storage, {OID: cell(1)})

    def test_nothing_is_visible_before_tpc_finish(self, storage: AnyStorage) -> None:
        first = write(storage, {OID: cell("old")}).tid
        before = contents(storage, [OID, OTHER])
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        assert contents(storage, [OID, OTHER]) == before
        storage.store(OID, first, cell("new"), "", transaction)
        storage.store(OTHER, ZERO, cell("new"), "", transaction)
        assert contents(storage, [OID, OTHER]) == before

        storage.tpc_vote(transaction)

        assert contents(storage, [OID, OTHER]) == before
        tid = storage.tpc_finish(transaction)
        assert current(storage, OID) == (cell("new"), tid, None)
        assert current(storage, OTHER) == (cell("new"), tid, None)
        assert storage.loadBefore(OID, tid) == (cell("old"), first, tid)

    def test_the_callback_gets_the_tid_once_and_before_it_is_visible(
        self, storage: AnyStorage
    ) -> None:
        before = storage.lastTransaction()
        seen = []
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)
        storage.tpc_vote(transaction)

        tid = storage.tpc_finish(
            transaction, lambda new: seen.append((new, storage.lastTransaction()))
        )

        assert seen == [(tid, before)]
        assert storage.lastTransaction() == tid

    def test_an_empty_transaction_counts(self, storage: AnyStorage) -> None:
        first = write(storage, {OID: cell(1)}).tid

        tid = commit(storage, lambda transaction: None).tid

        assert tid > first
        assert storage.lastTransaction() == tid

    def test_the_last_of_several_stores_of_an_object_wins(self, storage: AnyStorage) -> None:
        first = write(storage, {OID: cell(0)}).tid

        def work(transaction: TransactionMetaData) -> None:
            storage.store(OID, first, cell(1), "", transaction)
            storage.store(OID, first, cell(2), "", transaction)

        tid = commit(storage, work).tid

        assert current(storage, OID) == (cell(2), tid, None)
        assert storage.loadSerial(OID, tid) == cell(2)
        assert storage.loadBefore(OID, tid) == (cell(0), first, tid)

    def test_tids_are_8_bytes_and_within_bounds(self, storage: AnyStorage) -> None:
        tid = write(storage, {OID: cell(1)}).tid

        assert isinstance(tid, bytes)
        assert ZERO < tid < after(tid) < MAX_TID
