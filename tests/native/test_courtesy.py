"""Calls of the system, in C; that they bring a turn soon is tested with objects."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from perdure.fileops import FileOperations, write_all

courtesy = pytest.importorskip("perdure.native._courtesy", reason="it is not built")


@pytest.fixture
def descriptor(tmp_path: Path) -> Any:
    made = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"one"],
        (b"one", b"", b"two"),
        [bytearray(b"one"), memoryview(b"two"), memoryview(bytearray(b"three"))[1:3]],
        [b"%d" % number for number in range(64)],
    ],
)
def test_it_writes_as_the_system_does(
    descriptor: int, tmp_path: Path, pieces: Sequence[bytes]
) -> None:
    expected = tmp_path / "expected"
    with expected.open("wb") as file:
        written = os.pwritev(file.fileno(), pieces, 5) if pieces else 0
    assert courtesy.write(descriptor, pieces, 5) == written
    assert (tmp_path / "file").read_bytes() == expected.read_bytes()


def test_of_many_pieces_it_takes_the_first_ones(descriptor: int, tmp_path: Path) -> None:
    pieces = [b"%04d" % number for number in range(1000)]
    written = courtesy.write(descriptor, pieces, 0)
    assert 0 < written < 4000
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)[:written]
    assert write_all(FileOperations(), descriptor, pieces, 0) == 4000
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_it_syncs_files_and_their_descriptors(descriptor: int, tmp_path: Path) -> None:
    courtesy.sync(descriptor)
    with (tmp_path / "file").open("rb") as file:
        courtesy.sync(file)


def test_it_reads_as_the_system_does(descriptor: int) -> None:
    os.pwrite(descriptor, b"0123456789", 0)
    for size, position in [(4, 0), (0, 0), (10, 0), (4, 8), (4, 10), (4, 100), (1 << 16, 5)]:
        assert courtesy.read(descriptor, size, position) == os.pread(descriptor, size, position)


def error_of(call: Any, *args: Any) -> tuple[type, Any] | None:
    try:
        call(*args)
    except (OSError, TypeError, ValueError) as error:
        return type(error), getattr(error, "errno", None)
    return None


def test_its_errors_are_those_of_the_system(descriptor: int) -> None:
    reading, writing = os.pipe()
    with open(os.devnull, "rb") as unwritable:
        for args in [(reading,), (-1,), (1 << 20,), ("no file",), ()]:
            assert error_of(courtesy.sync, *args) == error_of(os.fdatasync, *args)
        for args in [
            (writing, [b"data"], 0),
            (unwritable.fileno(), [b"data"], 0),
            (1 << 20, [b"data"], 0),
            (descriptor, [b"data", "text"], 0),
            (descriptor, 5, 0),
            (descriptor, [b"data"]),
        ]:
            error = error_of(courtesy.write, *args)
            assert error is not None
            assert error == error_of(os.pwritev, *args)
    for args in [
        (reading, 4, 0),
        (1 << 20, 4, 0),
        (descriptor, -1, 0),
        (descriptor, 4, -1),
        (descriptor, 4),
        (descriptor, "4", 0),
    ]:
        error = error_of(courtesy.read, *args)
        assert error is not None
        assert error == error_of(os.pread, *args)
    os.close(reading)
    os.close(writing)


def test_what_it_could_not_write_is_free_again(descriptor: int) -> None:
    piece = bytearray(b"data")
    with pytest.raises(TypeError):
        courtesy.write(descriptor, [piece, None], 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        courtesy.write(1 << 20, [piece], 0)
    courtesy.write(descriptor, [piece], 0)
    piece.extend(b"more")  # refused while somebody holds it


def test_a_signal_does_not_end_a_call(tmp_path: Path) -> None:
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGALRM, note)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(20):
            assert courtesy.write(descriptor, [bytes(1 << 16)] * 8, 0) == 8 << 16
            courtesy.sync(descriptor)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # one may be on its way
        signal.signal(signal.SIGALRM, before)
        os.close(descriptor)
    assert came


def test_it_tells_which_file_a_path_stands_for(descriptor: int, tmp_path: Path) -> None:
    held, path = os.fstat(descriptor), tmp_path / "file"
    identity = held.st_dev, held.st_ino
    assert courtesy.names_file(os.fsencode(path), *identity) is True
    assert courtesy.names_file(os.fsencode(tmp_path), *identity) is False
    assert courtesy.names_file(os.fsencode(path), held.st_dev + 1, held.st_ino) is False
    assert courtesy.names_file(os.fsencode(path), held.st_dev, held.st_ino + 1) is False
    (tmp_path / "link").symlink_to(path)
    path.rename(tmp_path / "other")
    assert courtesy.names_file(os.fsencode(path), *identity) is False
    assert courtesy.names_file(os.fsencode(tmp_path / "link"), *identity) is False
    path.write_bytes(b"")
    assert courtesy.names_file(os.fsencode(path), *identity) is False
    assert courtesy.names_file(os.fsencode(tmp_path / "other"), *identity) is True
    with pytest.raises(NotADirectoryError, match="beneath"):
        courtesy.names_file(os.fsencode(path / "beneath"), *identity)
    with pytest.raises(ValueError, match="null"):
        courtesy.names_file(b"\0", *identity)


def test_it_knows_files_of_this_machine_and_no_others(descriptor: int) -> None:
    assert courtesy.is_local(descriptor) in (True, False)
    reading, writing = os.pipe()
    assert courtesy.is_local(reading) is False
    os.close(reading)
    os.close(writing)
    with pytest.raises(ValueError, match="-1"):
        courtesy.is_local(-1)
