"""A pack while work goes on: what is committed meanwhile, and what stops it."""

import os
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import ZODB.FileStorage

from perdure.clock import time_of
from perdure.errors import (
    CorruptDataError,
    FileStorageSpaceError,
    PackCancelledError,
    POSKeyError,
    StorageError,
    UndoError,
)
from perdure.fileops import FileOperations
from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage, pack, packcopy, packsource
from perdure.storages.file.pack import PackEstimate
from perdure.storages.file.scan import Scanner, Transaction
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.transactions import undo, undo_id, write

A, B, C, D = (p64(n) for n in (1, 2, 3, 4))
FAR = 4e9
"""A time to pack at: later than all."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def storage(path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(path)
    write(storage, {ZERO: holder(A), A: cell(1), B: cell("garbage")})
    write(storage, {A: cell(2)})
    yield storage
    storage.close()


def names(path: Path) -> list[str]:
    return sorted(name.name.removeprefix(path.name) for name in path.parent.iterdir())


def test_without_native_code_others_have_their_turn(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(pack.native, "courtesy", None)
    monkeypatch.setattr(pack.time, "sleep", naps.append)
    storage.pack(FAR, references)
    assert 1 <= len(naps) < 10  # the first time, and not at each step


def meanwhile(*actions: Callable[[], object]) -> Callable[[bytes], list[bytes]]:
    """Return a `references` during whose first calls the actions are done."""
    waiting = list(actions)

    def references_and_more(data: bytes) -> list[bytes]:
        if waiting:
            waiting.pop(0)()
        return references(data)

    return references_and_more


def test_what_is_committed_meanwhile_is_in_the_packed_file(
    storage: FileStorage, path: Path
) -> None:
    def commit() -> None:
        write(storage, {ZERO: holder(A, C), C: cell(3)})
        write(storage, {A: cell(4)})
        undo(storage, undo_id(storage))

    storage.pack(FAR, meanwhile(commit))
    assert storage.load(A).data == cell(2)
    assert storage.load(C).data == cell(3)
    assert len(storage.history(A, 9)) == 3
    assert [t.status for t in storage.iterator()] == ["p", "p", " ", " ", " "]
    with pytest.raises(POSKeyError):
        storage.load(B)
    undo(storage, undo_id(storage))
    assert storage.load(A).data == cell(4)


def test_zodb_reads_what_was_packed_while_commits_went_on(storage: FileStorage, path: Path) -> None:
    def commit() -> None:
        write(storage, {ZERO: holder(A, C), C: cell(3)})
        write(storage, {A: cell(4)})
        undo(storage, undo_id(storage))

    storage.pack(FAR, meanwhile(commit))
    ours = [(t.tid, [(r.oid, r.tid, r.data) for r in t]) for t in storage.iterator()]
    copy = path.with_name("copy.fs")
    shutil.copy(path, copy)
    theirs = ZODB.FileStorage.FileStorage(str(copy))
    assert [(t.tid, [(r.oid, r.tid, r.data) for r in t]) for t in theirs.iterator()] == ours
    assert len(theirs.history(A, 9)) == 3
    theirs.pack(FAR, references)
    assert theirs.load(A)[0] == cell(2)
    theirs.close()


def test_garbage_that_is_linked_again_meanwhile_stays(storage: FileStorage) -> None:
    def link() -> None:
        write(storage, {ZERO: holder(A, B)})

    storage.pack(FAR, meanwhile(link))
    assert storage.load(B).data == cell("garbage")
    assert storage.load(A).data == cell(2)


def test_garbage_that_is_changed_meanwhile_keeps_what_it_was(storage: FileStorage) -> None:
    def change() -> None:
        write(storage, {B: cell("not quite garbage")})

    storage.pack(time_of(storage.lastTransaction()) + 1e-6, meanwhile(change))
    assert len(storage.history(B, 9)) == 2


def test_garbage_that_is_linked_again_and_again_stops_the_pack(
    storage: FileStorage, path: Path
) -> None:
    for number in range(5, 10):
        write(storage, {p64(number): cell("garbage")})
    fresh = iter(range(5, 10))

    def link(data: bytes) -> list[bytes]:
        if data == cell(2):
            write(storage, {ZERO: holder(A, *map(p64, range(5, 1 + next(fresh))))})
        return references(data)

    size = storage.getSize()
    with pytest.raises(StorageError, match="garbage was linked again"):
        storage.pack(FAR, link)
    assert storage.getSize() > size
    assert names(path) == ["", ".lock"]


def test_the_index_fits_the_packed_file(storage: FileStorage, path: Path) -> None:
    storage.pack(FAR, meanwhile(lambda: write(storage, {C: cell(3)})))
    before = dict(storage._opened().index.items())
    storage.close()
    path.with_name("data.fs.index").unlink()
    again = FileStorage(path)
    assert dict(again._opened().index.items()) == before
    again.close()


def test_syncs_are_counted_on_in_the_packed_file(storage: FileStorage) -> None:
    before = storage.counters()
    storage.pack(FAR, references)
    write(storage, {A: cell(3)})
    after_it = storage.counters()
    assert after_it["syncs"] == before["syncs"] + 1
    assert after_it["sync_s"] > before["sync_s"] > 0


def test_who_reads_in_the_old_file_goes_on(storage: FileStorage) -> None:
    old = storage._opened()
    storage.pack(FAR, references)
    assert old.load(B).data == cell("garbage")
    assert old is not storage._opened()


def test_a_transaction_planned_before_the_swap_is_planned_again(storage: FileStorage) -> None:
    transaction = TransactionMetaData()

    def begin() -> None:
        storage.tpc_begin(transaction)
        storage.undo(undo_id(storage), transaction)

    storage.pack(FAR, meanwhile(begin))
    with pytest.raises(UndoError, match="is not here, or was packed"):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    assert storage.load(A).data == cell(2)


@pytest.mark.parametrize("asked", [True, False])
def test_a_pack_that_is_cancelled_leaves_the_file_as_it_was(
    storage: FileStorage, path: Path, asked: bool
) -> None:
    event = threading.Event()
    data = path.read_bytes()
    with pytest.raises(PackCancelledError, match="was cancelled; it is as it was"):
        storage.pack(FAR, meanwhile(event.set), cancel=event.is_set if asked else event)
    assert path.read_bytes() == data
    assert names(path) == ["", ".lock"]
    event.clear()
    storage.pack(FAR, references, cancel=event)
    assert len(storage) == 2


def test_progress_goes_to_the_end_of_the_file(storage: FileStorage) -> None:
    told: list[tuple[int, int]] = []
    size = storage.getSize()
    storage.pack(FAR, references, progress=lambda *done: told.append(done))
    assert told[-1][1] == size
    assert sorted(told) == told
    assert size - told[-1][0] < 20


def test_a_pack_that_has_no_room_says_so_before_it_starts(
    storage: FileStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 990, 10))
    with pytest.raises(FileStorageSpaceError, match="found 10 free bytes, expected") as caught:
        storage.pack(FAR, references)
    assert caught.value.free_bytes == 10
    assert 100 < caught.value.needed_bytes <= storage.getSize()
    assert names(path) == ["", ".lock"]


def test_what_a_killed_pack_left_is_removed_on_opening(storage: FileStorage, path: Path) -> None:
    storage.close()
    path.with_name("data.fs.pack").write_bytes(b"half of it")
    FileStorage(path, read_only=True).close()
    assert ".pack" in names(path)
    FileStorage(path).close()
    assert ".pack" not in names(path)


@pytest.mark.parametrize("gc", [True, False])
def test_an_estimate_says_what_goes_and_changes_nothing(
    storage: FileStorage, path: Path, gc: bool
) -> None:
    data, size = path.read_bytes(), storage.getSize()
    estimate = storage.pack_estimate(FAR, references, gc)
    assert path.read_bytes() == data
    objects, revisions = len(storage), sum(len(list(t)) for t in storage.iterator())
    storage.pack(FAR, references, gc)
    left = sum(len(list(t)) for t in storage.iterator())
    gone = size - storage.getSize()
    assert estimate == PackEstimate(objects - len(storage), revisions - left, gone)


def test_data_that_rotted_are_not_given_a_new_checksum(storage: FileStorage, path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(cell("garbage")) - 60  # in the record before it
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="do not match their checksum"):
        storage.pack(FAR, references)
    assert path.read_bytes() == data
    assert names(path) == ["", ".lock"]


@pytest.mark.parametrize("large_bytes", [1, 400])
@pytest.mark.parametrize("piece_bytes", [1, 150, 4 << 20])
def test_a_large_transaction_is_copied_in_pieces_to_the_same_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch, large_bytes: int, piece_bytes: int
) -> None:
    with closing(FileStorage(path)) as storage:
        oids = [p64(n) for n in range(1, 40)]
        write(storage, {ZERO: holder(*oids[::2])} | {oid: cell(oid.hex()) for oid in oids})
        write(storage, {oid: cell(oid.hex() * 3) for oid in oids[::3]})
        undo(storage, undo_id(storage))  # records that say the same as others
        write(storage, {oids[2]: cell("small")})
    shutil.copy(path, path.with_name("other.fs"))
    with closing(FileStorage(path)) as storage:
        storage.pack(FAR, references)
    monkeypatch.setattr(packsource, "LARGE", large_bytes)
    monkeypatch.setattr(packcopy, "_PIECE_SIZE", piece_bytes)
    with closing(FileStorage(path.with_name("other.fs"))) as other:
        other.pack(FAR, references)
        found = {oid: other.load(oid).data for oid in oids[::2]}
    assert path.with_name("other.fs").read_bytes() == path.read_bytes()
    assert found == {oid: cell(oid.hex()) for oid in oids[::2]} | {oids[2]: cell("small")}


def test_a_large_transaction_is_copied_in_part_and_later_ones_whole(
    storage: FileStorage, path: Path
) -> None:
    large = "x" * (5 << 20)
    moment = write(
        storage, {ZERO: holder(A, C, D), A: cell(large), C: cell("c" + large), D: cell(1)}
    )
    write(storage, {D: cell("d" + large), A: cell("a" + large)})
    storage.pack(time_of(moment.tid) + 1e-6, references)
    assert storage.load(C).data == cell("c" + large)
    assert storage.loadBefore(A, after(moment.tid)) is not None
    assert storage.load(A).data == cell("a" + large)
    storage.pack(FAR, references)
    assert [len(list(t)) for t in storage.iterator()] == [2, 2]
    assert storage.load(C).data == cell("c" + large)
    _assert_all_sealed(storage)


def test_every_packed_transaction_has_a_checksum_for_its_place(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {p64(n): cell(n) for n in range(20)})
    for start in range(1, 20, 3):
        write(storage, {p64(n): cell(-n) for n in range(start, 20, 2)})
    undo(storage, undo_id(storage))
    before = {n: storage.load(p64(n)) for n in range(20)}
    storage.pack(FAR, references, gc=False)
    assert {n: storage.load(p64(n)) for n in range(20)} == before
    _assert_all_sealed(storage)
    storage.close()


def _assert_all_sealed(storage: FileStorage) -> None:
    view = storage._opened()
    scanner = Scanner(view.file, view.end)
    position = 4
    while position < view.end:
        found = scanner.examine(position)
        assert isinstance(found, Transaction)
        assert found.trailer is not None
        position = found.end


def test_garbage_that_is_always_in_use_is_kept(storage: FileStorage) -> None:
    def change(data: bytes) -> list[bytes]:
        if data == cell(2):  # of A, which is read while it is found out what is needed
            write(storage, {B: cell(len(storage.history(B, 100)))})
        return references(data)

    storage.pack(FAR, change)
    assert len(storage.history(B, 100)) > 1


def test_writers_go_on_through_several_packs_and_lose_nothing(path: Path) -> None:
    storage = FileStorage(path, pack_keep_old=False)
    oids = [p64(n) for n in range(1, 5)]
    write(storage, {ZERO: holder(*oids), **{oid: cell(0) for oid in oids}})
    counts = dict.fromkeys(oids, 0)
    enough = threading.Event()
    goal = 0

    def work(oid: bytes, garbage: int) -> None:
        while not enough.is_set():
            number = counts[oid] + 1
            write(storage, {oid: cell(number), p64(garbage + number): cell("garbage")})
            counts[oid] = number

    def reached() -> bool:
        return sum(counts.values()) >= goal

    threads = [
        threading.Thread(target=work, args=(oid, 100_000 * (number + 1)))
        for number, oid in enumerate(oids[:2])
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            goal = sum(counts.values()) + 20
            storage.pack(FAR, slowly(reached))
    finally:
        enough.set()
        for thread in threads:
            thread.join(30)
    assert {oid: storage.load(oid).data for oid in oids} == {
        oid: cell(count) for oid, count in counts.items()
    }
    assert min(counts[oid] for oid in oids[:2]) > 0
    before = dict(storage._opened().index.items())
    _assert_all_sealed(storage)
    storage.close()
    path.with_name("data.fs.index").unlink()
    again = FileStorage(path)
    assert dict(again._opened().index.items()) == before
    again.close()


def slowly(until: Callable[[], bool]) -> Callable[[bytes], list[bytes]]:
    """Return a `references` that goes on only when others have done something."""

    def waiting(data: bytes) -> list[bytes]:
        deadline = time.monotonic() + 30
        while not until() and time.monotonic() < deadline:
            threading.Event().wait(0.001)
        return references(data)

    return waiting


class Watched(FileOperations):
    """Notes the calls by name, the file's suffix, and whether commits wait meanwhile."""

    def __init__(self) -> None:
        self.storage: FileStorage | None = None
        self.calls: list[tuple[str, bool]] = []
        self.kept_open: list[bool] = []

    def _note(self, call: str) -> None:
        if self.storage is not None and self.storage._committer is not None:
            waiting = self.storage._committer._gate._commit_lock.locked()
            self.calls.append((call, waiting))

    def sync(self, descriptor: int) -> None:
        self._note("sync")
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._note(f"rename {source.suffix}")
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._note(f"link {target.suffix}")
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._note(f"unlink {path.suffix}")
        if path.suffix == ".old" and path.exists():
            self.kept_open.append(is_open(path))
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        self._note("sync directory")
        super().sync_directory(path)


