import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import ZODB.DB
import ZODB.FileStorage
import ZODB.POSException

from perdure.errors import (
    BackupError,
    FileMissingError,
    FileStorageFormatError,
)
from perdure.ids import ROOT_OID, p64
from perdure.records import references
from perdure.storages import FileStorage
from perdure.tools import back_up, restore
from samples.file_operations import FailingOperations
from samples.transactions import write

Commit = Callable[[int], bytes]


def restored(backups: Path, to: Path, at: bytes | None = None) -> bytes:
    restore(backups, to, at=at, force=True)
    return to.read_bytes()


def names(backups: Path) -> list[str]:
    return sorted(path.name for path in backups.iterdir())


def test_the_first_backup_is_full(path: Path, backups: Path, commit: Commit) -> None:
    tid = commit(1)
    done = back_up(path, backups)
    assert done.manifest is not None
    assert (done.manifest.reason, done.manifest.last_tid) == ("first", tid)
    assert (done.manifest.start, done.manifest.end) == (0, path.stat().st_size)
    assert names(backups) == ["000001.fs.gz", "000001.json", "backup.lock"]


def test_the_next_ones_store_what_was_added(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)
    back_up(path, backups)
    before = path.stat().st_size
    commit(2)
    done = back_up(path, backups)
    assert done.manifest is not None
    assert (done.manifest.follows, done.manifest.start) == (1, before)
    assert "000002.part.gz" in names(backups)


def test_nothing_new_stores_nothing(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)
    back_up(path, backups)
    before = names(backups)
    assert back_up(path, backups).manifest is None
    assert names(backups) == before


def test_an_empty_database_is_backed_up_too(path: Path, backups: Path, tmp_path: Path) -> None:
    done = back_up(path, backups)
    assert done.manifest is not None
    assert done.manifest.last_tid is None
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes() == b"FS30"


def test_a_full_backup_can_be_asked_for(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)
    back_up(path, backups)
    commit(2)
    done = back_up(path, backups, full=True)
    assert done.manifest is not None
    assert (done.manifest.reason, done.manifest.start) == ("requested", 0)


def test_data_can_be_stored_as_they_are(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)
    back_up(path, backups, compress=False)
    assert (backups / "000001.fs").read_bytes() == path.read_bytes()


def test_the_data_are_restored_by_cat_and_gunzip(path: Path, backups: Path, commit: Commit) -> None:
    import gzip

    for hour in range(3):
        commit(hour)
        back_up(path, backups)
    joined = b"".join(p.read_bytes() for p in sorted(backups.glob("*.gz")))
    assert gzip.decompress(joined) == path.read_bytes()


def test_a_packed_file_is_backed_up_in_full(
    path: Path, backups: Path, commit: Commit, storage: FileStorage, tmp_path: Path
) -> None:
    write(storage, {ROOT_OID: b"N.N."}, tid=b"\0\0\0\1" + bytes(4))
    for hour in range(10):
        commit(hour)
    back_up(path, backups)
    storage.pack(4_000_000_000, references)
    for hour in range(10, 30):
        commit(hour)  # larger than before the pack
    done = back_up(path, backups)
    assert done.manifest is not None
    assert done.manifest.reason == "changed"
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()


def test_a_file_that_was_replaced_is_backed_up_in_full(
    path: Path, backups: Path, commit: Commit, storage: FileStorage, tmp_path: Path
) -> None:
    commit(1)
    back_up(path, backups)
    storage.close()
    other = FileStorage(tmp_path / "other.fs")
    for number in range(10):
        write(other, {p64(number): b"N.N."})
    other.close()
    shutil.move(tmp_path / "other.fs", path)
    done = back_up(path, backups)
    assert done.manifest is not None
    assert done.manifest.reason == "changed"
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()


def test_a_file_that_was_cut_is_backed_up_in_full(
    path: Path, backups: Path, commit: Commit, storage: FileStorage
) -> None:
    commit(1)
    end = path.stat().st_size
    commit(2)
    back_up(path, backups)
    storage.close()
    path.with_name("app.fs.index").unlink()
    with path.open("r+b") as file:
        file.truncate(end)
    done = back_up(path, backups)
    assert done.manifest is not None
    assert (done.manifest.reason, done.manifest.end) == ("changed", end)


