"""Packing: what may go, what must stay, and that nothing else is disturbed."""

from collections.abc import Iterable

import pytest

from perdure.ids import MAX_TID, ROOT_OID, after
from perdure.testing.contract.records import cell, holder, references, state_of, tally
from perdure.testing.contract.suite import Clock, Suite
from perdure.testing.contract.threads import at_once
from perdure.testing.contract.transactions import AnyStorage, current, revisions, write

__all__ = ["PackContract"]

A, B, C, D = (b"\0" * 7 + bytes([n]) for n in (1, 2, 3, 4))


class PackContract(Suite):
    """Pack drops what nobody can want as of the pack time, and nothing else."""

    def test_packing_an_empty_storage_is_harmless(self, storage: AnyStorage, clock: Clock) -> None:
        storage.pack(clock(), references)

        clock.advance(1)
        write(storage, {ROOT_OID: cell(1)})
        assert current(storage, ROOT_OID) is not None

    def test_revisions_that_were_old_then_are_dropped(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        tids = _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(4)))

        storage.pack(clock.advance(1), references)

        assert revisions(storage, ROOT_OID) == [(cell(3), tids[3], None)]
        for tid in tids[:3]:
            with pytest.raises(self.errors.POSKeyError):
                storage.loadSerial(ROOT_OID, tid)
        assert storage.lastTransaction() == tids[3]

    def test_a_dropped_revision_is_never_answered_with_another(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        tids = _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(3)))

        storage.pack(clock.advance(1), references)

        for tid in tids:
            try:
                assert storage.loadBefore(ROOT_OID, tid) is None
            except self.errors.POSKeyError:
                continue

    def test_what_was_current_at_the_pack_time_or_came_later_stays(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        tids = _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(2)))
        packed_at = clock.advance(1)
        tids += _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(2, 4)))

        storage.pack(packed_at, references)

        assert revisions(storage, ROOT_OID) == [
            (cell(3), tids[3], None),
            (cell(2), tids[2], tids[3]),
            (cell(1), tids[1], tids[2]),
        ]
        assert storage.loadBefore(ROOT_OID, after(tids[1])) == (cell(1), tids[1], tids[2])
        assert [e["tid"] for e in storage.history(ROOT_OID, 9)] == tids[:0:-1]

    def test_what_the_root_reaches_stays(self, storage: AnyStorage, clock: Clock) -> None:
        _write_ticking(
            storage,
            clock,
            [{ROOT_OID: holder(A), A: holder(B), B: cell(1), C: cell(1)}, {ROOT_OID: holder(A, C)}],
        )

        storage.pack(clock.advance(1), references)

        assert all(current(storage, oid) for oid in (ROOT_OID, A, B, C))

    def test_what_nothing_reaches_goes(self, storage: AnyStorage, clock: Clock) -> None:
        _write_ticking(
            storage,
            clock,
            [
                {ROOT_OID: holder(A, B), A: cell(1), B: holder(C), C: holder(B)},
                {ROOT_OID: holder(A)},
            ],
        )

        storage.pack(clock.advance(1), references)

        kept = [oid for oid in (ROOT_OID, A, B, C) if current(storage, oid)]
        expected = [ROOT_OID, A] if self.collects_garbage else [ROOT_OID, A, B, C]
        assert kept == expected

    def test_what_was_reached_at_the_pack_time_stays(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        _write_ticking(storage, clock, [{ROOT_OID: holder(A), A: cell(1)}])
        packed_at = clock.advance(1)
        _write_ticking(storage, clock, [{ROOT_OID: holder()}])

        storage.pack(packed_at, references)

        assert current(storage, A) is not None

    def test_what_a_later_transaction_reaches_stays(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        _write_ticking(storage, clock, [{ROOT_OID: holder(A), A: cell(1), B: cell(1)}])
        packed_at = clock.advance(1)
        _write_ticking(storage, clock, [{ROOT_OID: holder(A, B)}])

        storage.pack(packed_at, references)

        assert current(storage, B) is not None

    def test_what_is_newer_than_the_pack_stays_though_nothing_reaches_it(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        _write_ticking(storage, clock, [{ROOT_OID: cell(1)}])
        packed_at = clock.advance(1)
        _write_ticking(storage, clock, [{A: cell(1)}])

        storage.pack(packed_at, references)

        assert current(storage, A) is not None

    def test_packing_again_changes_nothing(self, storage: AnyStorage, clock: Clock) -> None:
        _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(3)))
        packed_at = clock.advance(1)
        storage.pack(packed_at, references)
        before = revisions(storage, ROOT_OID)

        storage.pack(packed_at, references)

        assert revisions(storage, ROOT_OID) == before

    def test_after_a_pack_commits_and_conflicts_go_on(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        tids = _write_ticking(storage, clock, ({ROOT_OID: cell(n)} for n in range(3)))
        storage.pack(clock.advance(1), references)
        clock.advance(1)

        with pytest.raises(self.errors.ConflictError):
            write(storage, {ROOT_OID: cell(9)}, {ROOT_OID: tids[1]})
        tid = write(storage, {ROOT_OID: cell(3)}).tid

        assert storage.loadBefore(ROOT_OID, MAX_TID) == (cell(3), tid, None)
        assert storage.loadBefore(ROOT_OID, tid) == (cell(2), tids[2], tid)

    def test_a_conflict_with_a_base_that_was_packed_away_is_a_conflict(
        self, storage: AnyStorage, clock: Clock
    ) -> None:
        tids = _write_ticking(storage, clock, ({ROOT_OID: tally(n)} for n in range(2)))
        storage.pack(clock.advance(1), references)
        clock.advance(1)

        with pytest.raises(self.errors.ConflictError):
            write(storage, {ROOT_OID: tally(5)}, {ROOT_OID: tids[0]})

    def test_commits_during_a_pack_are_kept(self, storage: AnyStorage, clock: Clock) -> None:
        _write_ticking(storage, clock, [{ROOT_OID: holder(A), A: tally(-1)}])
        _write_ticking(storage, clock, ({A: tally(n)} for n in range(50)))
        packed_at = clock.advance(1)
        clock.advance(1)

        def count() -> None:
            for n in range(50, 100):
                write(storage, {A: tally(n)})

        at_once(lambda: storage.pack(packed_at, references), count)

        found = [state_of(revision.data)["count"] for revision in revisions(storage, A)]
        assert found == list(range(99, 48, -1))


def _write_ticking(
    storage: AnyStorage, clock: Clock, steps: Iterable[dict[bytes, bytes]]
) -> list[bytes]:
    """Commit each of `steps`, a second apart; return the tids."""
    tids = []
    for records in steps:
        clock.advance(1)
        tids.append(write(storage, records).tid)
    return tids
