"""Errors of a data file: its lock, its bytes, the disk that it is on."""

from os import fspath
from typing import Any

import zc.lockfile

from perdure.errors.root import Path
from perdure.errors.storages import StorageError, StorageSystemError
from perdure.ids import oid_repr


class FileLockedError(StorageError, zc.lockfile.LockError):
    """Another process, or another storage of this one, has the file open for writing.

    `path` is the database file; `holder` says who has it, as far as is known.
    """

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(path, holder)
        self.path = fspath(path)
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"{self.path} is open for writing by {self.holder}; "
            "close it there, or open it with read_only=True"
        )


class FileStorageError(StorageError):
    """A data file cannot be used as asked."""


class FileStorageFormatError(FileStorageError):
    """A file is not a database, or one of a format that this version does not read."""

    def __init__(self, path: Path, found: str, expected: str, advice: str = "") -> None:
        super().__init__(path, found, expected, advice)
        self.path = fspath(path)
        self.found = found
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{advice}"


class CorruptDataError(FileStorageError, StorageSystemError):
    """Bytes on disk contradict the format or their checksum; reading on would be guessing.

    `path` is the file, `position` counts bytes from its start, `oid` is the
    record's, or None where the damage is not inside one record.
    """

    def __init__(
        self, path: Path, position: int, found: str, expected: str, oid: bytes | None = None
    ) -> None:
        super().__init__(path, position, found, expected, oid)
        self.path = fspath(path)
        self.position = position
        self.found = found
        self.expected = expected
        self.oid = oid

    def __str__(self) -> str:
        where = f", oid {oid_repr(self.oid)}" if self.oid is not None else ""
        return (
            f"{self.path}, byte {self.position}{where}: found {self.found}, "
            f"expected {self.expected}; run `perdure check {self.path}`"
        )


class FileMissingError(FileStorageError, FileNotFoundError):
    """A data file that should be read is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = fspath(path)

    def __str__(self) -> str:
        return f"{self.path}: there is no such file; only opening it for writing makes one"


class FileAccessError(FileStorageError, StorageSystemError, OSError):
    """The operating system refused something: no permission, a full disk, a broken one.

    `path` is the file, `action` what was to be done with it, `cause` the
    `OSError` that says why (its `errno` is also this error's). `consequence`
    says what that means for the storage.
    """

    def __init__(self, path: Path, action: str, cause: OSError, consequence: str) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.args = (path, action, cause, consequence)
        self.path = fspath(path)
        self.action = action
        self.cause = cause
        self.consequence = consequence

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __str__(self) -> str:
        why = self.cause.strerror or str(self.cause)
        return f"{self.path}: cannot {self.action}: {why}; {self.consequence}"


class FileReplacedError(FileStorageError, StorageSystemError):
    """The open file was deleted, or another one has taken its name; nothing was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = fspath(path)

    def __str__(self) -> str:
        return (
            f"{self.path}: found another file or none at this path, expected the one that is "
            "open; nothing was written; put the file back, or close the storage and open it again"
        )


class FileStorageQuotaError(FileStorageError, StorageSystemError):
    """A commit would make the file larger than its quota; nothing was written."""


class FileStorageSpaceError(FileStorageError, StorageSystemError):
    """There is no room for the copy that a pack makes; the file is as it was.

    `needed_bytes` is about the size of the copy, `free_bytes` what the file system of
    `path` has.
    """

    def __init__(self, path: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(path, needed_bytes, free_bytes)
        self.path = fspath(path)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes

    def __str__(self) -> str:
        return (
            f"{self.path}: found {self.free_bytes} free bytes, expected {self.needed_bytes} for "
            "a packed copy; the file is as it was; make room there, and pack again"
        )
