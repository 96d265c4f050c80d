"""File operations of which one fails."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.fileops import FileOperations, write_all
from perdure.testing.faults import SHORT, Failing

NEW = os.O_RDWR | os.O_CREAT


def every_call(operations: FileOperations, root: Path) -> list[int | None]:
    """Make each call once, and go on after errors; return their numbers."""
    errors: list[int | None] = []
    descriptor = os.open(root / "f", NEW)
    calls: list[Callable[[], object]] = [
        lambda: operations.close(operations.open(root / "g", NEW)),
        lambda: write_all(operations, descriptor, [b"written"], 0),
        lambda: operations.sync(descriptor),
        lambda: operations.truncate(descriptor, 3),
        lambda: operations.link(root / "f", root / "h"),
        lambda: operations.rename(root / "h", root / "i"),
        lambda: operations.unlink(root / "f"),
        lambda: operations.set_mode(root / "g", 0o600),
        lambda: operations.make_directory(root / "d"),
        lambda: operations.remove_directory(root / "d"),
        lambda: operations.sync_directory(root),
        lambda: operations.close(descriptor),
    ]
    for call in calls:
        try:
            call()
        except OSError as error:
            errors.append(error.errno)
    # Where one name was not made, the next call does not find it.
    return [number for number in errors if number not in (errno.ENOENT, errno.EEXIST)]


def test_each_call_fails_in_turn_and_only_once(tmp_path: Path) -> None:
    failed = []
    for call in range(1, 14):
        root = tmp_path / str(call)
        root.mkdir()
        failing = Failing(call, errno.ENOSPC)
        assert every_call(failing, root) == [errno.ENOSPC]
        failed.append(failing.failed)
    assert failed == [
        "open",
        "close",
        "write",
        "sync",
        "truncate",
        "link",
        "rename",
        "unlink",
        "set_mode",
        "make_directory",
        "remove_directory",
        "sync_directory",
        "close",
    ]


def test_with_0_nothing_fails_and_calls_are_counted(tmp_path: Path) -> None:
    failing = Failing()
    assert every_call(failing, tmp_path) == []
    assert (failing.calls, failing.failed) == (13, None)


def test_a_short_write_takes_half_and_is_no_error(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "f", NEW)
    failing = Failing(1, SHORT)
    assert failing.write(descriptor, [b"12", b"34", b"5"], 0) == 2
    assert failing.write(descriptor, [b"345"], 2) == 3
    failing.close(descriptor)
    assert (tmp_path / "f").read_bytes() == b"12345"


def test_a_disk_that_stays_full_fails_whatever_writes(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "f", NEW)
    failing = Failing(2, errno.ENOSPC, lasting=True)
    assert failing.write(descriptor, [b"1"], 0) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            failing.write(descriptor, [b"2"], 1)
    failing.sync(descriptor)
    failing.close(descriptor)


def test_a_file_is_closed_even_where_closing_it_fails(tmp_path: Path) -> None:
    failing = Failing(2, errno.EIO)
    descriptor = failing.open(tmp_path / "f", NEW)
    with pytest.raises(OSError, match="Input/output"):
        failing.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
