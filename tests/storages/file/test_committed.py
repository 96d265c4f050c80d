"""What a transaction's plan reads of the file, where the system does not let it."""

import errno
import os
import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import CorruptDataError, FileAccessError, UndoError
from perdure.ids import after, p64
from perdure.storages.file import FileStorage
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata, encode
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.reader import View
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write
from samples.file_operations import Unsynced

pytestmark = pytest.mark.native

A = p64(1)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "data.fs", operations=Unsynced())
    write(storage, {A: cell(1)})
    yield storage
    storage.close()


def test_what_the_system_does_not_let_us_read_is_named(
    storage: FileStorage, tmp_path: Path
) -> None:
    view = storage._opened()
    directory = os.open(tmp_path, os.O_RDONLY)  # reading it fails with EISDIR
    broken = View(DataFile(view.file.path, directory), view.index, view.end, view.last_tid)
    queue = CommitQueue(
        view.end, lambda kept: None, lambda: None, lambda written: None, lambda error: error
    )
    records = CommittedRecords(broken, queue)
    position = view.index.get(A)
    for read in (lambda: records.newest(A), lambda: records.origin(A, position)):
        with pytest.raises(FileAccessError, match=f"read it at byte {position}") as caught:
            read()
        assert caught.value.errno == errno.EISDIR


def committed(storage: FileStorage) -> CommittedRecords:
    assert storage._committer is not None
    return storage._committer._records


def data_of(storage: FileStorage, oids: Iterable[int]) -> list[bytes]:
    return [storage.load(p64(number)).data for number in oids]


def planned_one_by_one(records: CommittedRecords, tid: bytes) -> dict[bytes, object]:
    found = list(records.records_of(tid))
    for undone in found:
        assert undone.previous is None or undone.origin == records.origin(
            undone.oid, undone.previous
        )
    return {undone.oid: (None, undone.origin, undone.place) for undone in found}


def planned_at_once(records: CommittedRecords, tid: bytes) -> dict[bytes, object]:
    plan = records.plan_undone(tid)
    assert plan is not None
    return dict(plan.items())


@pytest.mark.parametrize("seed", range(8))
def test_an_undo_is_planned_at_once_as_it_is_one_by_one(storage: FileStorage, seed: int) -> None:
    chance = random.Random(seed)
    records = committed(storage)
    for _ in range(12):
        oids = chance.sample(range(1, 400), chance.choice([1, 7, 150]))
        size = chance.choice([1, 300, 5_000])
        tid = write(storage, {p64(n): cell(n) + b"x" * chance.randrange(size) for n in oids}).tid
        assert planned_at_once(records, tid) == planned_one_by_one(records, tid)
        if chance.random() < 0.6:
            before = data_of(storage, oids)
            undo(storage, undo_id(storage))
            again = storage.lastTransaction()
            assert planned_at_once(records, again) == planned_one_by_one(records, again)
            undo(storage, undo_id(storage))
            assert data_of(storage, oids) == before
        last = storage.lastTransaction()
        write(storage, {p64(1000): cell(1)})
        assert planned_at_once(records, last) == planned_one_by_one(records, last)


def test_an_undo_of_what_was_changed_since_is_looked_at_one_by_one(storage: FileStorage) -> None:
    tid = storage.lastTransaction()
    assert committed(storage).plan_undone(tid) is not None
    write(storage, {A: cell(2)})
    assert committed(storage).plan_undone(tid) is None
    with pytest.raises(UndoError):
        committed(storage).plan_undone(p64(1))


class Twice(dict[bytes, Any]):
    """A plan that writes each of its records twice."""

    def items(self) -> Any:
        return [item for item in super().items() for _ in range(2)]


def test_an_object_that_a_transaction_has_twice_is_looked_at_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    with closing(FileStorage(path, operations=Unsynced())) as storage:
        tid = write(storage, {A: cell(1)}).tid
        end, current = storage.getSize(), storage._opened().index.get(A)
    planned = Twice({A: (cell(2), None, current)})
    nothing = Metadata(b"", b"", b"")
    encoded = encode(after(tid), nothing, planned, end, end, b" ", in_memory=False)
    with path.open("ab") as file:
        for pieces in encoded.pieces:
            file.writelines(pieces)
    with closing(FileStorage(path, operations=Unsynced())) as storage:
        assert committed(storage).plan_undone(after(tid)) is None
        undo(storage, undo_id(storage))
        assert storage.load(A).data == cell(1)


def test_a_damaged_transaction_is_not_undone(storage: FileStorage, tmp_path: Path) -> None:
    write(storage, {A: cell(2), p64(2): cell(3)})
    with (tmp_path / "data.fs").open("r+b") as file:
        file.seek(storage.getSize() - 20)
        file.write(b"\xff")
    with pytest.raises(CorruptDataError):
        undo(storage, undo_id(storage))


def test_an_undo_that_points_into_damage_says_so(storage: FileStorage, tmp_path: Path) -> None:
    position = storage._opened().index.get(A)
    write(storage, {A: cell(2)})
    with (tmp_path / "data.fs").open("r+b") as file:
        file.seek(position)
        file.write(b"\xff")
    with pytest.raises(CorruptDataError):
        undo(storage, undo_id(storage))
