"""Conflicts: when a transaction is refused, what the error says, and resolution."""

import zlib

import pytest
from BTrees.Length import Length
from BTrees.OOBTree import OOBucket

from perdure.ids import ZERO
from perdure.interfaces import HasMetaData
from perdure.testing.contract.records import (
    Obstinate,
    Ref,
    Tally,
    cell,
    holder,
    record,
    references,
    state_of,
    tally,
)
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.threads import at_once, meeting
from perdure.testing.contract.transactions import (
    AnyStorage,
    commit,
    contents,
    current,
    revisions,
    write,
)

__all__ = ["ConflictContract", "Squeezing"]

OID = b"\0" * 7 + b"\x01"
OTHER = b"\0" * 7 + b"\x02"
A, B, C = (b"\0" * 7 + bytes([n]) for n in (11, 12, 13))


class Squeezing:
    """A wrapper that keeps records compressed, as storages above others do."""

    def invalidateCache(self) -> None:
        """Nothing is cached."""

    def invalidate(self, transaction_id: bytes, oids: object) -> None:
        """Nothing is cached."""

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        return references(self.untransform_record_data(record), oids)

    def transform_record_data(self, data: bytes) -> bytes:
        return b".squeezed:" + zlib.compress(data)

    def untransform_record_data(self, data: bytes) -> bytes:
        return zlib.decompress(data.removeprefix(b".squeezed:"))


