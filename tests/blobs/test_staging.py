"""The blobs of one transaction, from the file that comes to the blob that stays or goes."""

import errno
import os
from pathlib import Path

import pytest

from perdure.blobs import BlobDirectory, StagedBlobs, open_blob_directory
from perdure.errors import FileAccessError
from perdure.ids import p64
from samples.file_operations import FailingOperations

A, B = p64(1), p64(2)
FIRST, SECOND, THIRD = (p64((1 << 56) + n) for n in (1, 2, 3))


def commit(directory: BlobDirectory, tid: bytes, **blobs: bytes) -> None:
    staged = StagedBlobs(directory)
    oids = {"a": A, "b": B}
    for name, content in blobs.items():
        staged.add(oids[name], new_file(directory, content))
    staged.place(tid, [oids[name] for name in blobs], {})
    staged.keep()


def new_file(directory: BlobDirectory, content: bytes) -> str:
    path = directory.temporary / f"file-{os.urandom(4).hex()}"
    path.write_bytes(content)
    return str(path)


def test_blobs_are_there_when_placed_and_only_they_when_kept(directory: BlobDirectory) -> None:
    staged = StagedBlobs(directory)
    staged.add(A, new_file(directory, b"a"))
    staged.add(B, new_file(directory, b"b"))
    assert not directory.has(A, FIRST)

    staged.place(FIRST, {A, B}, {})
    assert directory.path_of(A, FIRST).read_bytes() == b"a"
    assert len(os.listdir(directory.temporary)) == 2
    staged.keep()

    assert os.listdir(directory.temporary) == []
    assert directory.path_of(B, FIRST).read_bytes() == b"b"


@pytest.mark.parametrize("placed", [False, True])
def test_nothing_is_left_of_what_is_discarded(directory: BlobDirectory, placed: bool) -> None:
    commit(directory, FIRST, a=b"a")
    staged = StagedBlobs(directory)
    staged.add(A, new_file(directory, b"new"))
    if placed:
        staged.place(SECOND, {A}, {})

    staged.discard()

    assert directory.revisions(A) == [FIRST]
    assert os.listdir(directory.temporary) == []


def test_a_blob_without_a_record_is_not_placed(directory: BlobDirectory) -> None:
    staged = StagedBlobs(directory)
    staged.add(A, new_file(directory, b"a"))

    staged.place(FIRST, [], {})
    staged.keep()

    assert not directory.has(A, FIRST)
    assert os.listdir(directory.temporary) == []


def test_a_reverted_object_gets_the_blob_of_the_earlier_revision(directory: BlobDirectory) -> None:
    commit(directory, FIRST, a=b"one")
    commit(directory, SECOND, a=b"two", b=b"b")
    staged = StagedBlobs(directory)
    staged.add(A, new_file(directory, b"stored before the undo"))

    staged.place(THIRD, {A, B}, {A: FIRST, p64(3): FIRST})
    staged.keep()

    assert directory.path_of(A, THIRD).read_bytes() == b"one"
    assert os.path.samefile(directory.find(A, THIRD), directory.find(A, FIRST))
    assert not directory.has(B, THIRD)
    assert os.listdir(directory.temporary) == []


def test_a_file_that_cannot_be_taken_over_fails_the_vote_too(directory: BlobDirectory) -> None:
    staged = StagedBlobs(directory)
    missing = str(directory.temporary / "missing")

    with pytest.raises(FileAccessError) as caught:
        staged.add(A, missing)
    assert str(caught.value) == (
        f"{missing}: cannot take it over into {directory.temporary}: No such file or directory; "
        "nothing of the transaction was kept"
    )

    with pytest.raises(FileAccessError, match="take it over"):
        staged.place(FIRST, {A}, {})
    staged.discard()
    assert not directory.has(A, FIRST)


def test_whatever_call_fails_the_error_is_typed_and_nothing_is_left(tmp_path: Path) -> None:
    operations = FailingOperations(errno.EIO)
    directory = open_blob_directory(tmp_path / "blobs", operations)
    commit(directory, FIRST, a=b"one")
    failed: list[str | None] = []
    errors: list[FileAccessError] = []
    while True:
        staged = StagedBlobs(directory)
        operations.failed = None
        operations.countdown = len(failed) + 1
        source = new_file(directory, b"two")
        try:
            staged.add(A, source)
            staged.place(SECOND, {A, B}, {B: FIRST})
        except FileAccessError as error:
            errors.append(error)
            failed.append(operations.failed)
            staged.discard()
            Path(source).unlink(missing_ok=True)
            assert directory.revisions(A) == [FIRST]
            assert os.listdir(directory.temporary) == []
        else:
            break
    operations.countdown = 0
    assert [error.errno for error in errors] == [errno.EIO] * len(errors)
    assert None not in failed
    assert {"rename", "open", "sync", "link", "sync_directory"} <= set(failed)
    staged.keep()
    assert directory.path_of(A, SECOND).read_bytes() == b"two"


def test_what_cannot_be_removed_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operations = FailingOperations(errno.EIO)
    directory = open_blob_directory(tmp_path / "blobs", operations)
    staged = StagedBlobs(directory)
    staged.add(A, new_file(directory, b"a"))
    staged.place(FIRST, {A}, {})
    operations.countdown = 1

    staged.keep()

    assert operations.failed == "unlink"
    assert "could not be removed" in caplog.text
    assert directory.clean(FIRST) == 0
    assert directory.path_of(A, FIRST).read_bytes() == b"a"
