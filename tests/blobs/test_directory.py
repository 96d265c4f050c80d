"""A blob directory on disk: how files come in, what is durable when, and how they go."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from perdure.blobs import BlobDirectory, BlobFile, open_blob_directory
from perdure.errors import FileAccessError, MissingBlobError
from perdure.fileops import FileOperations
from perdure.ids import p64

OID, OTHER = p64(0x1A), p64(0x1B)
TID, LATER = bytes.fromhex("03f1c2a4b5d6e7f8"), bytes.fromhex("03f1c2a4b5d6e7f9")
NAME = "0x03f1c2a4b5d6e7f8.blob"


def bring_in(directory: BlobDirectory, source: Path, oid: bytes = OID, tid: bytes = TID) -> Path:
    staged = directory.stage(oid, source)
    directory.place(staged, oid, tid)
    directory.settle([oid])
    directory.unstage(staged)
    return directory.path_of(oid, tid)


class WithoutLinks(FileOperations):
    """A file system in which each file has one name."""

    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(target))


def test_a_file_that_comes_in_is_moved(directory: BlobDirectory, source: Path) -> None:
    inode = source.stat().st_ino

    path = bring_in(directory, source)

    assert path.stat().st_ino == inode
    assert path.stat().st_nlink == 1
    assert not source.exists()
    assert directory.find(OID, TID) == str(path)


def test_a_staged_file_cannot_be_written_any_more(directory: BlobDirectory, source: Path) -> None:
    source.chmod(0o666)

    staged = directory.stage(OID, source)

    assert stat.S_IMODE(staged.stat().st_mode) == 0o444


def test_who_may_read_the_directory_may_read_its_blobs(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o750)
    source.chmod(0o600)
    directory = open_blob_directory(path, FileOperations())

    blob = bring_in(directory, source)

    assert stat.S_IMODE(blob.stat().st_mode) == 0o440
    assert {stat.S_IMODE(each.stat().st_mode) for each in blob.parents if path in each.parents} == {
        0o750
    }


def test_the_data_is_durable_before_it_has_its_name_and_the_name_before_it_is_settled(
    directory: BlobDirectory, source: Path, operations: Any
) -> None:
    bring_in(directory, source)

    done = [name for name, _ in operations.calls]
    staged = operations.calls[0][1]
    assert operations.calls[:2] == [("rename", staged), ("sync", staged)]
    link = operations.calls.index(("link", NAME))
    made = [name for what, name in operations.calls if what == "make_directory"]
    assert done[2:link] == ["make_directory"] * len(made)
    synced = [name for what, name in operations.calls[link:] if what == "sync_directory"]
    # Each new directory is named in the one above it, and the blob in the last of them.
    assert sorted(synced) == sorted(["blobs", *made])
    assert operations.calls[-1] == ("unlink", staged)


def test_a_directory_made_by_somebody_else_is_made_durable_too(
    directory: BlobDirectory, source: Path, operations: Any
) -> None:
    # A process that was killed may have made it and not synced it.
    os.makedirs(directory.path_of(OID, TID).parent)

    bring_in(directory, source)

    assert ("sync_directory", "blobs") in operations.calls


def test_what_is_durable_is_not_synced_again(
    directory: BlobDirectory, source: Path, operations: Any
) -> None:
    bring_in(directory, source)
    operations.calls.clear()
    source.write_bytes(b"more")

    bring_in(directory, source, tid=LATER)

    assert [name for what, name in operations.calls if what == "sync_directory"] == ["0x1a"]


def test_a_blob_left_by_a_crash_gives_way(directory: BlobDirectory, source: Path) -> None:
    path = directory.path_of(OID, TID)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"left")

    bring_in(directory, source)

    assert path.read_bytes() == b"content"


def test_without_links_a_file_is_renamed_and_its_first_name_still_tells_of_it(
    tmp_path: Path, source: Path
) -> None:
    directory = open_blob_directory(tmp_path / "blobs", WithoutLinks())
    staged = directory.stage(OID, source)

    directory.place(staged, OID, TID)

    assert directory.path_of(OID, TID).read_bytes() == b"content"
    assert staged.read_bytes() == b""
    assert directory.clean(p64(1)) == 1
    assert not directory.has(OID, TID)


def test_a_file_on_another_device_is_copied_in_pieces(
    directory: BlobDirectory, source: Path, monkeypatch: pytest.MonkeyPatch, operations: Any
) -> None:
    def other_device(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(operations, "rename", other_device)
    content = os.urandom((1 << 20) + 17)
    source.write_bytes(content)

    path = bring_in(directory, source)

    assert path.read_bytes() == content
    assert not source.exists()


def test_a_file_that_cannot_be_copied_stays_and_leaves_nothing(
    directory: BlobDirectory, source: Path, monkeypatch: pytest.MonkeyPatch, operations: Any
) -> None:
    def other_device(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def full(descriptor: int, pieces: Any, position: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(operations, "rename", other_device)
    monkeypatch.setattr(operations, "write", full)

    with pytest.raises(OSError, match="No space"):
        directory.stage(OID, source)

    assert source.read_bytes() == b"content"
    assert os.listdir(directory.temporary) == []


def test_a_file_that_cannot_be_synced_is_not_kept(
    directory: BlobDirectory, source: Path, monkeypatch: pytest.MonkeyPatch, operations: Any
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(operations, "sync", broken)

    with pytest.raises(OSError, match="Input/output"):
        directory.stage(OID, source)

    assert os.listdir(directory.temporary) == []


def test_a_symbolic_link_does_not_come_in_but_what_it_stands_for(
    directory: BlobDirectory, source: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)

    path = bring_in(directory, link)

    assert not path.is_symlink()
    assert path.read_bytes() == b"content"
    assert source.exists()
    assert not link.is_symlink()


def test_a_missing_blob_says_where_it_was_looked_for(directory: BlobDirectory) -> None:
    with pytest.raises(MissingBlobError) as caught:
        directory.find(OID, TID)

    assert caught.value.path == str(directory.path_of(OID, TID))
    assert str(caught.value) == (
        f"{directory.path_of(OID, TID)}: found no file, expected the blob of oid 0x1a as the "
        "transaction 0x03f1c2a4b5d6e7f8 wrote it; bring it back from a backup, "
        "unless that revision was packed away"
    )


def test_opening_gives_a_plain_file_or_that_of_a_blob(
    directory: BlobDirectory, source: Path
) -> None:
    class Opened:
        def closed(self, f: BlobFile) -> None:
            pass

    bring_in(directory, source)

    with directory.open(OID, TID) as plain, directory.open(OID, TID, Opened()) as file:
        assert not isinstance(plain, BlobFile)
        assert isinstance(file, BlobFile)
        assert plain.read() == file.read() == b"content"


def test_objects_and_revisions_are_found(directory: BlobDirectory, source: Path) -> None:
    for oid, tid in ((OID, LATER), (OID, TID), (OTHER, TID)):
        source.write_bytes(b"content")
        bring_in(directory, source, oid, tid)
    (directory.path_of(OID, TID).parent / "stranger").write_bytes(b"")
    (directory.path / "0xnothing").mkdir()
    (directory.temporary / "0x1c").mkdir()

    assert sorted(directory.objects()) == [OID, OTHER]
    assert directory.revisions(OID) == [TID, LATER]
    assert directory.revisions(p64(9)) == []


def test_removing_the_last_blob_of_an_object_removes_its_directory(
    directory: BlobDirectory, source: Path
) -> None:
    for oid, tid in ((OID, TID), (OID, LATER), (OTHER, TID)):
        source.write_bytes(b"content")
        bring_in(directory, source, oid, tid)

    directory.remove(OID, TID)
    assert directory.path_of(OID, LATER).exists()
    directory.remove(OID, LATER)

    assert not directory.path_of(OID, TID).parent.exists()
    assert directory.path_of(OTHER, TID).exists()
    directory.remove(OTHER, TID)
    assert sorted(os.listdir(directory.path)) == [".layout", "tmp"]


def test_removing_what_is_not_there_is_harmless(directory: BlobDirectory) -> None:
    directory.remove(OID, TID)

    assert directory.path.exists()


def test_a_directory_that_was_removed_is_made_durable_anew(
    directory: BlobDirectory, source: Path, operations: Any
) -> None:
    bring_in(directory, source)
    directory.remove(OID, TID)
    operations.calls.clear()
    source.write_bytes(b"content")

    bring_in(directory, source)

    assert ("sync_directory", "blobs") in operations.calls


def test_cleaning_removes_what_never_was_and_keeps_what_is(
    directory: BlobDirectory, source: Path
) -> None:
    bring_in(directory, source)
    for oid in (OID, OTHER):
        source.write_bytes(b"lost")
        directory.place(directory.stage(oid, source), oid, LATER)
    source.write_bytes(b"only staged")
    directory.stage(p64(9), source)
    stranger = directory.temporary / "BUC0011"
    stranger.write_bytes(b"of somebody else")

    assert directory.clean(TID) == 2

    assert directory.revisions(OID) == [TID]
    assert directory.revisions(OTHER) == []
    assert list(directory.temporary.iterdir()) == [stranger]


def test_cleaning_keeps_a_blob_whose_transaction_counts(
    directory: BlobDirectory, source: Path
) -> None:
    # The crash came between the transaction and the end of its bookkeeping.
    directory.place(directory.stage(OID, source), OID, TID)

    assert directory.clean(TID) == 0

    assert directory.path_of(OID, TID).read_bytes() == b"content"
    assert os.listdir(directory.temporary) == []


def test_a_blob_that_the_system_does_not_show_is_not_called_missing(
    directory: BlobDirectory, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bring_in(directory, source)

    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(FileAccessError) as caught:
        directory.find(OID, TID)
    assert str(caught.value) == (
        f"{path}: cannot read this blob: Permission denied; nothing was changed"
    )
