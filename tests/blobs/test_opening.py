"""Opening blob directories: new ones, ZODB's, and what is none."""

import errno
import os
import stat
from pathlib import Path

import pytest
import ZODB.blob

from perdure.blobs import BUSHY, LAWN, open_blob_directory
from perdure.errors import FileAccessError, FileMissingError, FileStorageFormatError
from perdure.fileops import FileOperations
from processes import python
from samples.file_operations import FailingOperations


def test_a_new_directory_is_bushy_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "blobs"

    directory = open_blob_directory(path, FileOperations())

    assert directory.layout is BUSHY
    assert (path / ".layout").read_text() == "bushy"
    assert sorted(os.listdir(path)) == [".layout", "tmp"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path / "tmp")] == [0o700, 0o700]


def test_the_permissions_of_a_directory_that_is_there_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    path.mkdir()
    path.chmod(0o755)

    open_blob_directory(path, FileOperations())

    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize("layout", ["bushy", "lawn"])
def test_the_layout_is_the_one_that_zodb_chose(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "blobs"
    ZODB.blob.FilesystemHelper(str(path), layout).create()

    assert open_blob_directory(path, FileOperations()).layout.name == layout


def test_a_directory_in_use_that_says_nothing_is_a_lawn(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    (path / "0x01").mkdir(parents=True)

    directory = open_blob_directory(path, FileOperations())

    assert directory.layout is LAWN
    assert (path / ".layout").read_text() == "lawn"


def test_a_directory_whose_making_was_cut_short_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    (path / "tmp").mkdir(parents=True)
    (path / "tmp" / ".layout").write_text("bu")

    assert open_blob_directory(path, FileOperations()).layout is BUSHY
    assert (path / ".layout").read_text() == "bushy"


def test_an_unknown_layout_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    path.mkdir()
    (path / ".layout").write_bytes(b"zeocache\xff\n")

    with pytest.raises(FileStorageFormatError) as caught:
        open_blob_directory(path, FileOperations())

    assert str(caught.value) == (
        f"{path}/.layout: found the layout b'zeocache\\xff', expected one of bushy, lawn"
    )


def test_a_file_is_no_blob_directory(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    path.write_bytes(b"")

    with pytest.raises(FileStorageFormatError, match="found a file, expected a blob directory"):
        open_blob_directory(path, FileOperations())


def test_a_directory_below_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(FileAccessError, match="cannot use it for blobs"):
        open_blob_directory(tmp_path / "file" / "blobs", FileOperations())


def test_reading_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "blobs"

    with pytest.raises(FileMissingError):
        open_blob_directory(path, FileOperations(), read_only=True)
    path.mkdir()
    open_blob_directory(path, FileOperations(), read_only=True)

    assert os.listdir(path) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    errors: list[FileAccessError] = []
    while True:
        path = tmp_path / f"blobs{len(errors)}"
        operations = FailingOperations(errno.ENOSPC)
        operations.countdown = len(errors) + 1
        try:
            open_blob_directory(path, operations)
        except FileAccessError as error:
            errors.append(error)
        else:
            break
        # What is left can be used when there is room again.
        assert open_blob_directory(path, FileOperations()).layout is BUSHY
    assert [error.errno for error in errors] == [errno.ENOSPC] * len(errors)
    assert len(errors) > 4


def test_a_directory_that_is_not_writable_is_named(tmp_path: Path) -> None:
    path = tmp_path / "blobs"
    open_blob_directory(path, FileOperations())
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)  # pytest's are for their owner only
    for each in (path / "tmp", path):
        each.chmod(0o555)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from perdure.blobs import open_blob_directory\n"
        "from perdure.errors import FileAccessError\n"
        "from perdure.fileops import FileOperations\n"
        "if os.geteuid() == 0:\n"
        "    os.setuid(65534)\n"  # nobody may keep root from writing
        "open_blob_directory(Path(sys.argv[1]), FileOperations(), read_only=True)\n"
        "try:\n"
        "    open_blob_directory(Path(sys.argv[1]), FileOperations())\n"
        "except FileAccessError as error:\n"
        "    print(error)\n"
    )

    done = python("-c", code, str(path))

    assert done.stdout.strip() == (
        f"{path}: cannot put blobs there: Permission denied; the database was not opened"
    ), done.stderr
