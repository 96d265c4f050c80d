"""A blob directory: the files of the committed blobs of one storage, and of those to come.

A file comes in by `stage`: it moves to `tmp` under the name of its object, is
made unwritable, and synced. When its transaction has a tid, `place` links it to
where it belongs, and `settle` makes that durable; the name in `tmp` is removed
only when the transaction has finished. So whatever a crash leaves behind, a
file in `tmp` tells about it, and `clean` finds it without searching:

    tmp/0x1a-9f03c2d1.staged    and, perhaps, a blob of 0x1a later than the last transaction
"""

import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from perdure.blobs.blobfile import BlobFile, OpenedBlob
from perdure.blobs.files import NO_LINKS, link_or_copy, move, unused_path
from perdure.blobs.layout import LAWN, TEMPORARY, Layout, blob_name, tid_in
from perdure.errors import FileAccessError, MissingBlobError
from perdure.fileops import FileOperations

__all__ = ["BlobDirectory"]

_STAGED: Final = ".staged"
_KNOWN_LIMIT: Final = 10_000
_WRITE_BITS: Final = 0o222
_READ_BITS: Final = 0o444


class BlobDirectory:
    """The blobs below `path`, an existing directory; paths are found by `layout`.

    What changes the disk goes through `operations`. Methods raise `OSError`
    unless they say otherwise, and may be called from several threads; those that
    read a blob raise `FileAccessError` where the system refuses.
    """

    def __init__(self, path: Path, layout: Layout, operations: FileOperations) -> None:
        self.path = path
        self.layout = layout
        self._prefix = f"{path}/"
        self.temporary = path / TEMPORARY
        self._operations = operations
        self._lock = threading.Lock()  # between making directories and removing empty ones
        self._durable: set[Path] = set()  # directories whose names were synced by us

    # Looking

    def path_of(self, oid: bytes, tid: bytes) -> Path:
        """Return where the blob of `oid` is as the transaction `tid` wrote it, or would be."""
        return self._directory_of(oid) / blob_name(tid)

    def has(self, oid: bytes, tid: bytes) -> bool:
        """Return whether there is a blob of this revision."""
        return self.path_of(oid, tid).exists()

    def find(self, oid: bytes, tid: bytes) -> str:
        """Return the path of a blob; `MissingBlobError` if it is not there."""
        path = self._name_of(oid, tid)
        try:
            os.stat(path)
        except OSError as error:
            raise self._unreadable(oid, tid, path, error) from None
        return path

    def open(self, oid: bytes, tid: bytes, blob: OpenedBlob | None = None) -> BinaryIO:
        """Open a blob for reading, as a file of `blob` if given; `MissingBlobError` as above."""
        path = self._name_of(oid, tid)
        try:
            return open(path, "rb") if blob is None else BlobFile(path, "r", blob)
        except OSError as error:
            raise self._unreadable(oid, tid, path, error) from None

    def revisions(self, oid: bytes) -> list[bytes]:
        """Return the tids of the revisions of an object that have a blob, oldest first."""
        try:
            names = os.listdir(self._directory_of(oid))
        except FileNotFoundError:
            return []
        return sorted(tid for tid in map(tid_in, names) if tid is not None)

    def objects(self) -> Iterator[bytes]:
        """Yield the oids that have a directory here, in no particular order."""
        for path, directories, _ in os.walk(self.path, onerror=_unless_gone):
            if path == str(self.path):
                with suppress(ValueError):
                    directories.remove(TEMPORARY)
                continue
            oid = self.layout.oid(os.path.relpath(path, self.path))
            if oid is not None:
                directories.clear()
                yield oid

    def _name_of(self, oid: bytes, tid: bytes) -> str:
        # What `path_of` returns, as text: reading a blob asks for it twice.
        return f"{self._prefix}{self.layout.directory(oid)}/{blob_name(tid)}"

    @staticmethod
    def _unreadable(oid: bytes, tid: bytes, path: str, error: OSError) -> Exception:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return MissingBlobError(oid, tid, path)
        return FileAccessError(path, "read this blob", error, "nothing was changed")

    def _directory_of(self, oid: bytes) -> Path:
        return self.path / self.layout.directory(oid)

    # Coming in

    def stage(self, oid: bytes, source: Path) -> Path:
        """Take over the file `source`; return where it waits for its transaction, synced."""
        staged = unused_path(self.temporary, f"{LAWN.directory(oid)}-", _STAGED)
        operations = self._operations
        move(operations, source, staged)
        try:
            mode = stat.S_IMODE(staged.stat().st_mode)
            descriptor = operations.open(staged, os.O_RDONLY)
            try:
                operations.set_mode(staged, mode & ~_WRITE_BITS | self._mode() & _READ_BITS)
                operations.sync(descriptor)
            finally:
                operations.close(descriptor)
        except BaseException:
            self.unstage(staged)
            raise
        return staged

    def stage_again(self, oid: bytes, tid: bytes) -> Path:
        """Have a committed blob wait to become that of another revision, too; see `stage`."""
        second = unused_path(self.temporary, f"{LAWN.directory(oid)}-", ".again")
        link_or_copy(self._operations, self.path_of(oid, tid), second)
        return self.stage(oid, second)

    def place(self, staged: Path, oid: bytes, tid: bytes) -> None:
        """Make a staged file the blob of a revision, which nobody may know of yet.

        It has both names until `unstage`. Durable only when the oid was settled.
        """
        target = self.path_of(oid, tid)
        with self._lock:
            for directory in reversed(self._not_durable(target.parent)):
                self._make_directory(directory)
            with suppress(FileNotFoundError):
                # What is there was left by a crash: no transaction had this tid yet.
                self._operations.unlink(target)
            try:
                self._operations.link(staged, target)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                # One name each: an empty file keeps the one that tells about it.
                self._operations.rename(staged, target)
                self._operations.close(
                    self._operations.open(staged, os.O_WRONLY | os.O_CREAT, 0o600)
                )

    def settle(self, oids: Iterable[bytes]) -> None:
        """Return when what was placed for these objects is there whatever happens."""
        with self._lock:
            chains = [(d, self._not_durable(d)) for d in map(self._directory_of, oids)]
        made = {each for _, chain in chains for each in chain}
        unsynced = {directory for directory, _ in chains} | {each.parent for each in made}
        for directory in sorted(unsynced):
            self._operations.sync_directory(directory)
        with self._lock:
            if len(self._durable) > _KNOWN_LIMIT:
                self._durable.clear()
            self._durable |= made

    def unstage(self, staged: Path) -> None:
        """Remove a file from where it waits, if it is there."""
        with suppress(FileNotFoundError):
            self._operations.unlink(staged)

    def clean(self, last_tid: bytes) -> int:
        """Remove what a crash left of transactions later than `last_tid`; return how many blobs.

        Nobody may be committing.
        """
        removed = 0
        for name in os.listdir(self.temporary):
            oid = LAWN.oid(name.partition("-")[0]) if name.endswith(_STAGED) else None
            if oid is not None:
                for tid in self.revisions(oid):
                    if tid > last_tid:
                        self.remove(oid, tid)
                        removed += 1
                self.unstage(self.temporary / name)
        return removed

    def _not_durable(self, directory: Path) -> list[Path]:
        """Return which of `directory` and those above it may be gone after a crash, inner first."""
        found = []
        while directory != self.path and directory not in self._durable:
            found.append(directory)
            directory = directory.parent
        return found

    def _make_directory(self, path: Path) -> None:
        with suppress(FileExistsError):
            self._operations.make_directory(path, self._mode())

    def _mode(self) -> int:
        """Return the permissions of the directory, which those of all below follow."""
        return stat.S_IMODE(self.path.stat().st_mode)

    # Going out

    def remove(self, oid: bytes, tid: bytes) -> None:
        """Remove a blob, if it is there, and the directories that become empty."""
        target = self.path_of(oid, tid)
        with suppress(FileNotFoundError):
            self._operations.unlink(target)
        self._prune(target.parent)

    def move_to(self, other: "BlobDirectory", oid: bytes, tid: bytes) -> None:
        """Move a blob to another directory on the same device."""
        target = other._ready_path(oid, tid)
        source = self.path_of(oid, tid)
        self._operations.rename(source, target)
        self._prune(source.parent)

    def link_to(self, other: "BlobDirectory", oid: bytes, tid: bytes) -> None:
        """Have another directory on the same device show a blob of this one, too."""
        self._operations.link(self.path_of(oid, tid), other._ready_path(oid, tid))

    def _ready_path(self, oid: bytes, tid: bytes) -> Path:
        target = self.path_of(oid, tid)
        for directory in reversed(self._not_durable(target.parent)):
            self._make_directory(directory)
        return target

    def _prune(self, directory: Path) -> None:
        with self._lock:
            while directory != self.path:
                try:
                    self._operations.remove_directory(directory)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                        return
                    raise
                self._durable.discard(directory)
                directory = directory.parent


def _unless_gone(error: OSError) -> None:
    # A pack removes directories while somebody walks through them.
    if not isinstance(error, FileNotFoundError):
        raise error
