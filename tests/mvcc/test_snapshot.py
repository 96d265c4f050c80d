"""The races between committing and looking; each test fails if its guard is taken away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.errors import POSKeyError, ReadOnlyHistoryError, Unsupported
from perdure.ids import ZERO, after, p64
from perdure.interfaces import StorageWrapper, TransactionMetaData
from perdure.mvcc import Announcement, Snapshot, Snapshots
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage

X, Y = p64(1), p64(2)


class Interrupted(MappingStorage):
    """Lets something happen in the middle of a call."""

    before_last_transaction: Callable[[], object] | None = None
    after_last_transaction: Callable[[], object] | None = None
    at_registering: Callable[[], object] | None = None

    def lastTransaction(self) -> bytes:
        self._happen("before_last_transaction")
        last = super().lastTransaction()
        self._happen("after_last_transaction")
        return last

    def registerDB(self, wrapper: StorageWrapper) -> None:
        super().registerDB(wrapper)
        self.registered = wrapper
        self._happen("at_registering")

    def _happen(self, name: str) -> None:
        event = getattr(self, name)
        setattr(self, name, None)
        if event is not None:
            event()


def commit(snapshot: Snapshot, data: bytes, *oids: bytes) -> bytes:
    metadata = TransactionMetaData()
    snapshot.poll_invalidations()
    snapshot.tpc_begin(metadata)
    for oid in oids:
        try:
            serial = snapshot.load(oid).tid
        except POSKeyError:
            serial = ZERO
        snapshot.store(oid, serial, data, "", metadata)
    snapshot.tpc_vote(metadata)
    return snapshot.tpc_finish(metadata)


@pytest.fixture
def storage() -> Interrupted:
    return Interrupted()


@pytest.fixture
def shared(storage: Interrupted) -> Snapshots:
    return Snapshots(storage)


def test_a_snapshot_stays_where_it_is_until_it_is_polled(shared: Snapshots) -> None:
    writer, reader = shared.new_instance(), shared.new_instance()
    commit(writer, b"first", X)
    assert reader.poll_invalidations() == {X}
    commit(writer, b"second", X)
    assert reader.load(X).data == b"first"
    assert reader.poll_invalidations() == {X}
    assert reader.load(X).data == b"second"


def test_code_for_zodb_finds_where_a_snapshot_is(shared: Snapshots) -> None:
    snapshot = shared.new_instance()
    commit(snapshot, b"one", X)
    snapshot.poll_invalidations()
    zodb_name = "_start"
    assert getattr(snapshot, zodb_name) == snapshot.start > after(ZERO)


def test_a_snapshot_is_not_told_of_its_own_commits(shared: Snapshots) -> None:
    one, two = shared.new_instance(), shared.new_instance()
    commit(one, b"first", X)
    commit(two, b"second", Y)
    assert one.poll_invalidations() == {Y}
    assert two.poll_invalidations() == set()


def test_a_commit_just_after_looking_at_the_last_tid_is_not_lost(
    storage: Interrupted, shared: Snapshots
) -> None:
    writer, reader = shared.new_instance(), shared.new_instance()
    commit(writer, b"first", X)
    reader.poll_invalidations()
    storage.after_last_transaction = lambda: commit(writer, b"second", X)
    # The snapshot does not show it yet, so it must not be taken from the journal yet.
    assert reader.poll_invalidations() == set()
    assert reader.load(X).data == b"first"
    assert reader.poll_invalidations() == {X}
    assert reader.load(X).data == b"second"


def test_a_commit_just_before_looking_at_the_last_tid_is_told_at_once(
    storage: Interrupted, shared: Snapshots
) -> None:
    writer, reader = shared.new_instance(), shared.new_instance()
    commit(writer, b"first", X)
    reader.poll_invalidations()
    storage.before_last_transaction = lambda: commit(writer, b"second", X)
    # The snapshot shows it, so whoever has the object must hear of it.
    assert reader.poll_invalidations() == {X}
    assert reader.load(X).data == b"second"


def test_a_commit_while_the_database_registers_is_seen(storage: Interrupted) -> None:
    before = Snapshots(storage)
    storage.at_registering = lambda: commit(before.new_instance(), b"first", X)
    shared = Snapshots(storage)
    reader = shared.new_instance()
    reader.poll_invalidations()
    assert reader.load(X).data == b"first"


def test_a_storage_may_report_changes_as_soon_as_it_is_registered(storage: Interrupted) -> None:
    storage.at_registering = lambda: storage.registered.invalidate(ZERO, [X])
    Snapshots(storage)
    assert storage.at_registering is None


def test_a_change_while_a_snapshot_is_being_made_is_told(shared: Snapshots) -> None:
    writer = shared.new_instance()
    reader = shared.new_instance()  # has never been polled
    commit(writer, b"first", X)
    assert reader.poll_invalidations() == {X}


def test_the_snapshot_shows_its_own_commit_at_the_next_poll(shared: Snapshots) -> None:
    writer = shared.new_instance()
    tid = commit(writer, b"first", X)
    writer.poll_invalidations()
    assert writer.load(X) == (b"first", tid)


def test_an_abort_is_told_to_nobody(shared: Snapshots) -> None:
    writer, reader = shared.new_instance(), shared.new_instance()
    metadata = TransactionMetaData()
    writer.tpc_begin(metadata)
    writer.store(X, ZERO, b"never", "", metadata)
    writer.tpc_abort(metadata)
    commit(writer, b"first", Y)
    assert reader.poll_invalidations() == {Y}


def test_a_storage_that_lost_track_invalidates_everything(shared: Snapshots) -> None:
    reader = shared.new_instance()
    shared.invalidateCache()
    assert reader.poll_invalidations() is None


def test_whoever_listens_hears_of_commits_and_of_changes_from_elsewhere(
    storage: Interrupted,
) -> None:
    heard: list[bytes] = []
    shared = Snapshots(storage, lambda: heard.append(storage.lastTransaction()))
    tid = commit(shared.new_instance(), b"first", X)
    assert heard == [tid]  # visible by then
    shared.invalidate(tid, [X])
    shared.invalidateCache()
    assert len(heard) == 3


def test_an_undo_is_told_to_everybody(shared: Snapshots) -> None:
    writer, reader = shared.new_instance(), shared.new_instance()
    commit(writer, b"first", X)
    commit(writer, b"second", X)
    reader.poll_invalidations()
    writer.poll_invalidations()
    undo = shared.undo_instance()
    metadata = TransactionMetaData()
    undo.tpc_begin(metadata)
    undo.undo(shared.storage.undoLog(0, 1)[0]["id"], metadata)
    undo.tpc_vote(metadata)
    undo.tpc_finish(metadata)
    assert reader.poll_invalidations() == {X}
    assert writer.poll_invalidations() == {X}
    assert reader.load(X).data == b"first"


def test_the_past_stays_as_it_was_and_takes_nothing(shared: Snapshots) -> None:
    writer = shared.new_instance()
    tid = commit(writer, b"first", X)
    past = shared.before_instance(after(tid))
    commit(writer, b"second", X)
    assert past.load(X) == (b"first", tid)
    assert past.poll_invalidations() == set()
    assert past.isReadOnly()
    with pytest.raises(ReadOnlyHistoryError):
        past.new_oid()
    with pytest.raises(ReadOnlyHistoryError):
        past.tpc_begin(TransactionMetaData())
    with pytest.raises(POSKeyError):
        shared.before_instance(tid).load(X)


def test_blobs_need_a_storage_that_has_them(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data.fs")
    snapshot = Snapshots(storage).new_instance()
    with pytest.raises(Unsupported, match="does not keep blobs"):
        snapshot.loadBlob(X, ZERO)
    with pytest.raises(Unsupported, match="does not keep blobs"):
        Snapshots(storage).before_instance(after(ZERO)).loadBlob(X, ZERO)
    storage.close()


def test_only_what_the_journal_is_told_may_be_told_by_any_thread() -> None:
    given: list[object] = []

    class Storage(MappingStorage):
        def tpc_finish(
            self, transaction: TransactionMetaData, func: Callable[[bytes], object] | None = None
        ) -> bytes:
            given.append(func)
            return super().tpc_finish(transaction, func)

    snapshots = Snapshots(Storage())
    snapshot, other = snapshots.new_instance(), snapshots.new_instance()
    commit(snapshot, b"x", X)
    assert isinstance(given.pop(), Announcement)

    metadata, told = TransactionMetaData(), []
    snapshot.tpc_begin(metadata)
    snapshot.store(Y, ZERO, b"y", "", metadata)
    snapshot.tpc_vote(metadata)
    tid = snapshot.tpc_finish(metadata, told.append)
    assert told == [tid]
    assert not isinstance(given.pop(), Announcement)
    assert other.poll_invalidations() == {X, Y}
