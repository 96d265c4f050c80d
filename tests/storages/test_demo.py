"""Demo storages: changes over a base, in stacks, against one storage that has it all."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from BTrees.Length import Length
from hypothesis import given, settings
from hypothesis import strategies as st
from transaction import manager
from ZODB.DemoStorage import DemoStorage as ZODBDemoStorage
from zope.interface import classImplementsOnly

import perdure
from perdure.capabilities import capabilities_of
from perdure.clock import tid_at
from perdure.errors import (
    BaseChangedError,
    ConflictError,
    POSKeyError,
    ReadConflictError,
    ReadOnlyError,
    StorageClosedError,
    StorageError,
    UndoError,
    Unsupported,
)
from perdure.ids import MAX_TID, ROOT_OID, ZERO, after, p64, u64
from perdure.interfaces import INTERFACES, HasMetaData, Storage, TransactionMetaData
from perdure.storages.before import BeforeStorage
from perdure.storages.copying import copy_transactions
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.storages.readonly import ReadOnlyStorage
from perdure.testing.contract import (
    BindingContract,
    BlobContract,
    BlobRestoreContract,
    IterationContract,
    ReadOnlyContract,
    ReadVerifyingContract,
    ReopenContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)
from perdure.testing.contract.records import cell, holder, references, state_of, tally
from perdure.testing.contract.suite import Clock
from perdure.testing.contract.transactions import (
    commit,
    contents,
    current,
    revisions,
    transactions,
    undo,
    undo_id,
    write,
)

A, B, C, D = (p64(n) for n in (1, 2, 3, 4))
UNRELATED = {p64(n): cell(n) for n in range(0xBA5E, 0xBA5E + 5)}


def filled(storage: Any) -> Any:
    """Commit objects that the suites do not touch."""
    write(storage, UNRELATED)
    return storage


class TestDemo(
    StorageContract,
    IterationContract,
    BindingContract,
    UndoContract,
    RestoreContract,
    ReadVerifyingContract,
    BlobContract,
    BlobRestoreContract,
):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return DemoStorage


class TestDemoOverMemory(TestDemo):
    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: DemoStorage(name, filled(MappingStorage()))


class TestDemoInFiles(TestDemo, ReopenContract, ReadOnlyContract):
    """Base and changes in files: both are there when opened again."""

    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        def make(name: str) -> DemoStorage:
            base = tmp_path / f"{name}-base.fs"
            if not base.exists():
                filled(FileStorage(base)).close()
            return DemoStorage(
                name,
                FileStorage(base, read_only=True),
                FileStorage(tmp_path / f"{name}.fs", blob_dir=tmp_path / f"{name}-blobs"),
            )

        return make

    @pytest.fixture
    def view(self, tmp_path: Path) -> Callable[[Any], Any]:
        def view(storage: Any) -> Any:
            storage.close()
            return DemoStorage(
                "main",
                FileStorage(tmp_path / "main-base.fs", read_only=True),
                FileStorage(tmp_path / "main.fs", read_only=True),
            )

        return view


class TestDemoOverDemoOverBeforeOverFile(TestDemo):
    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        def make(name: str) -> DemoStorage:
            base = filled(FileStorage(tmp_path / f"{name}.fs"))
            below = DemoStorage(base=BeforeStorage(base))
            write(base, {p64(0xBEEF): cell("later")})  # out of sight
            write(below, {p64(0xD0D0): cell("below")})
            return DemoStorage(name, below)

        return make


class TestDemoOverReadOnlyOverDemo(TestDemo):
    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        def make(name: str) -> DemoStorage:
            below = filled(DemoStorage(name))
            return DemoStorage(name, ReadOnlyStorage(below), MappingStorage(name))

        return make


@pytest.fixture
def base() -> MappingStorage:
    """A holds 1, B 10 (a tally), both of the same transaction."""
    storage = MappingStorage()
    write(storage, {A: cell(1), B: tally(10)})
    return storage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(float(int(time.time())))
    monkeypatch.setattr(time, "time", clock)
    return clock


# Across the seam


def test_the_base_is_seen_and_never_written(base: MappingStorage) -> None:
    before = contents(base, [A, B])
    first = base.lastTransaction()
    demo = DemoStorage(base=base)

    assert demo.lastTransaction() == first
    assert current(demo, A) == (cell(1), first, None)
    second = write(demo, {A: cell(2), C: cell(3)}).tid

    assert revisions(demo, A) == [(cell(2), second, None), (cell(1), first, second)]
    assert demo.loadBefore(A, second) == (cell(1), first, second)
    assert demo.loadBefore(A, after(first)) == (cell(1), first, second)
    assert demo.loadBefore(A, first) is None
    assert demo.loadSerial(A, first) == cell(1)
    assert demo.loadSerial(A, second) == cell(2)
    assert [entry["tid"] for entry in demo.history(A, 9)] == [second, first]
    assert [entry["tid"] for entry in demo.history(A, 1)] == [second]
    assert [entry["tid"] for entry in demo.history(B, 9)] == [first]
    assert [entry[0] for entry in transactions(demo)] == [first, second]
    assert contents(base, [A, B]) == before


def test_what_neither_has_is_a_pos_key_error(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)

    for read in (
        lambda: demo.loadBefore(D, MAX_TID),
        lambda: demo.load(D),
        lambda: demo.history(D),
        lambda: demo.loadSerial(D, base.lastTransaction()),
    ):
        with pytest.raises(POSKeyError):
            read()


def test_a_stale_serial_of_the_base_is_a_conflict(base: MappingStorage) -> None:
    old = base.lastTransaction()
    new = write(base, {A: cell(2)}).tid
    demo = DemoStorage(base=base)

    for serial in (old, ZERO):
        with pytest.raises(ConflictError) as caught:
            write(demo, {A: cell(3)}, {A: serial})
        assert caught.value.serials == (new, serial)
    write(demo, {A: cell(3)}, {A: new})
    with pytest.raises(ConflictError):
        write(demo, {A: cell(4)}, {A: new})


def test_conflicts_are_resolved_within_the_base_and_over_the_seam(base: MappingStorage) -> None:
    old = base.lastTransaction()
    new = write(base, {B: tally(12)}).tid
    demo = DemoStorage(base=base)

    outcome = write(demo, {B: tally(15)}, {B: old})  # both revisions in the base
    assert outcome.resolved == {B}
    assert state_of(demo.load(B).data) == {"count": 17}
    outcome = write(demo, {B: tally(13)}, {B: new})  # one on either side
    assert outcome.resolved == {B}
    assert state_of(demo.load(B).data) == {"count": 18}


def test_of_two_layers_that_begin_together_the_second_resolves(base: MappingStorage) -> None:
    serial = base.lastTransaction()
    demo = DemoStorage(base=base)
    first, second = TransactionMetaData(), TransactionMetaData()
    demo.tpc_begin(first)
    demo.tpc_begin(second)
    demo.store(B, serial, tally(11), "", first)
    demo.store(B, serial, tally(20), "", second)
    demo.tpc_vote(first)
    demo.tpc_finish(first)

    assert list(demo.tpc_vote(second) or ()) == [B]
    demo.tpc_finish(second)

    assert state_of(demo.load(B).data) == {"count": 21}


def test_an_object_of_the_base_is_readable_while_it_is_changed_for_the_first_time() -> None:
    # The changes are asked twice about an object that they do not know; a commit
    # that comes in between must not make it look as if it were gone.
    class Interrupted(MappingStorage):
        interrupt: Callable[[], object] | None = None

        def loadBefore(self, oid: bytes, tid: bytes) -> Any:
            interrupt, self.interrupt = self.interrupt, None
            try:
                return super().loadBefore(oid, tid)
            finally:
                if interrupt is not None:
                    interrupt()

    base = MappingStorage()
    first = write(base, {A: cell(1)}).tid
    changes = Interrupted()
    demo = DemoStorage(base=base, changes=changes)
    changes.interrupt = lambda: write(demo, {A: cell(2)}, {A: first})

    revision = demo.loadBefore(A, after(first))

    second = demo.lastTransaction()
    assert second > first
    assert revision == (cell(1), first, second)


def test_relying_on_the_base_is_checked_at_the_vote(base: MappingStorage) -> None:
    serial = base.lastTransaction()
    demo = DemoStorage(base=base)
    transaction = TransactionMetaData()
    demo.tpc_begin(transaction)
    demo.checkCurrentSerialInTransaction(A, serial, transaction)
    demo.store(C, ZERO, cell(1), "", transaction)
    write(demo, {A: cell(2)})

    with pytest.raises(ReadConflictError):
        demo.tpc_vote(transaction)

    demo.tpc_abort(transaction)
    assert current(demo, C) is None


def test_undo_brings_the_state_of_the_base_back(base: MappingStorage) -> None:
    first = base.lastTransaction()
    demo = DemoStorage(base=base)
    second = write(demo, {A: cell(2), C: cell(2)}).tid

    third = undo(demo, undo_id(demo)).tid

    assert revisions(demo, A) == [
        (cell(1), third, None),
        (cell(2), second, third),
        (cell(1), first, second),
    ]
    assert current(demo, C) is None
    fourth = undo(demo, undo_id(demo)).tid
    assert current(demo, A) == (cell(2), fourth, None)
    assert current(demo, C) == (cell(2), fourth, None)
    write(demo, {A: cell(5)}, {A: fourth})


def test_the_transactions_of_the_base_cannot_be_undone(base: MappingStorage) -> None:
    identity = undo_id(base)
    demo = DemoStorage(base=base)

    assert demo.undoLog() == []
    with pytest.raises(UndoError):
        undo(demo, identity)
    assert current(demo, A) is not None


def test_a_record_that_is_gone_in_the_changes_hides_the_base(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)
    first = base.lastTransaction()
    tid = after(first)
    transaction = TransactionMetaData()
    demo.tpc_begin(transaction, tid)
    demo.restore(A, tid, None, "", None, transaction)
    demo.tpc_vote(transaction)
    demo.tpc_finish(transaction)

    with pytest.raises(POSKeyError):
        demo.load(A)
    assert demo.loadBefore(A, tid) == (cell(1), first, tid)


# Oids


def test_oids_never_meet_those_of_the_base(base: MappingStorage) -> None:
    layers = [DemoStorage(base=base)]
    for _ in range(3):
        layers.append(layers[-1].push())

    oids = [storage.new_oid() for _ in range(200) for storage in [*layers, base]]

    assert len(set(oids)) == len(oids)
    assert all(u64(oid) < 1 << 63 for oid in oids)


def test_an_oid_in_use_on_either_side_is_skipped(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)
    start = u64(demo.new_oid())
    write(base, {p64(start + 1): cell(0)})
    demo = DemoStorage(base=base)
    demo._oids = itertools.count(start)
    write(demo, {p64(start + 2): cell(0)})

    assert [u64(demo.new_oid()) - start for _ in range(3)] == [0, 3, 4]


# The base


def test_a_base_that_changes_is_noticed(base: MappingStorage) -> None:
    expected = base.lastTransaction()
    demo = DemoStorage(base=base)
    write(demo, {C: cell(1)})
    serial = demo.lastTransaction()
    transaction = TransactionMetaData()
    demo.tpc_begin(transaction)
    demo.store(C, serial, cell(2), "", transaction)
    found = write(base, {A: cell(2)}).tid

    for use in (
        lambda: demo.load(A),
        lambda: demo.history(A),
        lambda: list(demo.iterator()),
        lambda: demo.new_oid(),
        lambda: demo.tpc_begin(TransactionMetaData()),
        lambda: demo.tpc_vote(transaction),
    ):
        with pytest.raises(BaseChangedError) as caught:
            use()
        assert (caught.value.expected, caught.value.found) == (expected, found)
    demo.tpc_abort(transaction)
    assert demo.load(C).tid == serial


def test_a_base_that_changed_since_the_changes_were_made_is_noticed(tmp_path: Path) -> None:
    base = filled(FileStorage(tmp_path / "base.fs"))
    changes = FileStorage(tmp_path / "changes.fs")
    seam = base.lastTransaction()
    write(DemoStorage(base=base, changes=changes), {A: cell(1)})
    write(base, {B: cell(1)})

    with pytest.raises(BaseChangedError, match="expected none after") as caught:
        DemoStorage(base=base, changes=changes)

    assert caught.value.found == base.lastTransaction()
    assert seam <= caught.value.expected < changes.lastTransaction()
    base.close()
    changes.close()


def test_a_base_that_goes_on_can_be_used_through_a_view_of_it(base: MappingStorage) -> None:
    first = base.lastTransaction()
    demo = DemoStorage(base=BeforeStorage(base))
    write(base, {A: cell(2)})

    assert demo.load(A) == (cell(1), first)
    tid = write(demo, {A: cell(3)}).tid
    write(base, {A: cell(4)})
    assert revisions(demo, A) == [(cell(3), tid, None), (cell(1), first, tid)]


def test_a_base_ahead_of_the_clock_stays_before_the_changes(clock: Clock) -> None:
    base = MappingStorage()
    write(base, {A: cell(1)})
    clock.advance(-3600)

    for demo in (
        DemoStorage(base=base),
        DemoStorage(base=DemoStorage(base=base)),
        DemoStorage(base=BeforeStorage(base)),
    ):
        tid = write(demo, {A: cell(2)}).tid
        assert tid > base.lastTransaction() > tid_at(clock())
        assert demo.load(A) == (cell(2), tid)


def test_a_clock_that_steps_back_behind_the_base_in_a_commit_fails_it(clock: Clock) -> None:
    base = MappingStorage()
    write(base, {A: cell(1)})
    clock.advance(1)
    demo = DemoStorage(base=base)
    transaction = TransactionMetaData()
    demo.tpc_begin(transaction)
    demo.store(B, ZERO, cell(2), "", transaction)
    clock.advance(-3600)

    with pytest.raises(StorageError, match="clock"):
        demo.tpc_vote(transaction)
    demo.tpc_abort(transaction)

    assert write(demo, {B: cell(2)}).tid > base.lastTransaction()


def test_undo_of_a_first_change_keeps_a_later_one_that_it_can_be_merged_with(
    base: MappingStorage,
) -> None:
    demo = DemoStorage(base=base)
    write(demo, {A: cell(2), B: tally(11), C: cell("new")})
    identity = undo_id(demo)
    write(demo, {B: tally(15)})

    tid = undo(demo, identity).tid

    assert current(demo, A) == (cell(1), tid, None)
    assert current(demo, B) == (tally(14), tid, None)
    assert current(demo, C) is None


def test_undo_of_a_first_change_is_refused_where_a_later_one_cannot_be_merged(
    base: MappingStorage,
) -> None:
    demo = DemoStorage(base=base)
    write(demo, {A: cell(2), B: tally(11)})
    identity = undo_id(demo)
    write(demo, {A: cell(3), B: tally(15)})
    before = contents(demo, [A, B])

    with pytest.raises(UndoError):
        undo(demo, identity)

    assert contents(demo, [A, B]) == before


def test_undo_over_the_seam_brings_the_blobs_of_the_base_back(tmp_path: Path) -> None:
    db = perdure.DB(tmp_path / "base.fs", blob_dir=tmp_path / "base")
    with db.transaction() as connection:
        connection.root.length = Length(10)
        connection.root.cover = perdure.Blob(b"plain")
    changes = FileStorage(tmp_path / "changes.fs", blob_dir=tmp_path / "changes")
    trial = perdure.DB(DemoStorage(base=db.storage, changes=changes))
    with trial.transaction() as connection, connection.root.cover.open("w") as file:
        file.write(b"colourful")
        connection.root.length.change(1)
    with trial.transaction() as connection:
        connection.root.length.change(4)

    trial.undo(trial.undoLog()[1]["id"])
    manager.commit()

    with trial.transaction() as connection, connection.root.cover.open() as file:
        assert (connection.root.length(), file.read()) == (14, b"plain")
    trial.close()
    assert len(list((tmp_path / "base").rglob("*.blob"))) == 1


def test_several_undos_over_the_seam_in_one_transaction_know_of_one_another(
    base: MappingStorage,
) -> None:
    demo = DemoStorage(base=base)
    for count in (11, 13, 16):
        write(demo, {B: tally(count)})
    second, first = (entry["id"] for entry in demo.undoLog()[1:])

    def work(transaction: HasMetaData) -> None:
        demo.undo(first, transaction)
        demo.undo(second, transaction)

    tid = commit(demo, work).tid

    assert current(demo, B) == (tally(13), tid, None)


def test_a_closed_base_is_noticed_at_once_and_later(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)
    base.close()

    with pytest.raises(StorageClosedError):
        demo.load(A)
    with pytest.raises(StorageClosedError):
        DemoStorage(base=base)


def test_a_read_only_base_is_as_good_as_any(base: MappingStorage) -> None:
    demo = DemoStorage(base=ReadOnlyStorage(base))

    write(demo, {A: cell(2), demo.new_oid(): cell(3)})

    assert demo.load(A).data == cell(2)


def test_read_only_changes_refuse_writing(base: MappingStorage) -> None:
    demo = DemoStorage(base=base, changes=ReadOnlyStorage(MappingStorage()))

    assert demo.isReadOnly()
    assert demo.load(A).data == cell(1)
    for call in (demo.new_oid, lambda: demo.tpc_begin(TransactionMetaData())):
        with pytest.raises(ReadOnlyError):
            call()


# Layers


def test_layers_are_pushed_and_popped(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)
    write(demo, {A: cell(2)})
    layer = demo.push()
    write(layer, {A: cell(3)})

    assert layer.base is demo
    assert layer.load(A).data == cell(3)
    assert layer.pop() is demo
    assert demo.load(A).data == cell(2)
    with pytest.raises(StorageClosedError):
        layer.load(A)
    with pytest.raises(StorageClosedError):
        layer.pop()
    assert demo.pop() is base
    assert base.load(A).data == cell(1)


def test_popping_the_lowest_layer_is_refused() -> None:
    demo = DemoStorage()
    write(demo, {A: cell(1)})

    with pytest.raises(StorageError, match="lowest layer"):
        demo.pop()

    assert demo.load(A).data == cell(1)


def test_writing_below_a_layer_is_noticed_above(base: MappingStorage) -> None:
    demo = DemoStorage(base=base)
    layer = demo.push()
    write(demo, {A: cell(2)})

    with pytest.raises(BaseChangedError):
        layer.load(A)


def test_changes_in_a_file_stay(base: MappingStorage, tmp_path: Path) -> None:
    demo = DemoStorage(
        base=base, changes=FileStorage(tmp_path / "changes.fs"), close_base_on_close=False
    )
    tid = write(demo, {A: cell(2)}).tid
    demo.close()

    demo = DemoStorage(base=base, changes=FileStorage(tmp_path / "changes.fs"))

    assert demo.load(A) == (cell(2), tid)
    demo.close()


@pytest.mark.parametrize(
    ("given", "flag", "closed"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_what_was_given_is_closed_unless_told_otherwise(
    given: bool, flag: bool | None, closed: bool
) -> None:
    storages = (MappingStorage(), MappingStorage()) if given else (None, None)
    demo = DemoStorage("demo", *storages, flag, flag)

    demo.close()

    for storage in (demo.base, demo.changes):
        if closed:
            with pytest.raises(StorageClosedError):
                storage.load(A)
        else:
            with pytest.raises(POSKeyError):
                storage.load(A)


def test_the_signature_and_the_name_are_zodbs(base: MappingStorage) -> None:
    demo = DemoStorage("name", base, MappingStorage(), False, False)

    assert demo.getName() == repr(demo) == "name"
    ours, zodbs = DemoStorage(), ZODBDemoStorage()
    attributes = ("base", "changes", "close_base_on_close", "close_changes_on_close")
    assert [type(getattr(ours, name)).__name__ for name in attributes] == [
        type(getattr(zodbs, name)).__name__ for name in attributes
    ]
    assert [getattr(ours, name) for name in attributes[2:]] == [
        getattr(zodbs, name) for name in attributes[2:]
    ]


def test_temporary_layers_have_sort_keys_of_their_own() -> None:
    keys = [DemoStorage().sortKey() for _ in range(12)]

    assert keys == sorted(set(keys))


def test_a_layer_declares_what_those_below_can_do() -> None:
    class Plain(MappingStorage):
        pass

    classImplementsOnly(Plain, INTERFACES[Storage])

    full = capabilities_of(DemoStorage())
    over_plain = capabilities_of(DemoStorage(base=Plain()))
    in_plain = capabilities_of(DemoStorage(changes=Plain()))
    assert (full.iteration, full.undo, full.restore, full.read_verification) == (True,) * 4
    assert (over_plain.iteration, over_plain.undo, over_plain.restore) == (False, True, True)
    assert (in_plain.iteration, in_plain.undo, in_plain.restore) == (False, False, False)
    assert not DemoStorage(changes=Plain()).supportsUndo()


# Packing


def test_packing_keeps_what_only_the_base_refers_to(clock: Clock) -> None:
    base = MappingStorage()
    write(base, {ROOT_OID: holder(A), A: holder(B), B: cell(1)})
    demo = DemoStorage(base=base)
    for n in range(3):
        clock.advance(1)
        write(demo, {B: cell(n)})
    tid = demo.lastTransaction()

    demo.pack(clock.advance(1), references)

    assert current(demo, B) == (cell(2), tid, None)
    assert [entry["tid"] for entry in demo.history(B, 9)] == [tid, base.lastTransaction()]
    assert demo.loadBefore(B, tid) is None  # it was one of those that were dropped
    assert demo.loadBefore(B, after(base.lastTransaction())) == (
        cell(1),
        base.lastTransaction(),
        tid,
    )


def test_garbage_can_only_be_told_where_there_is_no_base(base: MappingStorage) -> None:
    with pytest.raises(Unsupported, match="base"):
        DemoStorage(base=base).pack(time.time(), references, gc=True)


# Against one storage that has it all

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.dictionaries(st.integers(1, 4), st.integers(0, 9), min_size=1, max_size=3),
        ),
        st.tuples(st.just("undo"), st.integers(0, 5)),
        st.tuples(st.just("count"), st.integers(5, 6)),
        st.tuples(st.just("layer"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(before=steps, steps=steps)
def test_layers_equal_one_storage_that_has_it_all(before: Any, steps: Any) -> None:
    flat, base = MappingStorage(), MappingStorage()
    for step in before:
        if step[0] != "layer":
            _take(flat, step)
    copy_transactions(flat, base)
    demo = DemoStorage(base=base)
    for step in steps:
        if step[0] == "layer":
            demo = demo.push()
            continue
        undoable = len(demo.undoLog(0, -99))
        if step[0] == "undo" and step[1] >= undoable:
            continue  # it happened below the layer
        tid = demo.lastTransaction()
        outcome = _take(demo, step)
        if outcome is None:
            assert demo.lastTransaction() == tid
            assert _take(flat, step, after(flat.lastTransaction())) is None
        elif _take(flat, step, demo.lastTransaction()) is None:
            pytest.fail("the layers took what one storage refuses")

    assert _everything(demo) == _everything(flat)


def _take(storage: Any, step: Any, tid: bytes | None = None) -> Any:
    """Take one step, as transaction `tid` if given; None where it was refused."""
    kind, what = step
    try:
        if kind == "write":
            records = {p64(oid): cell(value) for oid, value in what.items()}
            serials = {oid: _serial(storage, oid) for oid in records}
        elif kind == "count":
            # From the oldest revision there is, so that conflicts get resolved.
            found = revisions(storage, p64(what))
            count = state_of(found[-1].data)["count"] + 1 if found else 0
            records = {p64(what): tally(count)}
            serials = {p64(what): found[-1].tid if found else ZERO}
        else:
            identity = storage.undoLog(what, what + 1)
            if not identity:
                return None
            records, serials = {}, {}

        def work(transaction: HasMetaData) -> None:
            for oid, data in records.items():
                storage.store(oid, serials[oid], data, "", transaction)
            if kind == "undo":
                storage.undo(identity[0]["id"], transaction)

        return _commit(storage, work, tid)
    except (ConflictError, UndoError):
        return None


def _commit(storage: Any, work: Any, tid: bytes | None) -> bytes:
    if tid is None:
        return commit(storage, work).tid
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata, tid)
    try:
        work(metadata)
        storage.tpc_vote(metadata)
        return bytes(storage.tpc_finish(metadata))
    except BaseException:
        storage.tpc_abort(metadata)
        raise


def _serial(storage: Any, oid: bytes) -> bytes:
    try:
        return bytes(storage.history(oid)[0]["tid"])
    except POSKeyError:
        return ZERO


def _everything(storage: Any) -> list[Any]:
    tids = [transaction.tid for transaction in storage.iterator()]
    found: list[Any] = [storage.lastTransaction(), tids]
    for transaction in storage.iterator():
        # Where the bytes are kept may differ, what they are may not.
        found.append(sorted((r.oid, r.tid, r.data or b"") for r in transaction))
    for oid in (p64(n) for n in range(1, 7)):
        found.append([entry["tid"] for entry in _history(storage, oid)])
        for tid in tids:
            for bound in (tid, after(tid)):
                try:
                    found.append(storage.loadBefore(oid, bound))
                except POSKeyError:
                    found.append(None)
    return found


def _history(storage: Any, oid: bytes) -> list[Any]:
    try:
        return list(storage.history(oid, 99))
    except POSKeyError:
        return []