class ConflictContract(Suite):
    """A transaction that would overwrite unseen work fails, or is resolved."""

    def test_a_stale_serial_is_a_conflict_that_tells_its_facts(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: cell(0)}).tid
        committed = write(storage, {OID: cell(1)}).tid

        with pytest.raises(self.errors.ConflictError) as caught:
            write(storage, {OID: cell(2)}, {OID: read})

        error = caught.value
        assert error.oid == OID
        assert error.serials == (committed, read)
        assert error.class_name == "perdure.testing.contract.records.Cell"
        assert not isinstance(error, self.errors.ReadConflictError)

    def test_a_conflict_changes_nothing(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: cell(0), OTHER: cell(0)}).tid
        write(storage, {OID: cell(1)})
        before = contents(storage, [OID, OTHER])

        with pytest.raises(self.errors.ConflictError):
            write(storage, {OTHER: cell(2), OID: cell(2)}, {OID: read})

        assert contents(storage, [OID, OTHER]) == before
        tid = write(storage, {OTHER: cell(3), OID: cell(3)}).tid
        assert current(storage, OID) == (cell(3), tid, None)

    def test_creating_what_exists_is_a_conflict(self, storage: AnyStorage) -> None:
        write(storage, {OID: cell(0)})

        with pytest.raises(self.errors.ConflictError):
            write(storage, {OID: cell(1)}, {OID: ZERO})

    def test_even_equal_bytes_conflict(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: cell(0)}).tid
        write(storage, {OID: cell(1)})

        with pytest.raises(self.errors.ConflictError):
            write(storage, {OID: cell(1)}, {OID: read})

    def test_of_two_that_store_at_once_one_wins(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: cell(0)}).tid
        won: list[int] = []
        lost: list[int] = []

        meet = meeting(2)

        def change(n: int) -> None:
            def work(transaction: HasMetaData) -> None:
                storage.store(OID, read, cell(n), "", transaction)
                meet()

            try:
                commit(storage, work)
            except self.errors.ConflictError:
                lost.append(n)
            else:
                won.append(n)

        at_once(lambda: change(1), lambda: change(2))

        assert len(won) == len(lost) == 1
        assert [revision.data for revision in revisions(storage, OID)] == [cell(won[0]), cell(0)]

    def test_a_class_can_resolve_a_conflict(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: tally(10)}).tid
        committed = write(storage, {OID: tally(12)}).tid

        outcome = write(storage, {OID: tally(15), OTHER: cell(0)}, {OID: read})

        assert outcome.resolved == {OID}
        revision = current(storage, OID)
        assert revision is not None
        assert state_of(revision.data) == {"count": 17}
        assert revision.tid == outcome.tid
        assert storage.loadSerial(OID, outcome.tid) == revision.data
        assert storage.loadSerial(OID, committed) == tally(12)
        assert current(storage, OTHER) == (cell(0), outcome.tid, None)

    def test_what_is_not_in_conflict_is_not_reported_as_resolved(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: tally(10), OTHER: tally(0)}).tid
        write(storage, {OID: tally(12)})

        assert write(storage, {OTHER: tally(1)}).resolved == frozenset()
        outcome = write(storage, {OTHER: tally(2), OID: tally(11)}, {OID: read})
        assert outcome.resolved == {OID}

    def test_several_conflicts_in_one_transaction_are_resolved(self, storage: AnyStorage) -> None:
        read = write(storage, {A: tally(0), B: tally(0), C: tally(0)}).tid
        write(storage, {A: tally(1), B: tally(2), C: tally(3)})
        serials = dict.fromkeys((A, B, C), read)

        outcome = write(storage, {A: tally(10), B: tally(20), C: tally(30)}, serials)

        assert outcome.resolved == {A, B, C}
        counts = [state_of(storage.loadSerial(oid, outcome.tid))["count"] for oid in (A, B, C)]
        assert counts == [11, 22, 33]

    def test_one_conflict_that_cannot_be_resolved_fails_them_all(self, storage: AnyStorage) -> None:
        read = write(storage, {A: tally(0), B: cell(0)}).tid
        write(storage, {A: tally(1), B: cell(1)})
        before = contents(storage, [A, B])

        with pytest.raises(self.errors.ConflictError):
            write(storage, {A: tally(2), B: cell(2)}, {A: read, B: read})

        assert contents(storage, [A, B]) == before

    def test_the_length_of_a_btree_resolves(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: record(Length, 100)}).tid
        write(storage, {OID: record(Length, 101)})

        tid = write(storage, {OID: record(Length, 98)}, {OID: read}).tid

        assert state_of(storage.loadSerial(OID, tid)) == 99

    def test_insertions_into_one_bucket_are_merged(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: _bucket(b=1, d=2)}).tid
        write(storage, {OID: _bucket(a=0, b=1, d=2)})

        tid = write(storage, {OID: _bucket(b=1, c=3, d=2)}, {OID: read}).tid

        merged = state_of(storage.loadSerial(OID, tid))
        assert merged == (("a", 0, "b", 1, "c", 3, "d", 2),)

    def test_the_same_key_twice_in_one_bucket_is_a_conflict(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: _bucket(b=1)}).tid
        write(storage, {OID: _bucket(a=1, b=1)})

        with pytest.raises(self.errors.ConflictError) as caught:
            write(storage, {OID: _bucket(a=2, b=1)}, {OID: read})

        assert caught.value.oid == OID

    def test_resolution_keeps_references(self, storage: AnyStorage) -> None:
        read = write(storage, {OID: holder(A), A: cell(1), B: cell(2), C: cell(3)}).tid
        write(storage, {OID: holder(A, B)})

        tid = write(storage, {OID: holder(A, C)}, {OID: read}).tid

        data = storage.loadSerial(OID, tid)
        assert sorted(references(data)) == [A, B, C]
        assert all(isinstance(value, Ref) for value in state_of(data).values())

    def test_a_failing_resolution_is_a_conflict(self, storage: AnyStorage) -> None:
        self._assert_unresolvable(storage, *(record(Obstinate, {"n": n}) for n in range(3)))

    def test_a_class_that_is_gone_is_a_conflict(self, storage: AnyStorage) -> None:
        def gone(count: int) -> bytes:
            return tally(count).replace(Tally.__name__.encode(), b"Tolly")

        self._assert_unresolvable(storage, gone(0), gone(1), gone(2))

    def test_a_record_that_is_no_pickle_is_a_conflict(self, storage: AnyStorage) -> None:
        self._assert_unresolvable(storage, b"no pickle 0", b"no pickle 1", b"no pickle 2")

    def _assert_unresolvable(
        self, storage: AnyStorage, first: bytes, second: bytes, third: bytes
    ) -> None:
        read = write(storage, {OID: first}).tid
        committed = write(storage, {OID: second}).tid

        with pytest.raises(self.errors.ConflictError) as caught:
            write(storage, {OID: third}, {OID: read})

        assert caught.value.oid == OID
        assert caught.value.serials == (committed, read)
        assert current(storage, OID) == (second, committed, None)

    def test_resolution_reads_and_writes_through_the_wrapper(self, storage: AnyStorage) -> None:
        wrapper = Squeezing()
        storage.registerDB(wrapper)
        squeezed = [wrapper.transform_record_data(tally(count)) for count in (10, 12, 15)]
        read = write(storage, {OID: squeezed[0]}).tid
        write(storage, {OID: squeezed[1]})

        tid = write(storage, {OID: squeezed[2]}, {OID: read}).tid

        data = storage.loadSerial(OID, tid)
        assert data.startswith(b".squeezed:")
        assert state_of(wrapper.untransform_record_data(data)) == {"count": 17}

    def test_a_resolved_state_can_conflict_again(self, storage: AnyStorage) -> None:
        first = write(storage, {OID: tally(0)}).tid
        second = write(storage, {OID: tally(1)}).tid
        write(storage, {OID: tally(10)}, {OID: first})

        tid = write(storage, {OID: tally(101)}, {OID: second}).tid

        assert state_of(storage.loadSerial(OID, tid)) == {"count": 111}

    def test_a_conflict_in_a_vote_or_store_leaves_the_commit_to_others(
        self, storage: AnyStorage
    ) -> None:
        read = write(storage, {OID: cell(0)}).tid
        write(storage, {OID: cell(1)})

        def work(transaction: HasMetaData) -> None:
            storage.store(OID, read, cell(2), "", transaction)

        with pytest.raises(self.errors.ConflictError):
            commit(storage, work)

        at_once(lambda: write(storage, {OTHER: cell(1)}))
        assert current(storage, OTHER) is not None


def _bucket(**items: object) -> bytes:
    return record(OOBucket, OOBucket(items).__getstate__())
