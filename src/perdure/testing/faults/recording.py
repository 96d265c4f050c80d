"""File operations that are done and written down.

The files are real ones, since storages read them with calls of their own. Only
syncs are not done: they are what a crash in a test is about, and take long.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from perdure.fileops import FileOperations
from perdure.testing.faults.operations import (
    Created,
    Linked,
    MadeDirectory,
    Mark,
    Operation,
    RemovedDirectory,
    Renamed,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Truncated,
    Unlinked,
    Wrote,
)

__all__ = ["Killed", "Recording"]


class Killed(BaseException):
    """The process is dead: this call and those after it do nothing."""


class Recording(FileOperations):
    """Works in the directory `root`, and keeps what it did in `log`.

    What is in the directory at the beginning counts as durable: `files` are its
    files by number, `names` their numbers by path, `directories` the paths of
    directories. Files that come from elsewhere are taken in, unsynced, when they
    are given a name below `root`. Everything else elsewhere is refused with
    `ValueError`, as a crash there could not be shown.

    `before` is called with the name of each call before it is done, in the
    calling thread and without a lock: it may wait, and what it raises comes in
    place of the call. A sync for which it raises `OSError` counts as failed.
    """

    def __init__(self, root: Path, before: Callable[[str], object] | None = None) -> None:
        self.root = root
        self.before = before
        self.log: list[Operation] = []
        self.files: dict[int, bytes] = {}
        self.names: dict[str, int] = {}
        self.directories: list[str] = []
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}  # by descriptor, the number of its file
        self._names: dict[str, int] = {}
        self._last = 0
        self._dead = False
        self._left: int | None = None
        for path in sorted(root.rglob("*")):
            if path.is_dir():
                self.directories.append(self._relative(path))
            else:
                self._last += 1
                self.files[self._last] = path.read_bytes()
                self.names[self._relative(path)] = self._last
        self._names.update(self.names)

    def mark(self, value: object) -> None:
        """Note something in the log: whoever looks at a crash sees the marks before it."""
        with self._lock:
            self.log.append(Mark(value))

    def kill_at(self, call: int) -> None:
        """Raise `Killed` at the `call`-th call from now on, from 1, and at all after it."""
        self._left = call

    def revive(self) -> None:
        """Let calls through again: they are those of another process."""
        self._dead = False
        self._left = None

    @property
    def dead(self) -> bool:
        """Whether calls raise `Killed` now."""
        return self._dead

    # The calls

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        self._comes("open")
        with self._lock:
            name = self._relative(path)
            descriptor = super().open(path, flags, mode)
            file = self._names.get(name)
            if file is None:
                file = self._new_file()
                self._names[name] = file
                self.log.append(Created(name, file))
            elif flags & os.O_TRUNC:
                self.log.append(Truncated(file, 0))
            self._open[descriptor] = file
            return descriptor

    def close(self, descriptor: int) -> None:
        # Of a dead process, too: the descriptor is this one's.
        super().close(descriptor)

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        self._comes("write")
        with self._lock:
            written = super().write(descriptor, pieces, position)
            data = b"".join(pieces)[:written]
            self.log.append(Wrote(self._open[descriptor], position, data))
            return written

    def sync(self, descriptor: int) -> None:
        file = self._open[descriptor]
        try:
            self._comes("sync")
        except OSError:
            self.log.append(SyncFailed(file))
            raise
        with self._lock:
            self.log.append(Synced(file))

    def truncate(self, descriptor: int, size: int) -> None:
        self._comes("truncate")
        with self._lock:
            super().truncate(descriptor, size)
            self.log.append(Truncated(self._open[descriptor], size))

    def rename(self, source: Path, target: Path) -> None:
        self._comes("rename")
        with self._lock:
            name = self._relative(target)
            file = self._taken_in(source)
            super().rename(source, target)
            if source.is_relative_to(self.root):
                old = self._relative(source)
                self._names.pop(old, None)
                self.log.append(Renamed(file, old, name))
            else:
                self.log.append(Linked(file, name))
            self._names[name] = file

    def link(self, source: Path, target: Path) -> None:
        self._comes("link")
        with self._lock:
            name = self._relative(target)
            file = self._taken_in(source)
            super().link(source, target)
            self._names[name] = file
            self.log.append(Linked(file, name))

    def unlink(self, path: Path) -> None:
        self._comes("unlink")
        with self._lock:
            name = self._relative(path)
            super().unlink(path)
            self._names.pop(name, None)
            self.log.append(Unlinked(name))

    def set_mode(self, path: Path, mode: int) -> None:
        self._comes("set_mode")
        super().set_mode(path, mode)

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        self._comes("make_directory")
        with self._lock:
            name = self._relative(path)
            super().make_directory(path, mode)
            self.log.append(MadeDirectory(name))

    def remove_directory(self, path: Path) -> None:
        self._comes("remove_directory")
        with self._lock:
            name = self._relative(path)
            super().remove_directory(path)
            self.log.append(RemovedDirectory(name))

    def sync_directory(self, path: Path) -> None:
        self._comes("sync_directory")
        with self._lock:
            self.log.append(SyncedDirectory(self._relative(path)))

    def _comes(self, name: str) -> None:
        if self._left is not None:
            self._left -= 1
            self._dead = self._dead or not self._left
        if self._dead:
            raise Killed(f"killed before {name}")
        if self.before is not None:
            self.before(name)
            if self._dead:
                raise Killed(f"killed before {name}")

    def _relative(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return "" if name == "." else name

    def _new_file(self) -> int:
        self._last += 1
        return self._last

    def _taken_in(self, path: Path) -> int:
        """Return the number of a file that gets another name; it may come from elsewhere."""
        if path.is_relative_to(self.root):
            file = self._names.get(self._relative(path))
            if file is not None:
                return file
        file = self._new_file()
        self.log.append(Wrote(file, 0, path.read_bytes()))
        return file
