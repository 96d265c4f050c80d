"""Iterating: transactions in order, within bounds, with everything that they carry."""

import pickle

import pytest

from perdure.ids import ZERO, after, before
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, commit, transactions, write

__all__ = ["SCRIPTS", "IterationContract"]

A, B, C = (b"\0" * 7 + bytes([n]) for n in (1, 2, 3))

SCRIPTS = [
    "",
    "plain ASCII",
    "Grüße, œuvre, žluťoučký kůň",
    "Ελληνικά и кириллица",
    "עברית العربية",
    "हिन्दी ไทย",
    "日本語 中文 한국어",
    "emoji 👩🏽‍🚀 beyond the plane 𐍈",
    "control \x00 \n \r\n \x7f \ufeff",
]


class IterationContract(Suite):
    """Every transaction is there, oldest first, with its metadata and its records."""

    capability = "iteration"

    def _tids(
        self, storage: AnyStorage, start: bytes | None = None, stop: bytes | None = None
    ) -> list[bytes]:
        return [transaction.tid for transaction in storage.iterator(start, stop)]

    def test_an_empty_storage_yields_nothing(self, storage: AnyStorage) -> None:
        if self.starts_empty:
            assert list(storage.iterator()) == []
        assert self._tids(storage, after(storage.lastTransaction())) == []

    def test_transactions_come_oldest_first_with_their_records(self, storage: AnyStorage) -> None:
        start = after(storage.lastTransaction())
        first = write(storage, {A: cell(1), B: cell(2)}).tid
        second = write(storage, {A: cell(3)}).tid
        third = write(storage, {C: cell(4)}).tid

        seen = [
            (t.tid, sorted((r.oid, r.tid, r.data, r.data_txn) for r in t))
            for t in storage.iterator(start)
        ]

        assert seen == [
            (first, [(A, first, cell(1), None), (B, first, cell(2), None)]),
            (second, [(A, second, cell(3), None)]),
            (third, [(C, third, cell(4), None)]),
        ]

    def test_both_bounds_are_included(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell(n)}).tid for n in range(5)]

        for low in range(5):
            for high in range(5):
                assert self._tids(storage, tids[low], tids[high]) == tids[low : high + 1]

    def test_bounds_need_not_be_tids_of_transactions(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell(n)}).tid for n in range(3)]

        assert self._tids(storage, after(tids[0]), before(tids[2])) == tids[1:2]
        assert self._tids(storage, before(tids[1]), after(tids[1])) == tids[1:2]
        assert self._tids(storage, after(tids[1]), after(tids[1])) == []
        assert self._tids(storage, after(tids[2])) == []
        assert self._tids(storage, None, before(tids[0]))[-1:] != tids[:1]
        assert self._tids(storage, tids[0], after(tids[2])) == tids

    def test_a_stop_alone_and_a_start_alone_are_enough(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell(n)}).tid for n in range(3)]

        assert self._tids(storage, None, tids[1])[-2:] == tids[:2]
        assert self._tids(storage, tids[1]) == tids[1:]
        assert self._tids(storage)[-3:] == tids
        if self.starts_empty:
            assert self._tids(storage, ZERO) == tids

    def test_a_start_in_the_middle_of_many_is_found(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell("x" * (n % 7) * 500)}).tid for n in range(100)]

        for n in (1, 33, 50, 66, 98):
            assert self._tids(storage, tids[n]) == tids[n:]
            assert self._tids(storage, tids[n], tids[n]) == [tids[n]]

    def test_a_transaction_without_records_is_yielded(self, storage: AnyStorage) -> None:
        start = after(storage.lastTransaction())
        tid = commit(storage, lambda transaction: None, TransactionMetaData("me", "idle")).tid

        [(found, status, user, description, extension, records)] = transactions(storage, start)

        assert (found, status, user, description) == (tid, " ", b"me", b"idle")
        assert (extension, records) == ({}, [])

    @pytest.mark.parametrize("text", SCRIPTS, ids=ascii)
    def test_metadata_survives_in_every_script(self, storage: AnyStorage, text: str) -> None:
        extension = {"note": text, "nested": {"list": [text, 1, None]}}
        metadata = TransactionMetaData(text, text, dict(extension))
        tid = write(storage, {A: cell(1)}, metadata=metadata).tid

        [transaction] = storage.iterator(tid, tid)

        assert transaction.user == text.encode()
        assert transaction.description == text.encode()
        assert transaction.extension == extension

    def test_metadata_of_any_bytes_survives(self, storage: AnyStorage) -> None:
        user, description = bytes(range(256)), bytes(range(255, -1, -1)) * 50
        tid = write(storage, {A: cell(1)}, metadata=TransactionMetaData(user, description)).tid

        [transaction] = storage.iterator(tid, tid)

        assert (transaction.user, transaction.description) == (user, description)

    @pytest.mark.parametrize("protocol", [0, 1, 2, 3])
    def test_extension_bytes_come_back_exactly(self, storage: AnyStorage, protocol: int) -> None:
        given = pickle.dumps({"key": ["value", 1.5]}, protocol)
        tid = write(storage, {A: cell(1)}, metadata=TransactionMetaData(extension=given)).tid

        [transaction] = storage.iterator(tid, tid)

        assert transaction.extension_bytes == given
        assert transaction.extension == {"key": ["value", 1.5]}

    def test_no_extension_is_no_bytes(self, storage: AnyStorage) -> None:
        tid = write(storage, {A: cell(1)}).tid

        [transaction] = storage.iterator(tid, tid)

        assert transaction.extension_bytes == b""
        assert transaction.extension == {}

    def test_a_finished_transaction_has_a_blank_status(self, storage: AnyStorage) -> None:
        tid = write(storage, {A: cell(1)}).tid

        [transaction] = storage.iterator(tid, tid)

        assert transaction.status == " "

    def test_an_iteration_can_be_left_and_started_again(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell(n)}).tid for n in range(3)]

        left = storage.iterator(tids[0])
        assert next(left).tid == tids[0]
        close = getattr(left, "close", None)  # a generator's, or a file's
        if close is not None:
            close()

        assert self._tids(storage, tids[0]) == tids

    def test_an_iteration_is_not_disturbed_by_commits(self, storage: AnyStorage) -> None:
        tids = [write(storage, {A: cell(n)}).tid for n in range(3)]
        iteration = storage.iterator(tids[0])
        seen = [next(iteration).tid]

        later = write(storage, {A: cell(3)}).tid
        seen += [transaction.tid for transaction in iteration]

        assert seen in (tids, [*tids, later])

    def test_an_unfinished_transaction_is_not_yielded(self, storage: AnyStorage) -> None:
        tid = write(storage, {A: cell(0)}).tid
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(A, tid, cell(1), "", transaction)
        storage.tpc_vote(transaction)

        assert self._tids(storage, tid) == [tid]

        storage.tpc_abort(transaction)
        assert self._tids(storage, tid) == [tid]