def test_a_change_in_the_midst_is_noticed_by_a_thorough_backup(
    path: Path, backups: Path, commit: Commit, storage: FileStorage
) -> None:
    for hour in range(300):
        commit(hour)
    back_up(path, backups)
    storage.close()
    middle = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(middle)
        (byte,) = file.read(1)
        file.seek(middle)
        file.write(bytes([byte ^ 1]))
    assert back_up(path, backups).manifest is None
    done = back_up(path, backups, thorough=True)
    assert done.manifest is not None
    assert done.manifest.reason == "changed"


def test_a_file_is_backed_up_while_it_is_written_and_packed(
    path: Path, backups: Path, storage: FileStorage, tmp_path: Path
) -> None:
    write(storage, {ROOT_OID: b"N.N."})
    stop = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                write(storage, {p64(0): b"N.B\x04\0\0\0" + number.to_bytes(4, "big") + b"."})
                if number % 40 == 0:
                    storage.pack(4_000_000_000, references)
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for _ in range(15):
            done = back_up(path, backups)
            if done.manifest is not None:
                restore(backups, tmp_path / "new.fs", force=True)
                copy = FileStorage(tmp_path / "new.fs", read_only=True)
                assert copy.lastTransaction() == done.manifest.last_tid
                assert copy.getSize() == done.manifest.end == (tmp_path / "new.fs").stat().st_size
                copy.close()
    finally:
        stop.set()
        writer.join(30)
    assert errors == []


def test_files_of_zodb_are_backed_up(tmp_path: Path, backups: Path) -> None:
    path = tmp_path / "zodb.fs"
    theirs = ZODB.FileStorage.FileStorage(str(path))
    ZODB.DB(theirs).close()
    back_up(path, backups)
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()


def test_old_full_backups_go_with_what_was_added_to_them(
    path: Path, backups: Path, commit: Commit
) -> None:
    for hour in range(0, 8, 2):
        commit(hour)
        back_up(path, backups, full=True)
        commit(hour + 1)
        back_up(path, backups)
    done = back_up(path, backups, keep=2)
    assert (done.manifest, done.dropped) == (None, 2)
    assert names(backups) == [
        "000005.fs.gz", "000005.json", "000006.json", "000006.part.gz",
        "000007.fs.gz", "000007.json", "000008.json", "000008.part.gz", "backup.lock",
    ]  # fmt: skip
    assert back_up(path, backups, keep=2).dropped == 0
    with pytest.raises(ValueError, match="at least 1"):
        back_up(path, backups, keep=0)


@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC, "short"])
def test_whatever_fails_the_repository_stays_usable(
    path: Path, backups: Path, commit: Commit, tmp_path: Path, kind: int | str
) -> None:
    commit(1)
    back_up(path, backups)
    first = path.read_bytes()
    commit(2)
    countdown, failed = 0, True
    while failed:
        countdown += 1
        copy = tmp_path / f"copy{countdown}"
        shutil.copytree(backups, copy)
        operations = FailingOperations(kind)
        operations.countdown = countdown
        try:
            # All that a backup can do: one that drops an old one.
            back_up(path, copy, full=True, keep=1, operations=operations)
        except OSError as error:
            raised = error.errno
        else:
            raised = None
        assert raised in (None, kind)
        failed = operations.failed is not None
        found = restored(copy, tmp_path / "new.fs")
        assert found in (first, path.read_bytes())
        back_up(path, copy)
        assert restored(copy, tmp_path / "new.fs") == path.read_bytes()
        assert not any(name.startswith("new.") for name in names(copy))
        shutil.rmtree(copy)
    assert countdown > 5


def test_a_disk_that_does_not_keep_what_is_written_is_noticed(
    path: Path, backups: Path, commit: Commit
) -> None:
    class Forgetful(FailingOperations):
        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            import os

            os.pwrite(descriptor, b"\0", 30)  # behind our back

    commit(1)
    with pytest.raises(BackupError, match=r"new\.data"):
        back_up(path, backups, operations=Forgetful())
    assert back_up(path, backups).manifest is not None


def test_two_backups_at_once_are_refused(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)

    def meanwhile(done: int, total: int | None) -> None:
        with pytest.raises(BackupError, match="a backup that is being made"):
            back_up(path, backups)

    back_up(path, backups, progress=meanwhile)


