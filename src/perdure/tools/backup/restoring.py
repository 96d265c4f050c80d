"""Restoring a data file, and its blobs, from backups: as it was, byte by byte."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure.blobs import BUSHY, LAYOUTS, open_blob_directory
from perdure.errors import BackupError
from perdure.fileops import FileOperations, write_all
from perdure.storages.file.lock import FileLock
from perdure.storages.file.openfile import access
from perdure.tools.backup.choosing import choose
from perdure.tools.backup.chosen import Chosen
from perdure.tools.backup.cutting import find_part
from perdure.tools.backup.pieces import read_piece, store
from perdure.tools.backup.repozo import choose_from_repozo, is_repozo
from perdure.tools.progress import Progress

__all__ = ["Restored", "restore"]

_NEW: Final = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: the size of the data file, how many blobs, and the newest transaction.

    `last_tid` is None where there is none. `incomplete` says what no backup has of
    the moment that was asked for, or is "". `left_blob_count` is how many blobs
    there are that were not restored, since no place for them was given.
    """

    size_bytes: int
    blob_count: int
    last_tid: bytes | None
    incomplete: str
    left_blob_count: int = 0


def restore(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    at: bytes | None = None,
    blob_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
    operations: FileOperations | None = None,
) -> Restored:
    """Write the data file at `path` as it is in the backups in `directory`.

    With `at`, it ends with the last transaction up to this tid. What is read is
    verified. The file appears only when it is complete. `directory` may also be
    one of `repozo`. Blobs go to `blob_dir`. With `force`, what is at these paths is
    replaced. `progress` counts bytes.

    Raises `BackupError` if a backup that is needed is damaged or missing (it names
    the file), if there is none of that moment, or if there is something at `path`;
    `FileLockedError` if that is in use; `FileAccessError` if something cannot be written.
    """
    path, directory = Path(path), Path(directory)
    operations = operations or FileOperations()
    chosen = _choose(directory, at)
    target_blobs = None if blob_dir is None else Path(blob_dir)
    if target_blobs is not None and chosen.blob_layout is None:
        raise BackupError(directory, "a backup without blobs", "one with blobs")
    if not force:
        for target in (path, target_blobs):
            if target is not None and target.exists():
                found = "a directory" if target.is_dir() else "a file"
                raise BackupError(target, found, "nothing, so that nothing is lost")
    if path.is_dir():
        raise BackupError(path, "a directory", "a data file, or nothing")
    with access(path, "lock it", "nothing was changed"):
        lock = FileLock(path)
    try:
        with access(path, "restore it", "nothing was put in its place"):
            return _Restoring(chosen, path, target_blobs, operations, progress).run()
    finally:
        lock.release()


def _choose(directory: Path, at: bytes | None) -> Chosen:
    if not directory.is_dir():
        found = "a file" if directory.exists() else "nothing"
        raise BackupError(directory, found, "a directory with backups")
    return choose_from_repozo(directory, at) if is_repozo(directory) else choose(directory, at)


class _Restoring:
    """One restoration of what was `chosen`, to be run once."""

    def __init__(
        self,
        chosen: Chosen,
        path: Path,
        blob_dir: Path | None,
        operations: FileOperations,
        progress: Progress | None,
    ) -> None:
        self._chosen = chosen
        self._path = path
        self._blob_dir = blob_dir
        self._operations = operations
        self._progress = progress
        self._done = 0
        self._total = sum(piece.end - piece.start for piece in chosen.pieces)
        if blob_dir is not None:
            self._total += sum(blob.size_bytes for blob, _ in chosen.blobs)

    def run(self) -> Restored:
        new = _beside(self._path)
        new_blobs = None if self._blob_dir is None else _beside(self._blob_dir)
        try:
            size, last_tid = self._write(new)
            if self._blob_dir is not None and new_blobs is not None:
                self._write_blobs(new_blobs)
                self._replace_directory(new_blobs, self._blob_dir)
            self._put_in_place(new)
        except BaseException:
            with suppress(FileNotFoundError):
                new.unlink()
            if new_blobs is not None:
                shutil.rmtree(new_blobs, ignore_errors=True)
            raise
        count = len(self._chosen.blobs)
        restored, left = (0, count) if new_blobs is None else (count, 0)
        return Restored(size, restored, last_tid, self._chosen.incomplete, left)

    def _write(self, new: Path) -> tuple[int, bytes | None]:
        """Write the data file, synced, at `new`; return its size and its newest tid."""
        operations, chosen = self._operations, self._chosen
        descriptor = operations.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            end = 0
            for piece in chosen.pieces:
                if piece.start != end:
                    found = f"a piece from byte {piece.start} on"
                    raise BackupError(piece.path, found, f"one from {end} on")
                for chunk in read_piece(piece, self._tell):
                    end = write_all(operations, descriptor, [chunk], end)
            part = find_part(descriptor, chosen.directory, end, chosen.cut_after)
            if part.end != end:
                operations.truncate(descriptor, part.end)
            operations.sync(descriptor)
        finally:
            operations.close(descriptor)
        return part.end, part.last_tid

    def _write_blobs(self, new: Path) -> None:
        shutil.rmtree(new, ignore_errors=True)
        layout = LAYOUTS[self._chosen.blob_layout or BUSHY.name]
        directory = open_blob_directory(new, self._operations, new_layout=layout)
        incoming = directory.temporary / "incoming"
        for blob, piece in self._chosen.blobs:
            store(self._operations, incoming, read_piece(piece, self._tell), compress=False)
            staged = directory.stage(blob.oid, incoming)
            directory.place(staged, blob.oid, blob.tid)
            directory.unstage(staged)
        directory.settle({blob.oid for blob, _ in self._chosen.blobs})

    def _replace_directory(self, new: Path, target: Path) -> None:
        operations = self._operations
        aside = target.with_name(target.name + ".replaced")
        shutil.rmtree(aside, ignore_errors=True)
        if target.exists():
            operations.rename(target, aside)
        operations.rename(new, target)
        operations.sync_directory(target.parent)
        shutil.rmtree(aside, ignore_errors=True)

    def _put_in_place(self, new: Path) -> None:
        operations, path = self._operations, self._path
        with suppress(FileNotFoundError):
            # It belongs to the file that is being replaced.
            operations.unlink(path.with_name(path.name + ".index"))
        operations.rename(new, path)
        operations.sync_directory(path.parent)

    def _tell(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _NEW)
