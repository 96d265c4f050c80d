"""File operations of which one fails."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perdure.fileops import FileOperations

__all__ = ["SHORT", "Failing"]

SHORT: Final = -1
"""In place of an error number: a write that takes half of the bytes, and no error."""


class Failing(FileOperations):
    """Passes calls on to `operations`; the `call`-th, from 1, fails with the error number `kind`.

    `failed` is the name of the call that did, None before. With `lasting`, all
    later calls of that name fail too: a disk that is full stays full. Where
    `kind` is `SHORT` only writes count. 0 for `call` lets all pass; `calls`
    counts them. Closing a file closes it even where it fails.
    """

    def __init__(
        self,
        call: int = 0,
        kind: int = errno.EIO,
        lasting: bool = False,
        operations: FileOperations | None = None,
    ) -> None:
        self.call = call
        self.kind = kind
        self.lasting = lasting
        self.failed: str | None = None
        self.calls = 0
        self._operations = operations or FileOperations()

    def _fails(self, name: str) -> bool:
        if self.kind == SHORT and name != "write":
            return False
        self.calls += 1
        if self.calls == self.call:
            self.failed = name
            return True
        return self.lasting and self.failed == name

    def _error(self) -> OSError:
        return OSError(self.kind, os.strerror(self.kind))

    def _pass(self, name: str) -> None:
        if self._fails(name):
            raise self._error()

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        self._pass("open")
        return self._operations.open(path, flags, mode)

    def close(self, descriptor: int) -> None:
        self._operations.close(descriptor)
        self._pass("close")

    def write(self, descriptor: int, pieces: Sequence[bytes], position: int) -> int:
        if self._fails("write"):
            if self.kind != SHORT:
                raise self._error()
            whole = b"".join(pieces)
            pieces = [whole[: max(len(whole) // 2, 1)]]
        return self._operations.write(descriptor, pieces, position)

    def sync(self, descriptor: int) -> None:
        self._pass("sync")
        self._operations.sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._pass("truncate")
        self._operations.truncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        self._pass("rename")
        self._operations.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._pass("link")
        self._operations.link(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        self._operations.unlink(path)

    def set_mode(self, path: Path, mode: int) -> None:
        self._pass("set_mode")
        self._operations.set_mode(path, mode)

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        self._pass("make_directory")
        self._operations.make_directory(path, mode)

    def remove_directory(self, path: Path) -> None:
        self._pass("remove_directory")
        self._operations.remove_directory(path)

    def sync_directory(self, path: Path) -> None:
        self._pass("sync_directory")
        self._operations.sync_directory(path)
