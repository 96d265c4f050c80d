"""The index is saved while the storage runs, and is never ahead of the file, nor of another."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import ZODB.FileStorage

from perdure.errors import PackCancelledError
from perdure.fileops import FileOperations
from perdure.ids import ZERO, p64, u64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.checkpoints import Checkpoints
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.indexfile import unpack_index
from perdure.storages.file.loading import Loading, load_view
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.transactions import undo, undo_id, write

INTERVAL = 20_000
A, B = p64(1), p64(2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.fixture
def storage(path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(path, checkpoint_bytes=INTERVAL)
    yield storage
    storage.close()


def index_of(path: Path) -> Path:
    return path.with_name(path.name + ".index")


def fill(storage: FileStorage, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        write(storage, {p64(number): cell("x" * 100)})
        storage._checkpoints.wait()


def as_killed_now(path: Path) -> Path:
    """Return a copy of what is on the disk while the storage is open."""
    copy = path.parent / "killed" / path.name
    copy.parent.mkdir()
    for name in (path, index_of(path)):
        if name.exists():
            shutil.copy(name, copy.parent / name.name)
    return copy


def load(path: Path) -> Loading:
    return load_view(DataFile(path, os.open(path, os.O_RDONLY)), None)


def test_the_index_is_saved_while_commits_go_on(storage: FileStorage, path: Path) -> None:
    fill(storage, 50)
    loading = load(as_killed_now(path))
    assert loading.scanned_from > 4
    assert loading.view.end - loading.scanned_from < INTERVAL
    assert dict(loading.view.index.items()) == dict(storage._opened().index.items())


def test_many_small_commits_are_a_long_scan_too(storage: FileStorage, path: Path) -> None:
    fill(storage, 14)
    assert storage.getSize() < INTERVAL
    assert load(as_killed_now(path)).scanned_from > 4


def test_with_no_interval_the_index_is_saved_only_at_the_end(path: Path) -> None:
    storage = FileStorage(path, checkpoint_bytes=None)
    fill(storage, 50)
    assert not index_of(path).exists()
    storage.close()
    assert load(path).scanned_from == path.stat().st_size


def test_what_a_scan_found_is_saved_at_once(path: Path) -> None:
    storage = FileStorage(path, checkpoint_bytes=None)
    fill(storage, 100)
    storage.close()
    index_of(path).unlink()
    storage = FileStorage(path, checkpoint_bytes=INTERVAL)
    storage._checkpoints.wait()
    assert unpack_index(index_of(path).read_bytes()).position == path.stat().st_size
    storage.close()


class SlowIndex(FileOperations):
    """Keeps the sync of an index waiting until `go_on` is set."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.go_on = threading.Event()
        self._index = -1

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        descriptor = super().open(path, flags, mode)
        self._index = descriptor if path.name.endswith(".index.tmp") else self._index
        return descriptor

    def sync(self, descriptor: int) -> None:
        if descriptor == self._index:
            self._index = -1
            self.waiting.set()
            assert self.go_on.wait(30), "nobody let it go on"
        super().sync(descriptor)


@pytest.fixture
def slow() -> Iterator[SlowIndex]:
    operations = SlowIndex()
    yield operations
    operations.go_on.set()


def test_commits_do_not_wait_for_a_checkpoint_and_are_not_in_it(
    path: Path, slow: SlowIndex
) -> None:
    storage = FileStorage(path, checkpoint_bytes=INTERVAL, operations=slow)
    for number in range(50):
        write(storage, {p64(number): cell("x" * 100)})
    assert slow.waiting.wait(10)
    end = storage.getSize()
    slow.go_on.set()
    storage._checkpoints.wait()
    saved = unpack_index(index_of(path).read_bytes())
    assert 4 < saved.position < end
    assert max(position for _, position in saved.positions.items()) < saved.position
    storage.close()


