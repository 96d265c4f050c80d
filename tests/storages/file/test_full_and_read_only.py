"""Files on a mount that cannot be written, and on a full one: real ones, where we may mount."""

import errno
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import FileAccessError, FileStorageError
from perdure.ids import p64
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from perdure.tools import back_up, check_file, recover, restore

A, B = p64(1), p64(2)


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["mount", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mounting does not work here: {done.stderr.strip()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "mount"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], timeout=60, check=True)


def fill_up(place: Path, left: int = 0) -> Path:
    """Take all room but `left` pages of 4096 bytes."""
    free = os.statvfs(place)
    filler = place / "filler"
    filler.write_bytes(b"\0" * (free.f_bavail - left) * free.f_frsize)
    return filler


def test_a_file_on_a_read_only_mount_can_be_read_and_not_written(place: Path) -> None:
    path = place / "data.fs"
    storage = FileStorage(path)
    tid = write(storage, {A: cell(1)}).tid
    storage.close()
    gc.collect()  # a file that is open for writing keeps the mount busy
    mount("-o", "remount,ro", place)

    storage = FileStorage(path, read_only=True)
    assert storage.load(A) == (cell(1), tid)
    assert not storage.refresh()
    storage.close()
    assert check_file(path, follow_references=False).sound
    with pytest.raises(FileAccessError, match="Read-only file system") as caught:
        FileStorage(path)
    assert caught.value.errno == errno.EROFS


def test_a_file_that_finds_no_room_is_not_created(place: Path) -> None:
    filler = fill_up(place)
    path = place / "data.fs"
    with pytest.raises(FileAccessError) as caught:
        FileStorage(path)
    assert caught.value.errno == errno.ENOSPC
    filler.unlink()
    storage = FileStorage(path)
    write(storage, {A: cell(1)})
    storage.close()


def test_a_commit_that_finds_no_room_leaves_nothing_and_can_be_tried_again(place: Path) -> None:
    path = place / "data.fs"
    storage = FileStorage(path)
    tid = write(storage, {A: cell(1)}).tid
    end = storage.getSize()
    filler = fill_up(place, left=2)
    with pytest.raises(FileAccessError, match="No space left on device; nothing of the"):
        write(storage, {B: cell("x" * 150_000)})  # more than its reserve has room for
    assert path.stat().st_size == storage.getSize() == end
    assert storage.load(A) == (cell(1), tid)
    assert write(storage, {A: cell(2)}).tid > tid  # a small one still fits

    filler.unlink()
    write(storage, {B: cell("x" * 50_000)})
    storage.close()
    assert check_file(path, follow_references=False).findings == ()


def test_an_index_that_finds_no_room_costs_a_scan_and_nothing_else(place: Path) -> None:
    path = place / "data.fs"
    storage = FileStorage(path)
    tid = write(storage, {A: cell(1)}).tid
    fill_up(place)
    storage.close()
    storage = FileStorage(path, read_only=True)
    assert storage.load(A) == (cell(1), tid)
    storage.close()


def test_a_pack_that_finds_no_room_leaves_the_file_as_it_was(place: Path) -> None:
    path = place / "data.fs"
    storage = FileStorage(path, reserve_bytes=0)
    for number in range(4):
        tid = write(storage, {A: cell(str(number) * 20_000)}).tid
    filler = fill_up(place, left=1)
    before = path.read_bytes()
    with pytest.raises(FileStorageError) as caught:
        storage.pack(2**31, lambda data: [], gc=False)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    filler.unlink()
    storage.pack(2**31, lambda data: [], gc=False)
    assert storage.load(A) == (cell("3" * 20_000), tid)
    storage.close()


def test_tools_that_find_no_room_name_the_place_and_leave_no_draft(
    place: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data.fs"
    storage = FileStorage(path)
    write(storage, {A: cell("x" * 50_000)})
    storage.close()
    back_up(path, tmp_path / "backups", compress=False)
    filler = fill_up(place, left=1)

    new = place / "new.fs"
    for work in (
        lambda: restore(tmp_path / "backups", new),
        lambda: recover(path, new),
        lambda: back_up(path, place / "backups", compress=False),
    ):
        with pytest.raises(FileAccessError, match="No space left on device") as caught:
            work()
        assert str(place) in str(caught.value)
        left = {each.name for each in place.iterdir()}
        assert left <= {"filler", "new.fs.lock", "backups"}

    filler.unlink()
    back_up(path, place / "backups", compress=False)
    recover(path, new)
    restore(place / "backups", new, force=True)
    assert new.read_bytes() == path.read_bytes()
