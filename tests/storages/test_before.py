"""Views of the past."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples.suites import TESTED_BELOW

import perdure
from perdure.clock import time_of
from perdure.errors import POSKeyError, SnapshotError, StorageClosedError
from perdure.ids import MAX_TID, ROOT_OID, ZERO, after, before, p64
from perdure.interfaces import HasMetaData
from perdure.storages.before import BeforeStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.testing.contract import ReadOnlyContract
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.suite import Clock
from perdure.testing.contract.transactions import (
    commit,
    revisions,
    transactions,
    undo,
    undo_id,
    write,
)

A, B = p64(1), p64(2)


class TestBeforeOverMemory(ReadOnlyContract):
    tested_elsewhere: ClassVar[frozenset[str]] = TESTED_BELOW

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return MappingStorage

    @pytest.fixture
    def view(self) -> Callable[[Any], Any]:
        return BeforeStorage


class TestBeforeOverFile(TestBeforeOverMemory):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(tmp_path / name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(float(int(time.time())))
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture(params=["memory", "file"])
def below(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    storage = MappingStorage() if request.param == "memory" else FileStorage(tmp_path / "data.fs")
    yield storage
    storage.close()


def test_later_commits_below_stay_out_of_sight(below: Any) -> None:
    first = write(below, {A: cell(1)}).tid
    storage = BeforeStorage(below)
    write(below, {A: cell(2), B: cell(2)})

    assert storage.lastTransaction() == first
    assert storage.loadBefore(A, MAX_TID) == (cell(1), first, None)
    assert storage.load(A) == (cell(1), first)
    assert [entry["tid"] for entry in storage.history(A, 9)] == [first]
    assert [entry[0] for entry in transactions(storage)] == [first]
    for read in (
        lambda: storage.load(B),
        lambda: storage.history(B),
        lambda: storage.loadSerial(A, below.lastTransaction()),
    ):
        with pytest.raises(POSKeyError):
            read()


def test_a_revision_ends_within_the_view_or_not_at_all(below: Any) -> None:
    tids = [write(below, {A: cell(n)}).tid for n in range(4)]
    storage = BeforeStorage(below, tids[2])

    assert revisions(storage, A) == [(cell(1), tids[1], None), (cell(0), tids[0], tids[1])]
    assert storage.loadBefore(A, tids[1]) == (cell(0), tids[0], tids[1])
    assert storage.loadBefore(A, tids[3]) == (cell(1), tids[1], None)
    assert storage.loadBefore(A, tids[0]) is None


def test_the_history_is_filled_up_from_below_the_moment(below: Any) -> None:
    tids = [write(below, {A: cell(n)}).tid for n in range(20)]
    storage = BeforeStorage(below, tids[5])

    assert [entry["tid"] for entry in storage.history(A)] == [tids[4]]
    assert [entry["tid"] for entry in storage.history(A, 3)] == [tids[4], tids[3], tids[2]]
    assert [entry["tid"] for entry in storage.history(A, 99)] == tids[4::-1]


def test_iteration_ends_before_the_moment(below: Any) -> None:
    tids = [write(below, {A: cell(n)}).tid for n in range(5)]
    storage = BeforeStorage(below, tids[3])

    assert [t.tid for t in storage.iterator()] == tids[:3]
    assert [t.tid for t in storage.iterator(tids[1], tids[4])] == tids[1:3]
    assert [t.tid for t in storage.iterator(tids[1], tids[1])] == tids[1:2]
    assert [t.tid for t in storage.iterator(tids[3])] == []


def test_an_object_deleted_later_is_still_there(below: Any) -> None:
    first = write(below, {A: cell(1)}).tid
    storage = BeforeStorage(below)

    def delete(transaction: HasMetaData) -> None:
        below.deleteObject(A, first, transaction)

    commit(below, delete)

    assert storage.load(A) == (cell(1), first)


def test_an_object_gone_by_then_is_gone(below: Any) -> None:
    write(below, {B: cell(0)})
    write(below, {A: cell(1)})
    undo(below, undo_id(below))
    storage = BeforeStorage(below)
    undo(below, undo_id(below))

    with pytest.raises(POSKeyError):
        storage.load(A)


def test_the_moment_is_a_tid_a_datetime_or_a_text(below: Any, clock: Clock) -> None:
    tids = []
    for n in range(3):
        tids.append(write(below, {A: cell(n)}).tid)
        clock.advance(60)
    moment = datetime.fromtimestamp(time_of(tids[1]) + 1, UTC)

    for before_ in (
        after(tids[1]),
        moment,
        moment.replace(tzinfo=None),
        moment.isoformat(),
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        after(tids[1]).hex(),
    ):
        assert BeforeStorage(below, before_).load(A) == (cell(1), tids[1])


def test_a_moment_to_come_is_now(below: Any) -> None:
    first = write(below, {A: cell(1)}).tid
    storage = BeforeStorage(below, datetime.now(UTC) + timedelta(days=1000))
    write(below, {A: cell(2)})

    assert storage.before == after(first)
    assert storage.load(A) == (cell(1), first)
    assert BeforeStorage(below, MAX_TID).load(A).data == cell(2)


@pytest.mark.parametrize("moment", ["yesterday", "", "2026-13-01", b"short", b""])
def test_a_moment_that_is_none_is_a_value_error(moment: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|neither"):
        BeforeStorage(MappingStorage(), moment)


def test_an_empty_storage_can_be_viewed(below: Any) -> None:
    storage = BeforeStorage(below)
    write(below, {A: cell(1)})

    assert storage.lastTransaction() == ZERO
    assert list(storage.iterator()) == []
    with pytest.raises(POSKeyError):
        storage.load(A)


def test_a_moment_before_the_first_transaction_is_refused(below: Any) -> None:
    first = write(below, {A: cell(1)}).tid

    for moment in (first, before(first), "1999-01-01", ZERO):
        with pytest.raises(SnapshotError, match=first.hex()) as caught:
            BeforeStorage(below, moment)
    assert caught.value.before == ZERO


def test_packing_below_up_to_the_moment_leaves_the_view_whole(below: Any, clock: Clock) -> None:
    for n in range(3):
        clock.advance(1)
        write(below, {ROOT_OID: cell(n)})
    packed_at = clock()
    clock.advance(1)
    storage = BeforeStorage(below)
    write(below, {ROOT_OID: cell(9)})

    below.pack(packed_at, references)

    assert storage.load(ROOT_OID).data == cell(2)


def test_packing_away_the_moment_is_noticed(below: Any, clock: Clock) -> None:
    clock.advance(1)
    write(below, {ROOT_OID: holder(A), A: cell(1), B: cell("garbage")})
    kept = below.lastTransaction()
    storage = BeforeStorage(below)
    clock.advance(1)
    write(below, {ROOT_OID: holder()})

    below.pack(clock.advance(1), references)

    # The root changed since, and A became garbage: neither can be shown any more.
    for read in (
        lambda: storage.load(ROOT_OID),
        lambda: storage.load(A),
        lambda: storage.loadSerial(ROOT_OID, kept),
        lambda: storage.history(ROOT_OID),
        lambda: list(storage.iterator()),
    ):
        with pytest.raises(SnapshotError, match="packed"):
            read()


def test_packing_away_a_blob_of_the_moment_is_noticed(tmp_path: Path) -> None:
    db = perdure.DB(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
    with db.transaction() as connection:
        connection.root.cover = cover = perdure.Blob(b"first")
        connection.add(cover)
        oid = cover._p_oid
    first = db.lastTransaction()
    view = BeforeStorage(db.storage, close_base=False)
    assert Path(view.loadBlob(oid, first)).read_bytes() == b"first"
    with db.transaction() as connection, connection.root.cover.open("w") as file:
        file.write(b"second")
    db.pack()

    for read in (view.loadBlob, view.openCommittedBlobFile):
        with pytest.raises(SnapshotError, match="packed"):
            read(oid, first)
    db.close()


def test_a_view_that_closed_reads_nothing(below: Any) -> None:
    write(below, {A: cell(1)})
    storage = BeforeStorage(below, close_base=False)
    storage.close()

    with pytest.raises(StorageClosedError):
        storage.load(A)
    assert below.load(A).data == cell(1)
    BeforeStorage(below).close()
    with pytest.raises(StorageClosedError):
        below.load(A)


@given(
    steps=st.lists(
        st.dictionaries(st.integers(1, 4), st.integers(0, 99), min_size=1), min_size=1, max_size=8
    ),
    data=st.data(),
)
def test_a_view_equals_the_storage_as_it_was(
    steps: list[dict[int, int]], data: st.DataObject
) -> None:
    below = MappingStorage()
    cut = data.draw(st.integers(1, len(steps)))
    seen = None
    tids = []
    for number, step in enumerate(steps, start=1):
        tids.append(write(below, {p64(oid): cell(value) for oid, value in step.items()}).tid)
        if number == cut:
            seen = _everything(below, tids)

    assert _everything(BeforeStorage(below, after(tids[cut - 1])), tids[:cut]) == seen


def _everything(storage: Any, tids: list[bytes]) -> list[Any]:
    found: list[Any] = [storage.lastTransaction(), transactions(storage)]
    for oid in (p64(n) for n in range(1, 5)):
        found.append(revisions(storage, oid))
        for tid in tids:
            for bound in (tid, after(tid)):
                try:
                    found.append(storage.loadBefore(oid, bound))
                except POSKeyError:
                    found.append(None)
    return found
