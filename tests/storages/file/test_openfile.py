import errno
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import (
    FileAccessError,
    FileMissingError,
    FileStorageError,
    FileStorageFormatError,
)
from perdure.ids import ZERO
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write

NOBODY = 65534

# Everything is imported before: an interpreter may be out of reach for nobody.
UNPRIVILEGED = """
import os
import sys
from perdure.errors import FileAccessError
from perdure.storages.file import FileStorage
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    FileStorage(sys.argv[1], read_only=sys.argv[2] == "read").close()
    print("opened")
except FileAccessError as error:
    print(f"FileAccessError: {error}")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"FS21" + b"x" * 100, "it is a database of Python 2; convert it with zodbupdate"),
        (b"FS31" + b"x" * 100, "it is of a newer format"),
        (b"SQLite format 3\0", "it is not a database"),
        (b"FS3", ""),
        (b"x", "it is not a database"),
    ],
)
def test_what_is_not_our_format_is_refused_by_name_and_left_alone(
    path: Path, content: bytes, advice: str, read_only: bool
) -> None:
    path.write_bytes(content)
    if content == b"FS3":  # the beginning of a magic: a creation that was cut short
        FileStorage(path, read_only=read_only).close()
        return
    with pytest.raises(FileStorageFormatError) as caught:
        FileStorage(path, read_only=read_only)
    assert advice in str(caught.value)
    assert str(caught.value).startswith(f"{path}: found {content[:4]!r}, expected b'FS30' at its")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"F", b"FS", b"FS3"])
def test_a_creation_that_was_cut_short_is_an_empty_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    storage = FileStorage(path, read_only=True)
    assert (len(storage), storage.lastTransaction(), list(storage.iterator())) == (0, ZERO, [])
    storage.close()
    assert path.read_bytes() == content

    storage = FileStorage(path)
    tid = write(storage, {ZERO: cell(1)}).tid
    storage.close()
    storage = FileStorage(path)
    assert storage.load(ZERO) == (cell(1), tid)
    storage.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_directory_is_refused(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(FileStorageFormatError, match="found a directory, expected a data file"):
        FileStorage(tmp_path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_fifo_is_refused_without_waiting_for_its_other_end(path: Path, read_only: bool) -> None:
    os.mkfifo(path)
    with pytest.raises(FileStorageFormatError, match="found a FIFO"):
        FileStorage(path, read_only=read_only)


def test_a_socket_and_a_device_are_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("data.fs")
        with pytest.raises(FileStorageFormatError, match="found a socket"):
            FileStorage(path)
    with pytest.raises(FileStorageFormatError, match="found a device"):
        FileStorage("/dev/null", read_only=True)


def test_a_missing_file_is_not_created_read_only(path: Path) -> None:
    with pytest.raises(FileMissingError, match="there is no such file") as caught:
        FileStorage(path, read_only=True)
    assert isinstance(caught.value, FileNotFoundError)
    assert list(path.parent.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file or directory") as caught:
        FileStorage(tmp_path / "nowhere" / "data.fs")
    assert caught.value.errno == errno.ENOENT


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory that the unprivileged own; that of `tmp_path` is not theirs to pass."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def unprivileged(action: str, path: Path) -> str:
    """Return what opening prints in a child process without root's rights."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UNPRIVILEGED, path, action],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_file_that_must_not_be_read_is_named(place: Path) -> None:
    path = place / "data.fs"
    assert unprivileged("write", path) == "opened\n"
    path.chmod(0)
    for action in ("write", "read"):
        text = unprivileged(action, path)
        assert text == (
            f"FileAccessError: {path}: cannot open it: Permission denied; nothing was changed\n"
        )


def test_a_directory_that_must_not_be_written_can_be_read_from(place: Path) -> None:
    path = place / "data.fs"
    assert unprivileged("write", path) == "opened\n"
    path.with_name("data.fs.lock").unlink()
    place.chmod(0o500)
    assert unprivileged("read", path) == "opened\n"
    text = unprivileged("write", path)
    assert text.startswith(f"FileAccessError: {path}: cannot lock it: Permission denied")
    place.chmod(0o700)


def test_creating_takes_the_place_of_what_was_there(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {ZERO: cell(1)})
    storage.close()

    storage = FileStorage(path, create=True)
    assert (len(storage), storage.lastTransaction()) == (0, ZERO)
    assert path.read_bytes() == b"FS30"
    storage.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"create": True, "read_only": True}, "cannot create"),
        ({"stop": b"\1" * 8}, "opened read-only"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FileStorage(path, **options)  # type: ignore[arg-type]
    assert not path.exists()


def test_a_file_that_cannot_be_opened_is_not_kept_locked(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(FileStorageError):
        FileStorage(path)
    path.unlink()
    FileStorage(path).close()
