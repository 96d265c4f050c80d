"""Blobs of a storage that keeps nothing: a directory made at need, gone when it is closed."""

import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

from perdure.blobs.directory import BlobDirectory
from perdure.blobs.opening import open_blob_directory
from perdure.fileops import FileOperations

__all__ = ["TemporaryBlobs"]


class _Unsynced(FileOperations):
    """No crash will be asked about what lies here."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class TemporaryBlobs:
    """A blob directory that is made when it is first asked for, and removed by `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: BlobDirectory | None = None
        self._remove: weakref.finalize[..., TemporaryBlobs] | None = None

    @property
    def made(self) -> BlobDirectory | None:
        """The directory if there is one by now."""
        return self._directory

    @property
    def directory(self) -> BlobDirectory:
        """The directory; raises `FileAccessError` if it cannot be made."""
        with self._lock:
            if self._directory is None:
                path = Path(tempfile.mkdtemp(prefix="perdure-", suffix=".blobs"))
                # Also when nobody closes it, at the latest when the process ends.
                self._remove = weakref.finalize(self, _remove, path, os.getpid())
                self._directory = open_blob_directory(path, _Unsynced())
            return self._directory

    def close(self) -> None:
        """Remove the directory and all that is in it. Harmless when done twice."""
        if self._remove is not None:
            self._remove()


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not a process that was forked off
        shutil.rmtree(path, ignore_errors=True)  # somebody may have removed it
