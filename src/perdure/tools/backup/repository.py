"""The directory of a backup: which files are in it, and how they come and go.

    000007.json        the manifest of backup 7
    000007.fs.gz       its data, a full backup; 000008.part.gz is an addition
    blobs/ab/abcd...   a blob, named by its SHA-256
    new.*              what is being written
    backup.lock        held while a backup is made

Data come before the manifest that names them, and both under another name
until they are complete, so whatever interrupts a backup leaves what was there.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zc.lockfile import LockError, SimpleLockFile

from perdure.errors import BackupError, FileAccessError
from perdure.fileops import FileOperations, write_all
from perdure.storages.file.openfile import access
from perdure.tools.backup.manifest import ADVICE, BackedUpBlob, Manifest
from perdure.tools.backup.pieces import Piece, file_chunks, read_piece, store

__all__ = ["Repository", "piece_of"]

_LOCK: Final = "backup.lock"
_NEW: Final = "new."
_BLOBS: Final = "blobs"
_NOTHING_DONE: Final = "nothing was backed up"
_FILE: Final = re.compile(r"(\d{6,})\.(json|(?:fs|part)(?:\.gz)?)")


def piece_of(directory: Path, manifest: Manifest) -> Piece:
    """Return the piece of a data file that a manifest is about."""
    return Piece(
        directory / manifest.data,
        manifest.start,
        manifest.end,
        "sha256",
        manifest.sha256,
        manifest.compressed,
    )


class Repository:
    """The backups in the directory `path`.

    `manifests` are those that are sound, oldest first; `damaged` the errors about
    the others, by number.
    """

    def __init__(self, path: Path, operations: FileOperations) -> None:
        self.path = path
        self._operations = operations
        self.manifests: list[Manifest] = []
        self.damaged: dict[int, BackupError] = {}
        for number in sorted(self._numbers("json")):
            manifest_path = self._manifest_path(number)
            try:
                self.manifests.append(Manifest.unpack(manifest_path.read_bytes(), manifest_path))
            except BackupError as error:
                self.damaged[number] = error

    @classmethod
    @contextmanager
    def locked(cls, path: Path, operations: FileOperations) -> Iterator["Repository"]:
        """Open, or make, a repository that one wants to add to.

        Raises `BackupError` if somebody else is at it, or if it is a directory
        that is used for something else.
        """
        if not path.exists():
            operations.make_directory(path, 0o777)
            operations.sync_directory(path.parent)
        elif not path.is_dir():
            raise BackupError(path, "a file", "a directory")
        elif not (path / _LOCK).exists() and any(path.iterdir()):
            advice = "give a directory of its own to each database"
            raise BackupError(path, "other files", "an empty directory, or backups", advice)
        try:
            lock = SimpleLockFile(str(path / _LOCK))
        except LockError:
            advice = "wait until it is done"
            raise BackupError(path, "a backup that is being made", "none", advice) from None
        try:
            repository = cls(path, operations)
            repository._clean()
            yield repository
        finally:
            lock.close()

    # Looking

    def chains(self) -> list[list[Manifest]]:
        """Return the full backups with what was added to each, oldest first.

        What was added to something that is damaged or gone is in none.
        """
        chains: dict[int, list[Manifest]] = {}
        for manifest in self.manifests:
            if manifest.follows is None:
                chains[manifest.number] = [manifest]
            else:
                chain = chains.pop(manifest.follows, None)
                if chain is not None:
                    chains[manifest.number] = [*chain, manifest]
        return [chains[number] for number in sorted(chains)]

    def gap(self) -> tuple[int, BackupError] | None:
        """Return the number of a backup that others were added to and that is gone, and the error.

        None if there is none; those whose manifest is damaged are here.
        """
        known = {manifest.number for manifest in self.manifests} | self.damaged.keys()
        for manifest in self.manifests:
            if manifest.follows is not None and manifest.follows not in known:
                return manifest.follows, self.gap_before(manifest)
        return None

    def gap_before(self, manifest: Manifest) -> BackupError:
        """Return the error that what `manifest` was added to is not here."""
        path = self._manifest_path(manifest.follows or 0)
        return BackupError(
            path, "no file", f"the manifest that {manifest.number:06} adds to", ADVICE
        )

    def next_number(self) -> int:
        """Return a number that no file here has."""
        return max(self._numbers(), default=0) + 1

    def blob_path(self, sha256: str) -> Path:
        """Return where the blob with this SHA-256 is, or would be."""
        return self.path / _BLOBS / sha256[:2] / sha256

    def _numbers(self, ending: str = "") -> Iterator[int]:
        for path in self.path.iterdir():
            match = _FILE.fullmatch(path.name)
            if match is not None and path.name.endswith(ending):
                yield int(match[1])

    def _manifest_path(self, number: int) -> Path:
        return self.path / f"{number:06}.json"

    # Coming in

    def store_data(self, name: str, chunks: Iterator[bytes], compress: bool) -> tuple[int, str]:
        """Write a file of data and read it back; return size and SHA-256 of the chunks.

        Raises `BackupError` if the disk does not give back what was written.
        """
        return self._store(self.path / name, chunks, compress)

    def store_blob(self, path: Path) -> tuple[int, str]:
        """Have the content of the file at `path` here; return its size and SHA-256.

        Raises `FileNotFoundError` if there is no such file.
        """
        descriptor = _opened(path)
        try:
            size = os.fstat(descriptor).st_size
            digest = hashlib.sha256()
            for chunk in _chunks(path, descriptor, size):
                digest.update(chunk)
            target = self.blob_path(digest.hexdigest())
            if not target.exists():
                for directory in (target.parent.parent, target.parent):
                    if not directory.exists():
                        self._operations.make_directory(directory, 0o777)
                        self._operations.sync_directory(directory.parent)
                self._store(target, _chunks(path, descriptor, size), compress=False)
        finally:
            os.close(descriptor)
        return size, digest.hexdigest()

    def _store(self, target: Path, chunks: Iterator[bytes], compress: bool) -> tuple[int, str]:
        new = self.path / f"{_NEW}data"
        size, sha256 = store(self._operations, new, chunks, compress)
        for _ in read_piece(Piece(new, 0, size, "sha256", sha256, compress)):
            pass  # reading to the end is what verifies it
        self._operations.rename(new, target)
        self._operations.sync_directory(target.parent)
        return size, sha256

    def add(self, manifest: Manifest) -> None:
        """Make a backup count, whose data are here."""
        new, packed = self.path / f"{_NEW}json", manifest.pack()
        operations = self._operations
        descriptor = operations.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(operations, descriptor, [packed], 0)
            operations.sync(descriptor)
        finally:
            operations.close(descriptor)
        operations.rename(new, self._manifest_path(manifest.number))
        operations.sync_directory(self.path)
        self.manifests.append(manifest)

    # Going out

    def drop_before(self, number: int) -> None:
        """Remove what is older than the backup `number`, and the blobs that nobody needs then."""
        old = sorted({each for each in self._numbers("json") if each < number}, reverse=True)
        if not old:
            return
        # Newest first: what an interruption leaves are whole backups.
        for each in old:
            self._operations.unlink(self._manifest_path(each))
            self.damaged.pop(each, None)
        self._operations.sync_directory(self.path)
        self.manifests = [each for each in self.manifests if each.number >= number]
        self._clean()

    def _clean(self) -> None:
        """Remove what no manifest names: leftovers of an interruption, blobs of dropped backups."""
        known = {manifest.data for manifest in self.manifests}
        for path in self.path.iterdir():
            match = _FILE.fullmatch(path.name)
            if match is not None and match[2] != "json" and path.name not in known:
                # What belongs to a manifest that cannot be read may still be of use to somebody.
                if int(match[1]) not in self.damaged:
                    self._operations.unlink(path)
            elif path.name.startswith(_NEW):
                self._operations.unlink(path)
        if not self.damaged:
            self._clean_blobs()

    def _clean_blobs(self) -> None:
        needed = {blob.sha256 for manifest in self.manifests for blob in manifest.blobs}
        for path in (self.path / _BLOBS).glob("*/*"):
            if path.name not in needed:
                self._operations.unlink(path)

    # Reading

    def blob_piece(self, blob: BackedUpBlob) -> Piece:
        """Return a blob as a piece, to be read and verified."""
        path = self.blob_path(blob.sha256)
        return Piece(path, 0, blob.size_bytes, "sha256", blob.sha256, compressed=False)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise  # a pack may have removed it: who calls knows what to do then
    except OSError as error:
        raise FileAccessError(path, "read it", error, _NOTHING_DONE) from error


def _chunks(path: Path, descriptor: int, size: int) -> Iterator[bytes]:
    with access(path, "read it", _NOTHING_DONE):
        yield from file_chunks(descriptor, 0, size)