def test_a_snapshot_stays_as_it_was_while_the_index_changes(path: Path) -> None:
    storage = FileStorage(path, checkpoint_bytes=None)
    write(storage, {p64(n): cell(1) for n in (1, 2, 70_000)})
    view = storage._opened()
    before = dict(view.index.items())
    checkpoints: Checkpoints = storage._checkpoints
    snapshot = checkpoints.begin(view)
    pages = snapshot.pages()
    first = next(pages)
    write(storage, {p64(n): cell(2) for n in (1, 3, 70_000, 70_001, 200_000)})
    seen = dict([first, *pages])
    assert {
        prefix + data[2 * n : 2 * n + 2]: u64(b"\0\0" + data[len(data) // 4 + 6 * n :][:6])
        for prefix, data in seen.items()
        for n in range(len(data) // 8)
    } == before
    checkpoints.save(snapshot)
    storage.close()


def test_a_checkpoint_that_a_pack_overtakes_is_not_put_in_place(
    path: Path, slow: SlowIndex
) -> None:
    storage = FileStorage(path, checkpoint_bytes=INTERVAL, operations=slow)
    write(storage, {ZERO: holder(A), A: cell(0)})
    for number in range(20):
        write(storage, {A: cell(number * "x")})
    assert slow.waiting.wait(10)
    packing = threading.Thread(target=lambda: storage.pack(4e9, references))
    packing.start()
    while storage._checkpoints._snapshot is None or path.stat().st_size > 2000:
        packing.join(0.01)
        assert packing.is_alive()
    assert not index_of(path).exists()  # that of the file before would be a lie
    slow.go_on.set()
    packing.join(30)
    assert unpack_index(index_of(path).read_bytes()).position == path.stat().st_size
    storage.close()
    assert load(path).scanned_from == path.stat().st_size


def test_the_index_is_saved_again_after_a_pack_that_ended_before_its_swap(
    storage: FileStorage, path: Path
) -> None:
    write(storage, {ZERO: holder(A), A: cell(1), B: cell("garbage")})
    storage._checkpoints.save(storage._checkpoints.begin(storage._opened()))
    with pytest.raises(PackCancelledError):
        # It is removed right before commits have to wait.
        storage.pack(4e9, references, cancel=lambda: not index_of(path).exists())
    assert not index_of(path).exists()
    assert storage.load(B).data == cell("garbage")
    write(storage, {A: cell(2)})
    storage._checkpoints.wait()
    assert unpack_index(index_of(path).read_bytes()).position == storage.getSize()


def test_a_checkpoint_that_cannot_be_written_is_logged_and_commits_go_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(FileOperations):
        def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
            if path.name.endswith(".index.tmp"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().open(path, flags, mode)

    storage = FileStorage(path, checkpoint_bytes=INTERVAL, operations=Full())
    fill(storage, 50)
    storage.close()
    assert f"{index_of(path)} could not be saved: [Errno 28] No space left" in caplog.text
    assert dict(load(path).view.index.items())


def test_a_process_that_dies_leaves_a_short_tail(path: Path) -> None:
    program = """
import os, sys
from perdure.ids import p64
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write
storage = FileStorage(sys.argv[1], checkpoint_bytes=20_000)
for number in range(60):
    write(storage, {p64(number): cell(100 * "x")})
    storage._checkpoints.wait()
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    loading = load(path)
    assert 0 < loading.view.end - loading.scanned_from < INTERVAL
    assert len(loading.view.index) == 60


def test_a_long_scan_tells_how_far_it_is(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = FileStorage(path, checkpoint_bytes=None)
    for number in range(20):
        write(storage, {p64(number): cell("x" * (1 << 20))})
    storage.close()
    index_of(path).unlink()
    told: list[tuple[int, int]] = []
    caplog.set_level(logging.INFO, "perdure")
    FileStorage(path, read_only=True, progress=lambda *done: told.append(done)).close()
    total = path.stat().st_size - 4
    assert [all_ for _, all_ in told] == [total, total]
    assert 8 << 20 <= told[0][0] < told[1][0] <= total


def test_a_file_without_records_gets_no_index_for_zodb_could_not_open_it(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {ZERO: cell(0)}, metadata=TransactionMetaData("user " * 9, "description " * 9))
    undo(storage, undo_id(storage))
    storage.pack(4e9, references, gc=False)
    storage.close()
    assert not index_of(path).exists()
    theirs = ZODB.FileStorage.FileStorage(str(path))
    assert len(theirs) == 0
    theirs.close()
