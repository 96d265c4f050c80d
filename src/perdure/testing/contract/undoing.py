"""Undo: what comes back, what cannot be undone, and the log to choose from."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from perdure.capabilities import capabilities_of
from perdure.clock import time_of
from perdure.ids import MAX_TID, after
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell, references, state_of, tally
from perdure.testing.contract.suite import Clock, Suite
from perdure.testing.contract.transactions import (
    AnyStorage,
    commit,
    contents,
    current,
    serial_of,
    transactions,
    undo,
    undo_id,
    write,
)

__all__ = ["UndoContract"]

A, B, C = (b"\0" * 7 + bytes([n]) for n in (1, 2, 3))


def _write(storage: AnyStorage, records: dict[bytes, bytes], note: str = "") -> bytes:
    """Commit these records and return what `undo` calls the transaction."""
    write(storage, records, metadata=TransactionMetaData("somebody", note))
    return undo_id(storage)


def _value(storage: AnyStorage, oid: bytes) -> object:
    revision = current(storage, oid)
    assert revision is not None
    return state_of(revision.data)["value"]


class UndoContract(Suite):
    """A transaction can be taken back by a later one."""

    capability = "undo"

    def test_a_storage_with_undo_says_so(self, storage: AnyStorage) -> None:
        assert storage.supportsUndo()

    def test_undo_brings_the_state_before_back_as_a_new_revision(self, storage: AnyStorage) -> None:
        first = write(storage, {A: cell(1)}).tid
        second = write(storage, {A: cell(2)}).tid

        tid = undo(storage, undo_id(storage)).tid

        assert storage.lastTransaction() == tid > second
        assert current(storage, A) == (cell(1), tid, None)
        assert storage.loadSerial(A, tid) == cell(1)
        assert storage.loadBefore(A, tid) == (cell(2), second, tid)
        assert storage.loadBefore(A, second) == (cell(1), first, second)
        assert [entry["tid"] for entry in storage.history(A, 9)] == [tid, second, first]

    def test_undo_returns_the_oids_that_it_changes(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1), B: cell(1), C: cell(1)})
        identity = _write(storage, {A: cell(2), C: cell(2)})
        returned: list[tuple[object, list[bytes]]] = []

        def work(transaction: TransactionMetaData) -> None:
            tid, oids = storage.undo(identity, transaction)
            returned.append((tid, sorted(oids)))

        tid = commit(storage, work).tid

        [(said, oids)] = returned
        assert oids == [A, C]
        assert said in (None, tid)

    def test_nothing_is_undone_before_tpc_finish(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1)})
        identity = _write(storage, {A: cell(2)})
        before = contents(storage, [A])
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.undo(identity, transaction)
        storage.tpc_vote(transaction)

        assert contents(storage, [A]) == before

        storage.tpc_abort(transaction)
        assert contents(storage, [A]) == before

    def test_an_undo_can_be_undone_and_that_again(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1)})
        identity = _write(storage, {A: cell(2)})

        for expected in (1, 2, 1, 2):
            undo(storage, identity)
            assert _value(storage, A) == expected
            identity = undo_id(storage)

    def test_undone_creation_is_a_pos_key_error_to_load(self, storage: AnyStorage) -> None:
        created = write(storage, {A: cell(1)}).tid

        tid = undo(storage, undo_id(storage)).tid

        for bound in (after(tid), MAX_TID):
            with pytest.raises(self.errors.POSKeyError) as caught:
                storage.loadBefore(A, bound)
            assert caught.value.args[0] == A
        with pytest.raises(self.errors.POSKeyError):
            storage.loadSerial(A, tid)
        assert storage.loadBefore(A, tid) == (cell(1), created, tid)
        assert storage.loadSerial(A, created) == cell(1)
        assert [entry["tid"] for entry in storage.history(A, 9)] == [tid, created]

    def test_undone_creation_can_be_redone(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1)})
        undo(storage, undo_id(storage))
        gone = storage.lastTransaction()

        tid = undo(storage, undo_id(storage)).tid

        assert current(storage, A) == (cell(1), tid, None)
        with pytest.raises(self.errors.POSKeyError):
            storage.loadBefore(A, tid)
        with pytest.raises(self.errors.POSKeyError):
            storage.loadSerial(A, gone)

    def test_only_the_objects_of_the_transaction_change(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        identity = _write(storage, {A: cell(2)})
        other = write(storage, {B: cell(2)}).tid

        undo(storage, identity)

        assert _value(storage, A) == 1
        assert current(storage, B) == (cell(2), other, None)

    def test_undo_is_refused_where_a_later_transaction_changed_the_object(
        self, storage: AnyStorage
    ) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        identity = _write(storage, {A: cell(2), B: cell(2)})
        write(storage, {A: cell(3)})
        before = contents(storage, [A, B])

        with pytest.raises(self.errors.UndoError):
            undo(storage, identity)

        assert contents(storage, [A, B]) == before
        write(storage, {A: cell(4)})

    def test_undo_of_a_creation_is_refused_once_the_object_changed(
        self, storage: AnyStorage
    ) -> None:
        identity = _write(storage, {A: cell(1)})
        write(storage, {A: cell(2)})

        with pytest.raises(self.errors.UndoError):
            undo(storage, identity)

        assert _value(storage, A) == 2

    def test_undo_is_possible_where_later_transactions_were_undone(
        self, storage: AnyStorage
    ) -> None:
        write(storage, {A: cell(1)})
        second = _write(storage, {A: cell(2)})
        third = _write(storage, {A: cell(3)})

        undo(storage, third)
        assert _value(storage, A) == 2
        undo(storage, second)
        assert _value(storage, A) == 1

    def test_several_transactions_are_undone_in_one(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        second = _write(storage, {A: cell(2)})
        third = _write(storage, {B: cell(2)})
        fourth = _write(storage, {A: cell(3)})

        tid = undo(storage, fourth, third, second).tid

        assert current(storage, A) == (cell(1), tid, None)
        assert current(storage, B) == (cell(1), tid, None)

    def test_one_of_several_that_cannot_be_undone_fails_them_all(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        second = _write(storage, {A: cell(2)})
        third = _write(storage, {B: cell(2)})
        write(storage, {B: cell(3)})
        before = contents(storage, [A, B])

        with pytest.raises(self.errors.UndoError):
            undo(storage, second, third)

        assert contents(storage, [A, B]) == before

    def test_undo_and_store_fit_into_one_transaction(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1), B: cell(1)})
        identity = _write(storage, {A: cell(2)})
        serial = serial_of(storage, B)

        def work(transaction: TransactionMetaData) -> None:
            storage.undo(identity, transaction)
            storage.store(B, serial, cell(9), "", transaction)

        tid = commit(storage, work).tid

        assert current(storage, A) == (cell(1), tid, None)
        assert current(storage, B) == (cell(9), tid, None)

    def test_undo_resolves_where_the_class_can(self, storage: AnyStorage) -> None:
        write(storage, {A: tally(10)})
        identity = _write(storage, {A: tally(11)})
        write(storage, {A: tally(16)})

        tid = undo(storage, identity).tid

        assert state_of(storage.loadSerial(A, tid)) == {"count": 15}

    def test_undoing_in_another_transaction_is_refused_before_the_id_is_looked_at(
        self, storage: AnyStorage
    ) -> None:
        nonsense: Any = object()
        for identity in (b"nonsense", b"", nonsense):
            with pytest.raises(self.errors.StorageTransactionError):
                storage.undo(identity, TransactionMetaData())

    def test_an_unknown_transaction_is_an_undo_error(self, storage: AnyStorage) -> None:
        write(storage, {A: cell(1)})

        with pytest.raises(self.errors.UndoError):
            undo(storage, base64.encodebytes(b"\0" * 8).rstrip())

        assert _value(storage, A) == 1

    @pytest.mark.parametrize("identity", [b"nonsense", b"", b"\0" * 8, b"\xff"])
    def test_what_is_no_id_is_an_undo_error(self, storage: AnyStorage, identity: bytes) -> None:
        write(storage, {A: cell(1)})

        with pytest.raises(self.errors.UndoError):
            undo(storage, identity)

        assert _value(storage, A) == 1

    def test_an_undo_points_back_to_the_transaction_with_its_data(
        self, storage: AnyStorage
    ) -> None:
        if not capabilities_of(storage).iteration:
            pytest.skip("shown by iteration, which this storage does not have")
        first = write(storage, {A: cell(1)}).tid
        write(storage, {A: cell(2)})
        tid = undo(storage, undo_id(storage)).tid

        [(*_, records)] = transactions(storage, tid, tid)

        assert records == [(A, tid, cell(1), first)]

    def test_an_undone_creation_is_iterated_without_data(self, storage: AnyStorage) -> None:
        if not capabilities_of(storage).iteration:
            pytest.skip("shown by iteration, which this storage does not have")
        write(storage, {A: cell(1)})
        tid = undo(storage, undo_id(storage)).tid

        [(*_, records)] = transactions(storage, tid, tid)

        assert records == [(A, tid, None, None)]

    def test_the_log_is_newest_first_and_tells_what_to_choose_by(self, storage: AnyStorage) -> None:
        tids = [
            write(
                storage,
                {A: cell(n)},
                metadata=TransactionMetaData("Zoë", f"no. {n}", {"ticket": n}),
            ).tid
            for n in range(3)
        ]

        log = storage.undoLog(0, 3)

        assert [entry["description"] for entry in log] == [b"no. 2", b"no. 1", b"no. 0"]
        assert {entry["user_name"] for entry in log} == {"Zoë".encode()}
        assert [entry["ticket"] for entry in log] == [2, 1, 0]
        assert len({entry["id"] for entry in log}) == 3
        times = [entry["time"] for entry in log]
        assert times == pytest.approx([time_of(tid) for tid in reversed(tids)], abs=0.001)

    def test_the_log_comes_in_pages(self, storage: AnyStorage) -> None:
        for n in range(25):
            _write(storage, {A: cell(n)}, f"{n}")

        def page(first: int, last: int) -> list[int]:
            return [int(entry["description"]) for entry in storage.undoLog(first, last)]

        assert [int(e["description"]) for e in storage.undoLog()] == list(range(24, 4, -1))
        assert page(0, 3) == [24, 23, 22]
        assert page(3, 6) == [21, 20, 19]
        assert page(3, -2) == [21, 20]
        assert page(0, -25) == list(range(24, -1, -1))
        assert page(5, 5) == []
        assert page(24, 25) == [0]

    def test_the_log_is_filtered_before_it_is_paged(self, storage: AnyStorage) -> None:
        for n in range(10):
            _write(storage, {A: cell(n)}, f"{n}")

        def even(entry: Mapping[str, Any]) -> bool:
            return int(entry["description"]) % 2 == 0

        assert [e["description"] for e in storage.undoLog(1, 3, even)] == [b"6", b"4"]
        assert [e["description"] for e in storage.undoLog(0, -2, filter=even)] == [b"8", b"6"]

    def test_undo_info_selects_by_facts(self, storage: AnyStorage) -> None:
        for n in range(6):
            metadata = TransactionMetaData("even" if n % 2 == 0 else "odd", f"{n}")
            write(storage, {A: cell(n)}, metadata=metadata)

        def chosen(**facts: object) -> list[bytes]:
            info = storage.undoInfo(0, -20, facts)
            return [e["description"] for e in info if e["user_name"] in (b"even", b"odd")]

        assert chosen(user_name=b"odd") == [b"5", b"3", b"1"]
        assert chosen(user_name=b"odd", description=b"3") == [b"3"]
        assert chosen(user_name=b"nobody") == []
        assert [e["description"] for e in storage.undoInfo(1, 3)] == [b"4", b"3"]

    def test_the_log_ends_at_the_pack(self, storage: AnyStorage, clock: Clock) -> None:
        for n in range(6):
            if n == 3:
                packed_at = clock.advance(1)
            clock.advance(1)
            _write(storage, {b"\0" * 8: cell(n)}, f"{n}")

        storage.pack(packed_at, references)

        log = [entry["description"] for entry in storage.undoLog(0, -20)]
        assert log == [b"5", b"4", b"3"]

    def test_what_was_packed_cannot_be_undone(self, storage: AnyStorage, clock: Clock) -> None:
        root = b"\0" * 8
        clock.advance(1)
        _write(storage, {root: cell(1)})
        clock.advance(1)
        identity = _write(storage, {root: cell(2)})
        packed_at = clock.advance(1)
        clock.advance(1)
        storage.pack(packed_at, references)

        with pytest.raises(self.errors.UndoError):
            undo(storage, identity)

        assert _value(storage, root) == 2
