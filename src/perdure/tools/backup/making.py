"""Making a backup: in full, or what was added since the last one."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from perdure.blobs import BlobDirectory, open_blob_directory
from perdure.errors import BackupError
from perdure.fileops import FileOperations
from perdure.ids import ZERO
from perdure.storages.file.openfile import access
from perdure.tools.backup.manifest import (
    BLOBS,
    CHANGED,
    DAMAGED,
    FIRST,
    REQUESTED,
    BackedUpBlob,
    Manifest,
)
from perdure.tools.backup.pieces import file_chunks
from perdure.tools.backup.repository import Repository
from perdure.tools.backup.source import Source, open_source
from perdure.tools.backup.verifying import find_damage, missing_data, stored_bytes
from perdure.tools.progress import Progress

__all__ = ["BackedUp", "back_up"]

_ATTEMPTS: Final = 3

Told = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup did: `manifest` describes it, None if nothing was new.

    `damaged` are the errors about earlier backups in the directory, found on the way.
    """

    manifest: Manifest | None
    dropped: int
    damaged: tuple[BackupError, ...]


def back_up(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    blob_dir: str | os.PathLike[str] | None = None,
    full: bool = False,
    thorough: bool = False,
    compress: bool = True,
    keep: int | None = None,
    progress: Progress | None = None,
    operations: FileOperations | None = None,
) -> BackedUp:
    """Add the data file at `path` to the backups in `directory`, which is made if need be.

    What was added to the file since the last backup is stored; all of it if there
    is none, if `full` asks for it, or if the file was packed or replaced since.
    That is told by the first and the last 64 KiB of what was backed up; with
    `thorough`, by all of it, and all earlier backups are read and verified. With
    `blob_dir`, the blobs are backed up as well.
    What was written is read back and compared. `keep` is how many full backups
    stay, each with what was added to it. `progress` counts bytes.

    The file may be in use: it is backed up to the end of a transaction.

    Raises `BackupError` if the directory is used for something else, for another
    database (unless `full`), or by another backup, `FileMissingError` and others if
    the file cannot be read, and `FileAccessError` if the directory cannot be
    written. The earlier backups stay then.
    """
    if keep is not None and keep < 1:
        raise ValueError(f"cannot keep {keep} full backups, expected at least 1")
    path, directory = Path(path), Path(directory)
    operations = operations or FileOperations()
    written = access(directory, "back up into it", "the earlier backups stay")
    with written, Repository.locked(directory, operations) as repository:
        for _ in range(_ATTEMPTS):
            with open_source(path) as source:
                blobs = None if blob_dir is None else _blobs(Path(blob_dir), operations)
                made = _Backup(repository, source, blobs, compress, progress)
                try:
                    manifest = made.run(full, thorough)
                except FileNotFoundError:
                    if not source.was_replaced():
                        raise
                    continue  # a pack removed blobs that the file had when it was opened
                dropped = _drop(repository, keep)
                return BackedUp(manifest, dropped, tuple(repository.damaged.values()))
    raise BackupError(path, "a file that is packed again and again", "one that stays")


def _blobs(path: Path, operations: FileOperations) -> BlobDirectory:
    return open_blob_directory(path, operations, read_only=True)


def _drop(repository: Repository, keep: int | None) -> int:
    full = [manifest.number for manifest in repository.manifests if manifest.is_full]
    if keep is None or len(full) <= keep:
        return 0
    repository.drop_before(full[-keep])
    return len(full) - keep


