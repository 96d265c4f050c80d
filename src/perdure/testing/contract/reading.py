"""Reading: revisions at every edge, history, and what a storage says about itself."""

import pytest

from perdure.clock import time_of
from perdure.ids import MAX_TID, ROOT_OID, ZERO, after, before
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, revisions, write

__all__ = ["ReadingContract"]

OID = b"\0" * 7 + b"\x01"
OTHER = b"\0" * 7 + b"\x02"
UNKNOWN = b"\0" * 6 + b"\x77\x77"


class ReadingContract(Suite):
    """`loadBefore`, `loadSerial`, `history`, `new_oid` and the small facts."""

    def test_an_unknown_oid_is_a_pos_key_error_that_names_it(self, storage: AnyStorage) -> None:
        tid = write(storage, {OID: cell(1)}).tid
        for read in (
            lambda: storage.loadBefore(UNKNOWN, MAX_TID),
            lambda: storage.loadBefore(UNKNOWN, tid),
            lambda: storage.loadSerial(UNKNOWN, tid),
            lambda: storage.history(UNKNOWN),
        ):
            with pytest.raises(self.errors.POSKeyError) as caught:
                read()
            assert caught.value.args[0] == UNKNOWN

    def test_load_before_finds_the_revision_of_any_moment(self, storage: AnyStorage) -> None:
        tids = [write(storage, {OID: cell(n)}).tid for n in range(3)]
        ends = [*tids[1:], None]

        assert storage.loadBefore(OID, tids[0]) is None
        assert storage.loadBefore(OID, ZERO) is None
        for n in range(3):
            revision = (cell(n), tids[n], ends[n])
            assert storage.loadBefore(OID, after(tids[n])) == revision
            assert storage.loadBefore(OID, tids[n + 1] if n < 2 else MAX_TID) == revision
        assert storage.loadBefore(OID, before(tids[1])) == (cell(0), tids[0], tids[1])

    def test_transactions_of_other_objects_leave_a_revision_alone(
        self, storage: AnyStorage
    ) -> None:
        write(storage, {OTHER: cell(0)})
        first = write(storage, {OID: cell(1)}).tid
        between = write(storage, {OTHER: cell(2)}).tid
        second = write(storage, {OID: cell(3)}).tid
        last = write(storage, {OTHER: cell(4)}).tid

        assert storage.loadBefore(OID, between) == (cell(1), first, second)
        assert storage.loadBefore(OID, after(between)) == (cell(1), first, second)
        assert storage.loadBefore(OID, after(last)) == (cell(3), second, None)
        assert [revision.tid for revision in revisions(storage, OID)] == [second, first]

    def test_load_serial_finds_each_revision_by_its_tid_only(self, storage: AnyStorage) -> None:
        first = write(storage, {OID: cell(1)}).tid
        between = write(storage, {OTHER: cell(2)}).tid
        second = write(storage, {OID: cell(3)}).tid

        assert storage.loadSerial(OID, first) == cell(1)
        assert storage.loadSerial(OID, second) == cell(3)
        for serial in (ZERO, before(first), after(first), between, after(second)):
            with pytest.raises(self.errors.POSKeyError):
                storage.loadSerial(OID, serial)

    def test_history_is_newest_first_and_as_long_as_asked(self, storage: AnyStorage) -> None:
        records = [cell("x" * n) for n in range(4)]
        tids = [write(storage, {OID: data}).tid for data in records]

        assert [entry["tid"] for entry in storage.history(OID)] == tids[:-2:-1]
        assert [entry["tid"] for entry in storage.history(OID, 2)] == tids[:1:-1]
        assert [entry["tid"] for entry in storage.history(OID, 100)] == tids[::-1]
        sizes = [entry["size"] for entry in storage.history(OID, 100)]
        assert sizes == [len(data) for data in reversed(records)]

    def test_history_tells_time_user_and_description(self, storage: AnyStorage) -> None:
        tid = write(
            storage, {OID: cell(1)}, metadata=TransactionMetaData("Zoë", "eine Änderung")
        ).tid

        [entry] = storage.history(OID)

        assert entry["time"] == pytest.approx(time_of(tid), abs=0.001)
        assert entry["user_name"] == "Zoë".encode()
        assert entry["description"] == "eine Änderung".encode()

    def test_history_shows_what_the_extension_holds(self, storage: AnyStorage) -> None:
        extension = {"ticket": 4711, "request": "/übersicht"}
        write(storage, {OID: cell(1)}, metadata=TransactionMetaData(extension=extension))

        [entry] = storage.history(OID)

        assert {key: entry[key] for key in extension} == extension

    def test_last_transaction_is_zero_before_the_first(self, storage: AnyStorage) -> None:
        if not self.starts_empty:
            assert storage.lastTransaction() > ZERO
            return
        assert storage.lastTransaction() == ZERO
        tid = write(storage, {OID: cell(1)}).tid
        assert storage.lastTransaction() == tid

    def test_the_root_is_an_object_like_any_other(self, storage: AnyStorage) -> None:
        tid = write(storage, {ROOT_OID: cell("root")}).tid

        assert storage.loadBefore(ROOT_OID, MAX_TID) == (cell("root"), tid, None)

    def test_a_record_is_kept_byte_by_byte(self, storage: AnyStorage) -> None:
        # Layers and transforming wrappers store bytes that are no pickles.
        records = {
            b"\0" * 7 + bytes([n]): bytes(data)
            for n, data in enumerate([b"\0", b".", bytes(range(256)), b"\xff" * 70_000], start=1)
        }
        tid = write(storage, records).tid

        for oid, data in records.items():
            assert storage.loadBefore(oid, MAX_TID) == (data, tid, None)

    def test_oids_are_new_each_time(self, storage: AnyStorage) -> None:
        oids = [storage.new_oid() for _ in range(1000)]

        assert len(set(oids)) == 1000
        assert ROOT_OID not in oids
        assert {len(oid) for oid in oids} == {8}

    def test_an_oid_in_use_is_not_handed_out(self, storage: AnyStorage) -> None:
        start = int.from_bytes(storage.new_oid(), "big")
        taken = {(start + n).to_bytes(8, "big"): cell(n) for n in range(1, 20)}
        write(storage, taken)

        assert not taken.keys() & {storage.new_oid() for _ in range(100)}

    def test_a_storage_describes_itself(self, storage: AnyStorage) -> None:
        write(storage, {OID: cell(1)})

        assert isinstance(storage.getName(), str)
        assert isinstance(storage.sortKey(), str)
        assert storage.sortKey() == storage.sortKey()
        assert storage.getSize() >= 0
        assert len(storage) >= 0
        assert storage.isReadOnly() is False
