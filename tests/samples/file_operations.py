"""File operations that fail, or wait, when a test says so."""

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from perdure.storages.file import FileOperations


class FailingOperations(FileOperations):
    """Fails the `countdown`-th call from now on, once; names what it failed in `failed`.

    `kind` is what fails: an `errno` number, or "short" for a write that takes
    only half of the bytes.
    """

    def __init__(self, kind: int | str = errno.EIO) -> None:
        self.kind = kind
        self.countdown = 0  # 0: nothing fails
        self.failed: str | None = None

    def _passes(self, name: str) -> bool:
        if self.countdown == 0:
            return True
        self.countdown -= 1
        if self.countdown:
            return True
        if self.kind == "short" and name != "write":
            self.countdown = 1  # the next write, then
            return True
        self.failed = name
        if self.kind == "short":
            return False
        assert isinstance(self.kind, int)
        raise OSError(self.kind, os.strerror(self.kind))

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        self._passes("open")
        return super().open(path, flags, mode)

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        if not self._passes("write"):
            whole = b"".join(pieces)
            pieces = [whole[: max(len(whole) // 2, 1)]]
        return super().write(descriptor, pieces, position)

    def sync(self, descriptor: int) -> None:
        self._passes("sync")
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._passes("truncate")
        super().truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        self._passes("rename")
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._passes("link")
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._passes("unlink")
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        self._passes("sync_directory")
        super().sync_directory(path)


class Unsynced(FileOperations):
    """Syncs nothing: for tests of many files that no crash will meet."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class SlowSync(FileOperations):
    """Counts writes and syncs; once told to `hold` keeps each sync waiting until `release`."""

    def __init__(self) -> None:
        self.write_calls = 0
        self.syncs = 0
        self.syncing = threading.Event()
        self._released = threading.Event()
        self._released.set()

    def hold(self) -> None:
        self.syncing.clear()
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        self.write_calls += 1
        return super().write(descriptor, pieces, position)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.syncing.set()
        assert self._released.wait(30), "nobody released the sync"
        super().sync(descriptor)
