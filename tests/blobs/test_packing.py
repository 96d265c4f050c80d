"""Packing blob directories: what goes, what stays, and the old directory."""

import errno
import os
from pathlib import Path

import pytest

from perdure.blobs import BlobDirectory, open_blob_directory, pack_blobs
from perdure.blobs.packing import old_path
from perdure.fileops import FileOperations
from perdure.ids import MAX_TID, p64

A, B = p64(1), p64(2)
FIRST, SECOND, THIRD = (p64((1 << 56) + n) for n in (1, 2, 3))


@pytest.fixture
def filled(directory: BlobDirectory) -> BlobDirectory:
    """Three revisions of one object, one of another; the content is oid and tid."""
    for oid, tid in ((A, FIRST), (A, SECOND), (A, THIRD), (B, FIRST)):
        source = directory.temporary / "source"
        source.write_bytes(oid + tid)
        staged = directory.stage(oid, source)
        directory.place(staged, oid, tid)
        directory.unstage(staged)
    return directory


def contents(directory: BlobDirectory) -> set[tuple[bytes, bytes]]:
    found = {(oid, tid) for oid in directory.objects() for tid in directory.revisions(oid)}
    assert all(directory.path_of(*each).read_bytes() == b"".join(each) for each in found)
    return found


def test_what_is_not_needed_goes(filled: BlobDirectory) -> None:
    removed = pack_blobs(filled, MAX_TID, lambda oid, tid: (oid, tid) == (A, THIRD))

    assert removed == 3
    assert contents(filled) == {(A, THIRD)}
    assert not filled.path_of(B, FIRST).parent.exists()


def test_what_came_later_than_the_pack_stays(filled: BlobDirectory) -> None:
    pack_blobs(filled, SECOND, lambda oid, tid: False)

    assert contents(filled) == {(A, THIRD)}


def test_the_old_directory_has_what_there_was(filled: BlobDirectory) -> None:
    before = contents(filled)
    stale = old_path(filled) / "stale"
    stale.mkdir(parents=True)

    pack_blobs(filled, MAX_TID, lambda oid, tid: tid == THIRD, FileOperations())

    old = open_blob_directory(old_path(filled), FileOperations(), read_only=True)
    assert old.layout is filled.layout
    assert contents(old) == before
    assert os.path.samefile(old.find(A, THIRD), filled.find(A, THIRD))
    assert contents(filled) == {(A, THIRD)}
    assert not stale.exists()


def test_without_links_the_old_directory_has_what_was_removed(
    filled: BlobDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(filled._operations, "link", no_links)

    pack_blobs(filled, MAX_TID, lambda oid, tid: tid == THIRD, FileOperations())

    old = open_blob_directory(old_path(filled), FileOperations(), read_only=True)
    assert contents(old) == {(A, FIRST), (A, SECOND), (B, FIRST)}
    assert "links are impossible" in caplog.text


def test_an_interrupted_pack_goes_on_with_the_next(filled: BlobDirectory) -> None:
    asked = []

    def needed(oid: bytes, tid: bytes) -> bool:
        asked.append((oid, tid))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        pack_blobs(filled, MAX_TID, needed)
    assert len(contents(filled)) == 2

    pack_blobs(filled, MAX_TID, needed)
    assert contents(filled) == set()
