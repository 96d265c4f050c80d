"""Many threads: no update lost, every snapshot whole, tids that only grow."""

import threading
import time
from functools import partial

import pytest

from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell, state_of
from perdure.testing.contract.suite import Clock, Suite
from perdure.testing.contract.threads import PATIENCE_S, at_once
from perdure.testing.contract.transactions import AnyStorage, commit, current, revisions, write

__all__ = ["ConcurrencyContract"]

THREADS = 4
ROUNDS = 25
SHARED = p64(1000)


class ConcurrencyContract(Suite):
    """What the other suites promise to one thread, promised to several."""

    def test_no_update_is_lost(self, storage: AnyStorage) -> None:
        mine = [p64(n) for n in range(1, THREADS + 1)]
        write(storage, {oid: cell(0) for oid in [SHARED, *mine]})

        def count(own: bytes) -> None:
            for _ in range(ROUNDS):
                while True:
                    read = {oid: storage.loadBefore(oid, MAX_TID) for oid in (own, SHARED)}
                    records = {}
                    serials = {}
                    for oid, revision in read.items():
                        assert revision is not None
                        records[oid] = cell(state_of(revision[0])["value"] + 1)
                        serials[oid] = revision[1]
                    try:
                        write(storage, records, serials)
                    except self.errors.ConflictError:
                        continue
                    break

        at_once(*(partial(count, oid) for oid in mine))

        values = [state_of(revisions(storage, oid)[0].data)["value"] for oid in [SHARED, *mine]]
        assert values == [THREADS * ROUNDS] + [ROUNDS] * THREADS
        assert len(revisions(storage, SHARED)) == THREADS * ROUNDS + 1

    def test_every_snapshot_is_whole_while_others_commit(self, storage: AnyStorage) -> None:
        # The two cells always hold the same number; a reader that sees one commit
        # in halves sees two different ones.
        left, right = p64(1), p64(2)
        write(storage, {left: cell(0), right: cell(0)})
        done = threading.Event()

        def change() -> None:
            try:
                for n in range(1, 151):
                    write(storage, {left: cell(n), right: cell(n)})
            finally:
                done.set()

        def read() -> None:
            last_chance = False
            while not last_chance:
                last_chance = done.is_set()
                tid = storage.lastTransaction()
                seen = [storage.loadBefore(oid, after(tid)) for oid in (left, right)]
                found = [revision for revision in seen if revision is not None]
                assert len(found) == 2
                for _, start, end in found:
                    assert start <= tid
                    assert end is None or end > tid
                assert found[0][0] == found[1][0]

        at_once(change, read, read)

    def test_a_reader_during_tpc_finish_sees_the_old_or_the_new(self, storage: AnyStorage) -> None:
        old = write(storage, {SHARED: cell("old")}).tid
        seen: list[tuple[bytes, object]] = []

        def read() -> None:
            tid = storage.lastTransaction()
            seen.append((tid, storage.loadBefore(SHARED, after(tid))))

        reader = threading.Thread(target=read, daemon=True)
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(SHARED, old, cell("new"), "", transaction)
        storage.tpc_vote(transaction)
        tid = storage.tpc_finish(transaction, lambda tid: reader.start())
        reader.join(PATIENCE_S)

        assert seen in (
            [(old, (cell("old"), old, None))],
            [(old, (cell("old"), old, tid))],
            [(tid, (cell("new"), tid, None))],
        )

    def test_commits_of_several_threads_have_tids_of_their_own(self, storage: AnyStorage) -> None:
        tids: list[bytes] = []

        def change(oid: bytes) -> None:
            mine = [write(storage, {oid: cell(n)}).tid for n in range(ROUNDS)]
            assert mine == sorted(mine)
            tids.extend(mine)

        at_once(*(partial(change, p64(n)) for n in range(1, THREADS + 1)))

        assert len(set(tids)) == THREADS * ROUNDS
        assert storage.lastTransaction() == max(tids)

    def test_an_abort_lets_the_next_one_in(self, storage: AnyStorage) -> None:
        def change_or_abort(oid: bytes) -> None:
            for n in range(ROUNDS):
                transaction = TransactionMetaData()
                storage.tpc_begin(transaction)
                storage.store(oid, ZERO, cell(n), "", transaction)
                if n % 3:
                    storage.tpc_vote(transaction)
                storage.tpc_abort(transaction)

        at_once(*(partial(change_or_abort, p64(n)) for n in range(1, THREADS + 1)))

        assert storage.lastTransaction() == ZERO or not self.starts_empty
        write(storage, {p64(1): cell(1)})

    def test_one_that_waits_commits_after_the_one_that_holds(self, storage: AnyStorage) -> None:
        first, second = p64(1), p64(2)
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        storage.store(first, ZERO, cell(1), "", transaction)
        storage.tpc_vote(transaction)
        started = threading.Event()
        tids = []

        def wait() -> None:
            started.set()
            tids.append(write(storage, {second: cell(2)}).tid)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        assert started.wait(PATIENCE_S)
        assert current(storage, second) is None
        tid = storage.tpc_finish(transaction)
        waiting.join(PATIENCE_S)

        assert len(tids) == 1
        assert tids[0] > tid

    def test_oids_handed_to_several_threads_differ(self, storage: AnyStorage) -> None:
        oids: list[bytes] = []

        def take() -> None:
            oids.extend([storage.new_oid() for _ in range(500)])

        at_once(*[take] * THREADS)

        assert len(set(oids)) == len(oids) == 500 * THREADS

    @pytest.mark.parametrize("step_s", [0.0, -1.0, -86400.0])
    def test_tids_grow_even_when_the_clock_does_not(
        self, storage: AnyStorage, clock: Clock, step_s: float
    ) -> None:
        tids = [write(storage, {SHARED: cell(0)}).tid]
        for n in range(1, 10):
            clock.advance(step_s)
            tids.append(write(storage, {SHARED: cell(n)}).tid)

        assert tids == sorted(set(tids))
        for n, tid in enumerate(tids):
            assert storage.loadSerial(SHARED, tid) == cell(n)

    def test_a_large_transaction_takes_seconds_at_most(self, storage: AnyStorage) -> None:
        block = bytes(range(256)) * 4096  # a megabyte
        begin = time.perf_counter()

        def work(transaction: TransactionMetaData) -> None:
            for n in range(1, self.large_mb + 1):
                storage.store(p64(n), ZERO, b"%06d" % n + block, "", transaction)

        tid = commit(storage, work).tid

        for n in (1, self.large_mb):
            assert storage.loadBefore(p64(n), MAX_TID) == (b"%06d" % n + block, tid, None)
        assert time.perf_counter() - begin < PATIENCE_S / 2