def is_open(path: Path) -> bool:
    """Return whether this process has the file open."""
    named = os.stat(path)
    for descriptor in map(int, os.listdir("/dev/fd")):
        try:
            held = os.fstat(descriptor)
        except OSError:  # that of the listing itself
            continue
        if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
            return True
    return False


def test_commits_wait_for_nothing_that_takes_long_in_a_large_file(path: Path) -> None:
    operations = Watched()
    storage = FileStorage(path, operations=operations)
    for number in range(2):
        write(storage, {ZERO: holder(A), A: cell(number), B: cell("garbage")})
        storage._checkpoints.save(storage._checkpoints.begin(storage._opened()))
        operations.calls.clear()
        operations.storage = storage
        storage.pack(FAR, references)
        operations.storage = None
    # The index of the file as it was goes before, and the room of the old file is freed later.
    assert ("unlink .index", False) in operations.calls
    assert operations.kept_open == [True]
    assert [call for call, waiting in operations.calls if waiting] == [
        "sync",
        "unlink .old",
        "link .old",
        "rename .pack",
        "sync directory",
    ]
    storage.close()


def test_a_copy_is_synced_as_it_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packcopy, "_BUFFER_SIZE", 1_000)
    monkeypatch.setattr(packcopy, "_SYNC_SIZE", 10_000)
    operations = Watched()
    storage = FileStorage(path, operations=operations)
    write(storage, {ZERO: holder(A)})
    for number in range(20):
        write(storage, {A: cell(number), p64(number + 10): cell("x" * 4_000)})
    operations.storage = storage
    storage.pack(FAR, references, gc=False)
    assert 6 <= [call for call, _ in operations.calls].count("sync") <= 12
    storage.close()