def test_a_directory_of_something_else_is_left_alone(
    path: Path, backups: Path, commit: Commit
) -> None:
    backups.mkdir()
    (backups / "diary.txt").write_text("dear diary")
    with pytest.raises(BackupError, match="found other files"):
        back_up(path, backups)
    assert names(backups) == ["diary.txt"]
    with pytest.raises(BackupError, match="found a file, expected a directory"):
        back_up(path, backups / "diary.txt")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, backups: Path) -> None:
    with pytest.raises(FileMissingError):
        back_up(tmp_path / "missing.fs", backups)
    (tmp_path / "notes.txt").write_text("no database")
    with pytest.raises(FileStorageFormatError):
        back_up(tmp_path / "notes.txt", backups)
    with pytest.raises(FileStorageFormatError):
        back_up(tmp_path, backups)


@pytest.mark.parametrize("damage", ["manifest", "missing data", "missing manifest"])
def test_a_damaged_backup_is_told_and_a_full_one_is_made(
    path: Path, backups: Path, commit: Commit, tmp_path: Path, damage: str
) -> None:
    for hour in range(3):
        commit(hour)
        back_up(path, backups)
    if damage == "manifest":
        (backups / "000002.json").write_bytes(b"{}")
    elif damage == "missing data":
        (backups / "000002.part.gz").unlink()
    else:
        (backups / "000002.json").unlink()
    done = back_up(path, backups)
    assert done.manifest is not None
    assert (done.manifest.reason, done.manifest.number) == ("damaged", 4)
    damaged = "000002.part.gz" if damage == "missing data" else "000002.json"
    assert [Path(error.path).name for error in done.damaged] == [damaged]
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()
    assert back_up(path, backups, keep=1).damaged == ()
    assert names(backups) == ["000004.fs.gz", "000004.json", "backup.lock"]


def test_a_gap_at_the_beginning_is_told_too(path: Path, backups: Path, commit: Commit) -> None:
    for hour in range(2):
        commit(hour)
        back_up(path, backups)
    (backups / "000001.json").unlink()
    done = back_up(path, backups)
    assert done.manifest is not None
    assert done.manifest.reason == "damaged"
    assert [Path(error.path).name for error in done.damaged] == ["000001.json"]


def test_a_thorough_backup_reads_the_earlier_ones(
    path: Path, backups: Path, commit: Commit, tmp_path: Path
) -> None:
    for hour in range(4):
        commit(hour)
        back_up(path, backups, full=hour == 2)
    assert back_up(path, backups, thorough=True).damaged == ()
    told: list[tuple[int, int | None]] = []
    back_up(path, backups, thorough=True, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]

    flip(backups / "000002.part.gz", 40)  # in older backups: what is newer is added to all the same
    commit(4)
    done = back_up(path, backups, thorough=True)
    assert done.manifest is not None
    assert (done.manifest.number, done.manifest.follows) == (5, 4)
    assert [Path(error.path).name for error in done.damaged] == ["000002.part.gz"]

    flip(backups / "000004.part.gz", 40)
    assert back_up(path, backups).damaged == ()  # it was not looked at
    done = back_up(path, backups, thorough=True)
    assert done.manifest is not None
    assert (done.manifest.number, done.manifest.reason) == (6, "damaged")
    names = [Path(error.path).name for error in done.damaged]
    assert names == ["000002.part.gz", "000004.part.gz"]
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_another_database_is_refused_unless_a_full_backup_is_asked_for(
    path: Path, backups: Path, commit: Commit, tmp_path: Path
) -> None:
    commit(1)
    back_up(path, backups)
    other = tmp_path / "other.fs"
    storage = FileStorage(other)
    write(storage, {p64(1): b"N.N."})
    storage.close()
    with pytest.raises(BackupError, match=r"backups of .*app\.fs, expected those of .*other\.fs"):
        back_up(other, backups)
    assert restored(backups, tmp_path / "new.fs") == path.read_bytes()
    assert back_up(tmp_path / "new.fs", backups).manifest is None  # the same, at another place
    done = back_up(other, backups, full=True)
    assert done.manifest is not None
    assert done.manifest.reason == "changed"


def test_progress_counts_the_bytes_of_the_file(path: Path, backups: Path, commit: Commit) -> None:
    commit(1)
    told: list[tuple[int, int | None]] = []
    back_up(path, backups, progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told == [(size, size)]
