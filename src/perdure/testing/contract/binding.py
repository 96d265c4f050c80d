"""A layer above has the last word on records, when their tid is known."""

from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell, state_of, tally
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, commit, current, write

__all__ = ["BindingContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))


def _signed(oid: bytes, tid: bytes, data: bytes) -> bytes:
    # Readers of pickles ignore what follows, so this is still the same record.
    return data + oid + tid


class BindingContract(Suite):
    """What `bind_records` was given makes of each record is what is written."""

    capability = "binding"

    def test_what_is_stored_is_bound_to_its_oid_and_tid(self, storage: AnyStorage) -> None:
        storage.bind_records(_signed)

        first = write(storage, {A: cell(1), B: cell(1)}).tid
        second = write(storage, {A: cell(2)}).tid

        assert storage.loadSerial(A, first) == cell(1) + A + first
        assert current(storage, A) == (cell(2) + A + second, second, None)
        assert current(storage, B) == (cell(1) + B + first, first, None)

    def test_what_is_large_is_bound_as_well(self, storage: AnyStorage) -> None:
        storage.bind_records(_signed)
        block = bytes(1 << 20)

        def work(transaction: TransactionMetaData) -> None:
            for n in range(1, 81):
                storage.store(p64(n), ZERO, b"%06d" % n + block, "", transaction)

        tid = commit(storage, work).tid

        for n in (1, 80):
            expected = b"%06d" % n + block + p64(n) + tid
            assert storage.loadBefore(p64(n), MAX_TID) == (expected, tid, None)

    def test_what_is_merged_is_bound(self, storage: AnyStorage) -> None:
        storage.bind_records(_signed)
        read = write(storage, {A: tally(10)}).tid
        write(storage, {A: tally(12)})

        tid = write(storage, {A: tally(15)}, {A: read}).tid

        data = storage.loadSerial(A, tid)
        assert data.endswith(A + tid)
        assert state_of(data) == {"count": 17}

    def test_what_is_restored_is_bound_to_the_tid_that_it_comes_with(
        self, storage: AnyStorage
    ) -> None:
        storage.bind_records(_signed)
        tid = after(storage.lastTransaction() or p64(1 << 56))
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction, tid)
        storage.restore(A, tid, cell(1), "", None, transaction)
        storage.restore(B, tid, None, "", None, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)

        assert current(storage, A) == (cell(1) + A + tid, tid, None)
        assert current(storage, B) is None
