import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure.clock import time_of
from perdure.errors import FileAccessError, FileStorageError, POSKeyError, StorageError
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.transactions import contents, undo, undo_id, write
from samples.file_operations import FailingOperations

A, B, C, D = (p64(n) for n in (1, 2, 3, 4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass whenever the time is asked for: floats are coarser than tids."""
    seconds = itertools.count(1_000_000_000)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))


def at(tid: bytes) -> float:
    """Return a time to pack at: after `tid`, before the next transaction."""
    return time_of(tid) + 0.5


@pytest.fixture
def storage(path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(path)
    yield storage
    storage.close()


def files(path: Path) -> list[str]:
    return sorted(name.name.removeprefix(path.name) for name in path.parent.iterdir())


def test_old_revisions_and_garbage_go_and_the_rest_stays(storage: FileStorage, path: Path) -> None:
    write(storage, {ZERO: holder(A), A: cell(1), B: cell("garbage")})
    second = write(storage, {A: cell(2)}).tid
    size = storage.getSize()
    storage.pack(at(second), references)
    assert storage.getSize() < size
    assert storage.load(A) == (cell(2), second)
    assert [[r.oid for r in t] for t in storage.iterator()] == [[ZERO], [A]]
    assert [t.status for t in storage.iterator()] == ["p", "p"]
    with pytest.raises(POSKeyError):
        storage.load(B)
    assert files(path) == ["", ".index", ".lock", ".old"]


def test_without_collection_garbage_stays(path: Path) -> None:
    storage = FileStorage(path, pack_gc=False, pack_keep_old=False)
    write(storage, {ZERO: cell(0), B: cell("garbage")})
    write(storage, {B: cell("more garbage")})
    storage.pack(4e9, references)
    assert storage.load(B).data == cell("more garbage")
    assert len(storage.history(B, 5)) == 1
    assert files(path) == ["", ".index", ".lock"]
    storage.pack(4e9, references, gc=True)
    with pytest.raises(POSKeyError):
        storage.load(B)
    storage.close()


def test_every_moment_from_the_pack_on_can_be_seen(storage: FileStorage) -> None:
    write(storage, {ZERO: holder(A, B), A: cell(1), B: cell(1)})
    write(storage, {A: cell(2)})
    moment = write(storage, {B: cell(2)}).tid
    write(storage, {A: cell(3)})
    write(storage, {B: cell(3)})
    undo(storage, undo_id(storage))
    tids = [t.tid for t in storage.iterator() if t.tid >= moment]

    def seen() -> list[Any]:
        return [storage.loadBefore(oid, after(tid)) for oid in (ZERO, A, B) for tid in tids]

    before = seen()
    storage.pack(at(moment), references)
    assert seen() == before
    assert storage.loadBefore(A, moment) == (cell(2), *_tids(storage, A)[:2])
    assert len(storage.undoLog()) == 3
    undo(storage, undo_id(storage))
    assert storage.load(B).data == cell(3)


def _tids(storage: FileStorage, oid: bytes) -> list[bytes]:
    return [revision["tid"] for revision in reversed(storage.history(oid, 10))]


def test_what_was_garbage_and_was_linked_again_later_stays(storage: FileStorage) -> None:
    write(storage, {ZERO: holder(), A: holder(B), B: cell(1)})
    moment = write(storage, {C: cell("garbage")}).tid
    write(storage, {ZERO: holder(A)})
    storage.pack(at(moment), references)
    assert storage.load(A).data == holder(B)
    assert storage.load(B).data == cell(1)
    with pytest.raises(POSKeyError):
        storage.load(C)


def test_an_undo_after_the_pack_time_keeps_what_it_brought_back(storage: FileStorage) -> None:
    write(storage, {ZERO: holder(A), A: cell("old")})
    moment = write(storage, {A: cell("new")}).tid
    undo(storage, undo_id(storage))
    storage.pack(at(moment), references)
    assert storage.load(A).data == cell("old")
    assert storage.loadBefore(A, after(moment))[0] == cell("new")  # type: ignore[index]
    undo(storage, undo_id(storage))
    assert storage.load(A).data == cell("new")


def test_objects_that_were_gone_leave_no_trace(storage: FileStorage) -> None:
    write(storage, {ZERO: cell(0)})
    write(storage, {A: cell(1)})
    undo(storage, undo_id(storage))
    last = write(storage, {ZERO: cell(1)}).tid
    storage.pack(4e9, references)
    assert [t.tid for t in storage.iterator()] == [last]
    with pytest.raises(POSKeyError):
        storage.loadBefore(A, MAX_TID)


def test_a_reference_that_dangles_does_not_stop_the_pack(storage: FileStorage) -> None:
    write(storage, {ZERO: holder(A, D), A: cell(1)})
    write(storage, {A: cell(2)})
    storage.pack(4e9, references)
    assert storage.load(A).data == cell(2)


def test_without_a_root_nothing_is_collected(storage: FileStorage) -> None:
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})
    with pytest.raises(StorageError, match="there is no root object"):
        storage.pack(4e9, references)
    assert len(storage.history(A, 5)) == 2
    storage.pack(4e9, references, gc=False)
    assert len(storage.history(A, 5)) == 1


def test_a_pack_that_would_drop_nothing_leaves_the_file_alone(
    storage: FileStorage, path: Path
) -> None:
    storage.pack(4e9, references)
    write(storage, {ZERO: holder(A), A: cell(1)})
    inode = path.stat().st_ino
    storage.pack(4e9, references)
    assert path.stat().st_ino == inode
    assert len(storage.undoLog()) == 1


def test_tids_go_on_growing_where_the_newest_transaction_was_garbage(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {ZERO: cell(0)})
    last = write(storage, {A: cell("garbage")}).tid
    storage.pack(4e9, references)
    assert storage.lastTransaction() == last
    storage.close()
    storage = FileStorage(path)
    assert storage.lastTransaction() == last
    storage.close()


def test_metadata_survive_a_pack_and_so_does_another_status(storage: FileStorage) -> None:
    metadata = TransactionMetaData("user é", "why é", {"key": [1]})
    write(storage, {ZERO: cell(0)}, metadata=metadata)
    write(storage, {A: cell(1)})
    storage.pack(4e9, references)
    first = next(storage.iterator())
    assert (first.user, first.description) == ("user é".encode(), "why é".encode())
    assert first.extension == {"key": [1]}


def test_packing_again_and_again_comes_to_the_same(path: Path) -> None:
    storage = FileStorage(path)
    for number in range(5):
        write(storage, {ZERO: holder(A), A: cell(number), p64(number + 5): cell("garbage")})
        storage.pack(4e9, references)
        assert storage.load(A).data == cell(number)
        write(storage, {ZERO: holder(A, B), B: cell(number)})
    before = contents(storage, [ZERO, A, B])
    storage.close()
    path.with_name("data.fs.index").unlink()
    storage = FileStorage(path)
    assert contents(storage, [ZERO, A, B]) == before
    storage.close()


def test_a_transaction_that_began_before_a_pack_finishes_after_it(storage: FileStorage) -> None:
    write(storage, {ZERO: cell(0)})
    tid = write(storage, {ZERO: cell(1)}).tid
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.store(ZERO, tid, cell(2), "", transaction)
    storage.pack(4e9, references)
    storage.tpc_vote(transaction)
    storage.tpc_finish(transaction)
    assert storage.load(ZERO).data == cell(2)
    assert len(storage.history(ZERO, 5)) == 2


def test_one_pack_at_a_time(storage: FileStorage) -> None:
    write(storage, {ZERO: cell(0)})
    write(storage, {ZERO: cell(1)})
    inside, leave = threading.Event(), threading.Event()

    def slow(data: bytes) -> list[bytes]:
        inside.set()
        assert leave.wait(30)
        return references(data)

    thread = threading.Thread(target=lambda: storage.pack(4e9, slow))
    thread.start()
    assert inside.wait(10)
    try:
        with pytest.raises(FileStorageError, match="is being packed already"):
            storage.pack(4e9, references)
    finally:
        leave.set()
        thread.join(30)
    assert len(storage.history(ZERO, 5)) == 1


def test_a_pack_that_fails_in_the_midst_leaves_the_file_as_it_was(
    storage: FileStorage, path: Path
) -> None:
    write(storage, {ZERO: cell(0)})
    write(storage, {ZERO: cell(1)})
    data = path.read_bytes()

    def broken(data: bytes) -> list[bytes]:
        raise LookupError("no references today")

    with pytest.raises(LookupError):
        storage.pack(4e9, broken)
    assert path.read_bytes() == data
    assert files(path) == ["", ".lock"]
    write(storage, {ZERO: cell(2)})


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO, "short"])
def test_whichever_call_of_a_pack_fails_nothing_is_lost(path: Path, kind: int | str) -> None:
    number = 0
    failed: str | None = "none yet"
    while failed is not None:
        number += 1
        operations = FailingOperations(kind)
        storage = FileStorage(path, create=True, operations=operations)
        write(storage, {ZERO: holder(A), A: cell(1)})
        write(storage, {A: cell(2)})
        (path.parent / "data.fs.old").write_bytes(b"older")
        operations.countdown = number
        problem = ""
        try:
            storage.pack(4e9, references)
        except FileAccessError as error:
            problem = str(error)
        failed = operations.failed
        operations.countdown = 0
        if "the file is as it was" in problem:
            assert len(storage.history(A, 5)) == 2
            assert not path.with_name("data.fs.pack").exists()
        if "refuses everything" not in problem:
            assert storage.load(A).data == cell(2)
            write(storage, {B: cell(3)})
        storage.close()
        storage = FileStorage(path)
        assert storage.load(A).data == cell(2)
        assert (p64(2) in storage._opened().index) == ("refuses everything" not in problem)
        storage.close()
    assert number > (3 if kind == "short" else 8)


def test_another_packer_can_be_given(path: Path) -> None:
    asked: list[object] = []

    def packer(
        storage: FileStorage, references: Callable[..., object], stop: bytes, gc: bool
    ) -> tuple[int, dict[bytes, int]] | None:
        asked.append((storage, references, stop > ZERO, gc))
        data = path.read_bytes()
        path.with_name("data.fs.pack").write_bytes(data)
        return len(data), dict(storage._opened().index.items())

    storage = FileStorage(path, packer=packer)
    write(storage, {ZERO: cell(0)})
    inode = path.stat().st_ino
    storage.pack(1e9, references)
    assert asked == [(storage, references, True, True)]
    assert path.stat().st_ino != inode
    write(storage, {ZERO: cell(1)})
    assert len(storage.history(ZERO, 5)) == 2
    storage.close()
    assert os.path.exists(path)