class _Backup:
    """One backup of `source` into `repository`, to be run once."""

    def __init__(
        self,
        repository: Repository,
        source: Source,
        blobs: BlobDirectory | None,
        compress: bool,
        progress: Progress | None,
    ) -> None:
        self._repository = repository
        self._source = source
        self._blobs = blobs
        self._compress = compress
        self._progress = progress
        self._source_name = str(source.path.resolve())
        self._done = self._total = 0

    def run(self, full: bool, thorough: bool) -> Manifest | None:
        """Return what was added to the repository, None if nothing was new."""
        chain, reason = self._goes_on_from(full, thorough)
        start = chain[-1].end if chain else 0
        if chain and self._source.end == start:
            return None
        self._total += self._source.end - start
        number = self._repository.next_number()
        name = f"{number:06}.{'part' if chain else 'fs'}{'.gz' if self._compress else ''}"
        size, sha256 = self._repository.store_data(name, self._chunks(start), self._compress)
        if size != self._source.end - start:
            expected = f"{self._source.end} bytes"
            raise BackupError(self._source.path, f"{start + size} bytes", expected)
        manifest = Manifest(
            number=number,
            follows=chain[-1].number if chain else None,
            reason=reason,
            source=self._source_name,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            data=name,
            compressed=self._compress,
            start=start,
            end=self._source.end,
            sha256=sha256,
            last_tid=self._source.last_tid,
            edge_sha256=self._source.edge_sha256(self._source.end),
            blob_layout=None if self._blobs is None else self._blobs.layout.name,
            blobs=tuple(self._new_blobs(chain)),
        )
        self._repository.add(manifest)
        return manifest

    def _goes_on_from(self, full: bool, thorough: bool) -> tuple[list[Manifest], str]:
        """Return the chain to add to, or none and why a full backup is due."""
        repository = self._repository
        if thorough:
            self._total += stored_bytes(repository)
            repository.damaged.update(find_damage(repository, self._tell))
        chains = repository.chains()
        if not chains and not repository.manifests and not repository.damaged:
            return [], FIRST
        chain = chains[-1] if chains else []
        if not self._can_be_added_to(chain):
            return [], DAMAGED
        if not self._holds(chain, thorough):
            self._refuse_another_database(chain[-1], full)
            return [], CHANGED
        if (chain[-1].blob_layout is None) != (self._blobs is None):
            return [], BLOBS  # a chain has blobs from its beginning, or none
        return ([], REQUESTED) if full else (chain, "")

    def _can_be_added_to(self, chain: list[Manifest]) -> bool:
        """Return whether a chain is the newest and all there; if not, what is wrong is noted."""
        repository = self._repository
        newest = max(repository.damaged, default=0)
        if not chain or repository.manifests[-1] is not chain[-1]:
            gap = repository.gap()
            if gap is not None:
                repository.damaged[gap[0]] = gap[1]
            return False
        for manifest in chain:
            error = missing_data(repository, manifest)
            if error is not None:
                repository.damaged[manifest.number] = error
        numbers = {manifest.number for manifest in chain}
        return newest <= chain[-1].number and not numbers & repository.damaged.keys()

    def _refuse_another_database(self, last: Manifest, full: bool) -> None:
        """Raise if neither the file's content nor its place are those of the last backup."""
        if full or last.source == self._source_name:
            return
        raise BackupError(
            self._repository.path,
            f"backups of {last.source}",
            f"those of {self._source_name}",
            "give a directory of its own to each database; "
            "if this one was moved, ask for a full backup (--full)",
        )

    def _holds(self, chain: list[Manifest], thorough: bool) -> bool:
        """Return whether the file still begins with what a chain holds."""
        source, last = self._source, chain[-1]
        if source.end < last.end or source.edge_sha256(last.end) != last.edge_sha256:
            return False
        return not thorough or all(
            source.sha256(manifest.start, manifest.end) == manifest.sha256 for manifest in chain
        )

    def _chunks(self, start: int) -> Iterator[bytes]:
        source = self._source
        with access(source.path, "read it", "nothing was backed up"):
            for chunk in file_chunks(source.descriptor, start, source.end):
                self._tell(len(chunk))
                yield chunk

    def _new_blobs(self, chain: list[Manifest]) -> Iterator[BackedUpBlob]:
        """Have the blobs here that the chain does not have, and yield what is known of them."""
        if self._blobs is None:
            return
        since = (chain[-1].last_tid if chain else None) or ZERO
        until = self._source.last_tid or ZERO
        for oid in self._blobs.objects():
            for tid in self._blobs.revisions(oid):
                if since < tid <= until:
                    path = self._blobs.path_of(oid, tid)
                    size, sha256 = self._repository.store_blob(path)
                    self._total += size
                    self._tell(size)
                    yield BackedUpBlob(oid, tid, size, sha256)

    def _tell(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)
