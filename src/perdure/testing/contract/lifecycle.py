"""Closing a storage, and the hooks by which databases and layers attach to it."""

from collections.abc import Callable

import pytest

from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.conflicts import Squeezing
from perdure.testing.contract.records import cell, references
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, current, write

__all__ = ["LifecycleContract"]

OID = b"\0" * 7 + b"\x01"


class LifecycleContract(Suite):
    """Use after close is refused; wrappers can attach and override."""

    def test_closing_twice_is_harmless(self, storage: AnyStorage) -> None:
        write(storage, {OID: cell(1)})

        storage.close()
        storage.close()

    def test_use_after_close_is_refused(self, storage: AnyStorage) -> None:
        tid = write(storage, {OID: cell(1)}).tid
        storage.close()

        calls: list[Callable[[], object]] = [
            lambda: storage.loadBefore(OID, MAX_TID),
            lambda: storage.loadSerial(OID, tid),
            lambda: storage.history(OID),
            lambda: storage.new_oid(),
            lambda: storage.tpc_begin(TransactionMetaData()),
            lambda: storage.pack(4e9, references),
        ]
        for call in calls:
            with pytest.raises(self.errors.StorageClosedError):
                call()

    def test_closing_in_a_transaction_leaves_nothing_of_it(self, storage: AnyStorage) -> None:
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(OID, ZERO, cell(1), "", transaction)
        storage.tpc_vote(transaction)

        storage.close()

        with pytest.raises((self.errors.StorageClosedError, self.errors.StorageTransactionError)):
            storage.tpc_finish(transaction)
        storage.tpc_abort(transaction)

    def test_a_wrapper_can_register(self, storage: AnyStorage) -> None:
        storage.registerDB(Squeezing())

        tid = write(storage, {OID: cell(1)}).tid

        # Transforming is the wrapper's work, on the way in and out.
        assert current(storage, OID) == (cell(1), tid, None)

    def test_methods_can_be_overridden_on_the_instance(self, storage: AnyStorage) -> None:
        # Wrappers of other packages chain themselves in like this.
        registered = []
        original = storage.registerDB

        def register(wrapper: Squeezing) -> None:
            registered.append(wrapper)
            original(wrapper)

        storage.registerDB = register  # type: ignore[method-assign, assignment]
        storage.registerDB(Squeezing())

        assert len(registered) == 1

    def test_bound_methods_can_be_kept_by_a_wrapper(self, storage: AnyStorage) -> None:
        load, last = storage.loadBefore, storage.lastTransaction
        tid = write(storage, {OID: cell(1)}).tid

        assert load(OID, MAX_TID) == (cell(1), tid, None)
        assert last() == tid
