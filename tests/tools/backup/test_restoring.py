import filecmp
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.errors import BackupError, FileAccessError, FileLockedError
from perdure.ids import ROOT_OID, after, before
from perdure.records import references
from perdure.storages import FileStorage
from perdure.tools import back_up, restore
from samples.file_operations import FailingOperations
from samples.transactions import write

Commit = Callable[[int], bytes]


def is_beginning_of(part: Path, whole: Path) -> bool:
    with whole.open("rb") as file:
        return file.read(part.stat().st_size) == part.read_bytes()


@pytest.fixture
def tids(path: Path, backups: Path, commit: Commit) -> list[bytes]:
    """Return the tids of nine transactions, in three backups of three each."""
    tids = []
    for hour in range(9):
        tids.append(commit(hour))
        if hour % 3 == 2:
            back_up(path, backups)
    return tids


def test_a_restored_file_is_the_same_byte_by_byte(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    done = restore(backups, tmp_path / "new.fs")
    assert filecmp.cmp(path, tmp_path / "new.fs", shallow=False)
    assert (done.last_tid, done.size_bytes) == (tids[-1], path.stat().st_size)
    assert done.incomplete == ""


def test_every_moment_can_be_restored(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    for number, tid in enumerate(tids):
        new = tmp_path / f"{number}.fs"
        for at in (tid, after(tid), before(tids[number + 1]) if number < 8 else tid):
            assert restore(backups, new, at=at, force=True).last_tid == tid
            assert is_beginning_of(new, path)
        with FileStorageAt(new) as storage:
            assert storage.lastTransaction() == tid
            assert len(list(storage.iterator())) == number + 1


class FileStorageAt:
    """A file storage that is closed at the end of a block."""

    def __init__(self, path: Path) -> None:
        self._storage = FileStorage(path)

    def __enter__(self) -> FileStorage:
        return self._storage

    def __exit__(self, *exc_info: object) -> None:
        self._storage.close()


def test_a_moment_before_everything_is_refused(
    backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="no transaction so old"):
        restore(backups, tmp_path / "new.fs", at=before(tids[0]))
    assert not (tmp_path / "new.fs").exists()


def test_a_moment_before_a_pack_comes_from_the_backups_before_it(
    path: Path, backups: Path, commit: Commit, storage: FileStorage, tmp_path: Path
) -> None:
    write(storage, {ROOT_OID: b"N.N."}, tid=b"\0\0\0\1" + bytes(4))
    old = [commit(hour) for hour in range(6)]
    back_up(path, backups)
    before_pack = path.read_bytes()
    lost = commit(7)
    storage.pack(4_000_000_000, references)
    new = commit(9)
    back_up(path, backups)
    target = tmp_path / "new.fs"
    assert restore(backups, target, at=old[3], force=True).last_tid == old[3]
    assert before_pack.startswith(target.read_bytes())
    done = restore(backups, target, at=lost, force=True)
    assert done.last_tid == old[-1]
    assert "packed or replaced before the next one, 000002" in done.incomplete
    assert restore(backups, target, at=new, force=True).incomplete == ""
    assert target.read_bytes() == path.read_bytes()


def test_a_moment_that_only_a_packed_file_holds_is_refused(
    path: Path, backups: Path, commit: Commit, storage: FileStorage, tmp_path: Path
) -> None:
    write(storage, {ROOT_OID: b"N.N."}, tid=b"\0\0\0\1" + bytes(4))
    old = [commit(hour) for hour in range(6)]
    storage.pack(4_000_000_000, references)
    commit(9)
    back_up(path, backups)
    with pytest.raises(BackupError, match="restore a later moment"):
        restore(backups, tmp_path / "new.fs", at=old[3])


def test_a_full_backup_on_request_loses_no_moment(
    path: Path, backups: Path, commit: Commit, tmp_path: Path
) -> None:
    commit(1)
    back_up(path, backups)
    between = commit(2)
    commit(3)
    back_up(path, backups, full=True)
    done = restore(backups, tmp_path / "new.fs", at=between)
    assert (done.last_tid, done.incomplete) == (between, "")


def test_nothing_is_overwritten_unless_told_to(
    backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "new.fs"
    target.write_text("precious")
    (tmp_path / "new.fs.index").write_text("of the precious one")
    with pytest.raises(BackupError, match="so that nothing is lost"):
        restore(backups, target)
    assert target.read_text() == "precious"
    restore(backups, target, force=True)
    assert not (tmp_path / "new.fs.index").exists()
    with FileStorageAt(target) as storage:
        assert storage.lastTransaction() == tids[-1]


def test_a_directory_is_never_replaced(backups: Path, tids: list[bytes], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(BackupError, match="found a directory, expected a data file, or nothing"):
        restore(backups, place, force=True)
    assert not (tmp_path / "place.lock").exists()


def test_a_file_in_use_is_never_replaced(path: Path, backups: Path, tids: list[bytes]) -> None:
    with pytest.raises(FileLockedError):
        restore(backups, path, force=True)


def test_a_directory_that_is_not_there_is_named(
    backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    with pytest.raises(FileAccessError, match="missing"):
        restore(backups, tmp_path / "missing" / "new.fs")
    with pytest.raises(BackupError, match="found nothing"):
        restore(tmp_path / "missing", tmp_path / "new.fs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackupError, match="no backup"):
        restore(tmp_path / "empty", tmp_path / "new.fs")


def damage_named(backups: Path, to: Path) -> str | None:
    """Return which file a restoration says is damaged, None if it succeeds."""
    try:
        restore(backups, to, force=True)
    except BackupError as error:
        return Path(error.path).name
    return None


def test_any_byte_that_changed_is_noticed_and_its_file_is_named(
    path: Path, backups: Path, commit: Commit, tmp_path: Path
) -> None:
    for hour in range(2):
        commit(hour)
        back_up(path, backups)
    harmless = 0
    for damaged in sorted(backups.glob("0*")):
        intact = damaged.read_bytes()
        for position in range(len(intact)):
            changed = bytearray(intact)
            changed[position] ^= 0x10
            damaged.write_bytes(changed)
            named = damage_named(backups, tmp_path / "new.fs")
            if named is None:
                # Nothing depends on a few bytes in the header of gzip.
                assert (tmp_path / "new.fs").read_bytes() == path.read_bytes()
                harmless += 1
            else:
                assert named == damaged.name
        damaged.write_bytes(intact)
    assert harmless < 30


@pytest.mark.parametrize("name", ["000001.fs.gz", "000002.part.gz", "000003.part.gz"])
def test_a_file_that_is_cut_or_missing_is_named(
    backups: Path, tids: list[bytes], tmp_path: Path, name: str
) -> None:
    intact = (backups / name).read_bytes()
    for size in (0, 1, 9, 11, len(intact) // 2, len(intact) - 1):
        (backups / name).write_bytes(intact[:size])
        with pytest.raises(BackupError, match=name):
            restore(backups, tmp_path / "new.fs")
    (backups / name).unlink()
    with pytest.raises(BackupError, match=rf"{name}: found no file"):
        restore(backups, tmp_path / "new.fs")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("new.fs")] == ["new.fs.lock"]


def test_what_is_not_needed_may_be_damaged(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    (backups / "000003.part.gz").unlink()
    (backups / "000003.json").write_text("{")
    assert restore(backups, tmp_path / "new.fs", at=tids[4]).last_tid == tids[4]
    with pytest.raises(BackupError, match=r"000003\.json: found no manifest"):
        restore(backups, tmp_path / "newest.fs")


def test_a_missing_manifest_is_noticed(backups: Path, tids: list[bytes], tmp_path: Path) -> None:
    (backups / "000002.json").unlink()
    with pytest.raises(BackupError, match=r"000002\.json: found no file"):
        restore(backups, tmp_path / "new.fs")
    assert restore(backups, tmp_path / "new.fs", at=tids[1]).last_tid == tids[1]


def test_a_restoration_that_fails_leaves_what_was_there(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "new.fs"
    countdown, failed = 0, True
    while failed:
        countdown += 1
        target.write_text("precious")
        operations = FailingOperations()
        operations.countdown = countdown
        try:
            restore(backups, target, force=True, operations=operations)
        except OSError:
            if operations.failed != "sync_directory":
                assert target.read_text() == "precious"
        else:
            assert target.read_bytes() == path.read_bytes()
        failed = operations.failed is not None
        assert not (tmp_path / "new.fs.restoring").exists()
    assert countdown > 4


def test_a_restored_file_goes_on_being_backed_up(
    path: Path, backups: Path, tids: list[bytes], storage: FileStorage, tmp_path: Path
) -> None:
    storage.close()
    restore(backups, path, force=True)
    assert back_up(path, backups).manifest is None
    restore(backups, path, at=tids[4], force=True)
    with FileStorageAt(path) as again:
        write(again, {ROOT_OID: b"N.N."})
    done = back_up(path, backups)
    assert done.manifest is not None
    assert done.manifest.reason == "changed"
    shutil.copy(path, tmp_path / "kept.fs")
    restore(backups, path, force=True)
    assert filecmp.cmp(path, tmp_path / "kept.fs", shallow=False)
