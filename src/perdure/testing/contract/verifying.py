"""Depending on objects that a transaction read but does not change."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.interfaces import HasMetaData, TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.threads import at_once, meeting
from perdure.testing.contract.transactions import AnyStorage, commit, current, write

__all__ = ["ReadVerifyingContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))


class ReadVerifyingContract(Suite):
    """`checkCurrentSerialInTransaction` makes a commit fail if what it read is old."""

    capability = "read_verification"

    def test_a_transaction_that_read_what_is_current_commits(self, storage: AnyStorage) -> None:
        read = write(storage, {A: cell(1), B: cell(1)}).tid

        def work(transaction: HasMetaData) -> None:
            storage.checkCurrentSerialInTransaction(A, read, transaction)
            storage.store(B, read, cell(2), "", transaction)

        tid = commit(storage, work).tid

        assert current(storage, A) == (cell(1), read, None)
        assert current(storage, B) == (cell(2), tid, None)

    def test_a_transaction_that_read_what_is_old_fails(self, storage: AnyStorage) -> None:
        read = write(storage, {A: cell(1), B: cell(1)}).tid
        committed = write(storage, {A: cell(2)}).tid

        def work(transaction: HasMetaData) -> None:
            storage.store(B, read, cell(2), "", transaction)
            storage.checkCurrentSerialInTransaction(A, read, transaction)

        with pytest.raises(self.errors.ReadConflictError) as caught:
            commit(storage, work)

        assert caught.value.oid == A
        assert caught.value.serials == (committed, read)
        assert current(storage, B) == (cell(1), read, None)

    def test_checking_in_another_transaction_is_refused_before_the_rest_is_looked_at(
        self, storage: AnyStorage
    ) -> None:
        nonsense: Any = object()
        with pytest.raises(self.errors.StorageTransactionError):
            storage.checkCurrentSerialInTransaction(nonsense, nonsense, TransactionMetaData())

    def test_two_that_each_rely_on_what_the_other_changes_do_not_both_commit(
        self, storage: AnyStorage
    ) -> None:
        for _ in range(3):
            serials = write(storage, {A: cell(1), B: cell(1)}).tid
            done: list[bytes] = []
            meet = meeting(2)

            def rely_and_change(
                relied: bytes,
                changed: bytes,
                read: bytes = serials,
                done: list[bytes] = done,
                meet: Callable[[], object] = meet,
            ) -> None:
                def work(transaction: HasMetaData) -> None:
                    storage.checkCurrentSerialInTransaction(relied, read, transaction)
                    storage.store(changed, read, cell(2), "", transaction)
                    meet()

                try:
                    commit(storage, work)
                except self.errors.ConflictError:
                    return
                done.append(changed)

            at_once(lambda: rely_and_change(A, B), lambda: rely_and_change(B, A))

            assert len(done) == 1
