"""File operations that are done and written down."""

import errno
import os
from pathlib import Path

import pytest

from perdure.testing.faults import Killed, Recording
from perdure.testing.faults.operations import (
    Created,
    Linked,
    MadeDirectory,
    Mark,
    RemovedDirectory,
    Renamed,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Truncated,
    Unlinked,
    Wrote,
)

NEW = os.O_RDWR | os.O_CREAT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_every_call_is_done_and_written_down(root: Path) -> None:
    recording = Recording(root)
    descriptor = recording.open(root / "f", NEW)
    assert recording.write(descriptor, [b"one", b"two"], 2) == 6
    recording.mark("here")
    recording.sync(descriptor)
    recording.truncate(descriptor, 4)
    recording.close(descriptor)
    recording.link(root / "f", root / "g")
    recording.rename(root / "g", root / "h")
    recording.unlink(root / "f")
    recording.make_directory(root / "d")
    recording.sync_directory(root)
    recording.sync_directory(root / "d")
    recording.remove_directory(root / "d")
    recording.set_mode(root / "h", 0o400)
    assert recording.log == [
        Created("f", 1),
        Wrote(1, 2, b"onetwo"),
        Mark("here"),
        Synced(1),
        Truncated(1, 4),
        Linked(1, "g"),
        Renamed(1, "g", "h"),
        Unlinked("f"),
        MadeDirectory("d"),
        SyncedDirectory(""),
        SyncedDirectory("d"),
        RemovedDirectory("d"),
    ]
    assert (root / "h").read_bytes() == b"\0\0on"
    assert os.listdir(root) == ["h"]
    assert (root / "h").stat().st_mode & 0o777 == 0o400


def test_each_operation_says_what_it_is(root: Path) -> None:
    recording = Recording(root)
    descriptor = recording.open(root / "f", NEW)
    recording.write(descriptor, [b"xyz"], 7)
    recording.sync(descriptor)
    recording.close(descriptor)
    recording.rename(root / "f", root / "g")
    recording.sync_directory(root)
    assert list(map(str, recording.log)) == [
        "create f as file 1",
        "write 3 bytes at 7 of file 1",
        "sync file 1",
        "rename f to g",
        "sync directory .",
    ]


def test_what_is_there_at_the_beginning_counts_as_durable(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"old")
    recording = Recording(root)
    assert (recording.files, recording.names) == ({1: b"old"}, {"d/f": 1})
    assert recording.directories == ["d"]
    recording.close(recording.open(root / "d" / "f", NEW | os.O_TRUNC))
    assert recording.log == [Truncated(1, 0)]


def test_a_file_from_elsewhere_is_taken_in_unsynced(root: Path) -> None:
    for name in ("moved", "linked"):
        (root.parent / name).write_bytes(name.encode())
    recording = Recording(root)
    recording.rename(root.parent / "moved", root / "m")
    recording.link(root.parent / "linked", root / "l")
    assert recording.log == [
        Wrote(1, 0, b"moved"),
        Linked(1, "m"),
        Wrote(2, 0, b"linked"),
        Linked(2, "l"),
    ]


def test_what_happens_elsewhere_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        Recording(root).open(root.parent / "elsewhere", NEW)


def test_a_killed_process_does_nothing_more_until_it_is_revived(root: Path) -> None:
    recording = Recording(root)
    recording.kill_at(2)
    descriptor = recording.open(root / "f", NEW)
    for _ in range(2):
        with pytest.raises(Killed):
            recording.write(descriptor, [b"x"], 0)
    assert recording.dead
    recording.close(descriptor)
    assert (root / "f").read_bytes() == b""

    recording.revive()
    assert not recording.dead
    descriptor = recording.open(root / "f", NEW)
    recording.write(descriptor, [b"x"], 0)
    recording.close(descriptor)
    assert recording.log == [Created("f", 1), Wrote(1, 0, b"x")]


def test_who_is_called_before_may_let_a_call_fail(root: Path) -> None:
    calls: list[str] = []

    def before(name: str) -> None:
        calls.append(name)
        if name in ("sync", "unlink"):
            raise OSError(errno.EIO, "failed")

    recording = Recording(root, before)
    descriptor = recording.open(root / "f", NEW)
    with pytest.raises(OSError, match="failed"):
        recording.sync(descriptor)
    with pytest.raises(OSError, match="failed"):
        recording.unlink(root / "f")
    recording.close(descriptor)
    assert calls == ["open", "sync", "unlink"]
    assert recording.log == [Created("f", 1), SyncFailed(1)]
