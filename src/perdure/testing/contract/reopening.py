"""Closing and opening the same data again."""

from collections.abc import Callable

import pytest

from perdure.capabilities import capabilities_of
from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.iteration import SCRIPTS
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Clock, Suite
from perdure.testing.contract.transactions import (
    AnyStorage,
    contents,
    current,
    undo,
    undo_id,
    write,
)

__all__ = ["ReopenContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))

Open = Callable[[str], AnyStorage]


class ReopenContract(Suite):
    """A storage that keeps its data: `make_storage` with the same name opens it again."""

    def test_everything_is_there_again(self, storage: AnyStorage, open_storage: Open) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        for text in SCRIPTS:
            metadata = TransactionMetaData(text, text, {"note": text})
            write(storage, {A: cell(text)}, metadata=metadata)
        if capabilities_of(storage).undo:
            undo(storage, undo_id(storage))
        before = contents(storage, [A, B])
        storage.close()

        assert contents(open_storage("main"), [A, B]) == before

    def test_what_was_not_finished_is_not_there(
        self, storage: AnyStorage, open_storage: Open
    ) -> None:
        tid = write(storage, {A: cell(1)}).tid
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(A, tid, cell(2), "", transaction)
        storage.store(B, ZERO, cell(2), "", transaction)
        storage.tpc_vote(transaction)
        storage.close()

        again = open_storage("main")

        assert current(again, A) == (cell(1), tid, None)
        assert current(again, B) is None
        assert again.lastTransaction() == tid

    def test_oids_in_use_are_not_handed_out_again(
        self, storage: AnyStorage, open_storage: Open
    ) -> None:
        used = {storage.new_oid() for _ in range(50)}
        write(storage, {oid: cell(0) for oid in used})
        storage.close()

        again = open_storage("main")

        assert not used & {again.new_oid() for _ in range(200)}

    def test_tids_go_on_though_the_clock_stepped_back(
        self, storage: AnyStorage, open_storage: Open, clock: Clock
    ) -> None:
        first = write(storage, {A: cell(1)}).tid
        storage.close()
        clock.advance(-3600)

        again = open_storage("main")
        second = write(again, {A: cell(2)}).tid

        assert second > first
        assert again.loadBefore(A, second) == (cell(1), first, second)

    def test_conflicts_are_still_noticed(self, storage: AnyStorage, open_storage: Open) -> None:
        first = write(storage, {A: cell(1)}).tid
        second = write(storage, {A: cell(2)}).tid
        storage.close()

        again = open_storage("main")

        with pytest.raises(self.errors.ConflictError):
            write(again, {A: cell(3)}, {A: first})
        assert again.loadBefore(A, MAX_TID) == (cell(2), second, None)
        write(again, {A: cell(3)}, {A: second})

    def test_it_can_be_opened_many_times(self, storage: AnyStorage, open_storage: Open) -> None:
        tids = [write(storage, {A: cell(0)}).tid]
        storage.close()
        for n in range(1, 5):
            again = open_storage("main")
            tids.append(write(again, {A: cell(n)}).tid)
            assert [entry["tid"] for entry in again.history(A, 99)] == tids[::-1]
            again.close()
