"""The face of the file storage: options, names, wrappers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transaction

import perdure
from perdure.errors import ConflictError, ReadOnlyError, StorageClosedError
from perdure.ids import MAX_TID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages import FileStorage, MappingStorage
from perdure.testing.contract.records import cell, references, tally
from perdure.testing.contract.transactions import contents, undo, undo_id, write

A = p64(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


class Flipper:
    """A wrapper that stores records with their bits flipped."""

    def transform_record_data(self, data: bytes) -> bytes:
        return b"." + bytes(byte ^ 0xFF for byte in data)

    def untransform_record_data(self, data: bytes) -> bytes:
        return bytes(byte ^ 0xFF for byte in data[1:])

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        return references(self.untransform_record_data(record), oids)

    def invalidate(self, transaction_id: bytes, oids: Any) -> None: ...

    def invalidateCache(self) -> None: ...


def test_a_storage_is_named_as_it_was_opened_and_sorted_by_where_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    storage = FileStorage("data.fs")
    assert storage.getName() == storage.__name__ == "data.fs"
    assert storage.sortKey() == str(path)
    storage.close()


def test_closing_twice_is_harmless(path: Path) -> None:
    storage = FileStorage(path)
    storage.close()
    storage.close()


def test_a_connection_left_open_over_a_closed_storage_does_not_stop_the_others(
    path: Path, tmp_path: Path
) -> None:
    """What others wrote closes a storage under its database and goes on with another one."""
    storage = FileStorage(path)
    forgotten = perdure.DB(storage)
    manager = transaction.TransactionManager()
    forgotten.open(manager)
    last = storage.lastTransaction()
    storage.close()
    assert storage.lastTransaction() == last
    with perdure.DB(tmp_path / "other.fs", create=True) as other:
        connection = other.open(manager)
        connection.root()["a"] = 1
        manager.commit()
        connection.close()
    with pytest.raises(StorageClosedError):
        storage.loadBefore(ZERO, MAX_TID)
    forgotten.close()


def test_cleaning_up_leaves_nothing_behind(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {ZERO: cell(0)})
    write(storage, {ZERO: cell(1)})
    storage.pack(4e9, references)
    storage.close()
    storage.cleanup()
    assert list(path.parent.iterdir()) == []
    storage.cleanup()


def test_conflicts_are_resolved_on_what_the_wrapper_makes_of_the_records(path: Path) -> None:
    storage = FileStorage(path)
    wrapper = Flipper()
    storage.registerDB(wrapper)
    flip = wrapper.transform_record_data
    read = write(storage, {A: flip(tally(1))}).tid
    write(storage, {A: flip(tally(11))})
    write(storage, {A: flip(tally(101))}, {A: read})
    assert storage.load(A).data == flip(tally(111))
    undo(storage, undo_id(storage))
    storage.close()


def test_conflict_resolution_can_be_replaced_on_the_instance(path: Path) -> None:
    storage = FileStorage(path)
    read = write(storage, {A: tally(1)}).tid
    write(storage, {A: tally(11)})

    def never(oid: bytes, committed: bytes, read: bytes, data: bytes, *_: bytes) -> bytes:
        raise ConflictError(oid=oid, serials=(committed, read))

    storage.tryToResolveConflict = never  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        write(storage, {A: tally(101)}, {A: read})
    storage.close()


def test_a_read_only_storage_writes_nothing(path: Path) -> None:
    storage = FileStorage(path)
    tid = write(storage, {A: cell(1)}).tid
    storage.close()
    storage = FileStorage(path, read_only=True)
    transaction = TransactionMetaData()
    for call in (
        lambda: storage.new_oid(),
        lambda: storage.tpc_begin(transaction),
        lambda: storage.store(A, tid, cell(2), "", transaction),
        lambda: storage.restore(A, tid, cell(2), "", None, transaction),
        lambda: storage.undo(tid, transaction),
        lambda: storage.deleteObject(A, tid, transaction),
        lambda: storage.tpc_vote(transaction),
        lambda: storage.tpc_finish(transaction),
        lambda: storage.pack(4e9, references),
    ):
        with pytest.raises(ReadOnlyError, match="opened read-only"):
            call()
    storage.tpc_abort(transaction)
    assert storage.tpc_transaction() is None
    assert storage.load(A) == (cell(1), tid)
    storage.close()


def test_the_transaction_that_is_being_committed_can_be_asked_for(path: Path) -> None:
    storage = FileStorage(path)
    transaction = TransactionMetaData()
    assert storage.tpc_transaction() is None
    storage.tpc_begin(transaction)
    assert storage.tpc_transaction() is transaction
    storage.tpc_abort(transaction)
    assert storage.tpc_transaction() is None
    storage.close()


def test_oids_go_on_behind_those_in_use(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {p64(70000): cell(1)})
    assert storage.new_oid() == p64(70001)
    storage.close()
    storage = FileStorage(path)
    assert storage.new_oid() == p64(70001)
    storage.close()


def test_a_copy_has_the_same_transactions(path: Path) -> None:
    source = MappingStorage()
    metadata = TransactionMetaData("me", "why", {"key": 1})
    write(source, {A: cell(1), ZERO: cell(0)}, metadata=metadata)
    write(source, {A: cell(2)})
    undo(source, undo_id(source))
    storage = FileStorage(path)
    storage.copyTransactionsFrom(source)
    assert contents(storage, [A, ZERO]) == contents(source, [A, ZERO])
    write(storage, {A: cell(3)})
    storage.close()


def test_a_copy_that_is_interrupted_leaves_whole_transactions(path: Path) -> None:
    source = MappingStorage()
    write(source, {A: cell(1)})
    write(source, {A: cell(2)})

    class Interrupted:
        def iterator(self, start: object = None, stop: object = None) -> Any:
            first, second = source.iterator()
            yield first
            second._records = lambda: (_ for _ in interrupted())
            yield second

    def interrupted() -> Iterator[Any]:
        yield from ()
        raise LookupError("the source is gone")

    storage = FileStorage(path)
    with pytest.raises(LookupError):
        storage.copyTransactionsFrom(Interrupted())  # type: ignore[arg-type]
    assert len(list(storage.iterator())) == 1
    write(storage, {A: cell(3)})
    storage.close()
