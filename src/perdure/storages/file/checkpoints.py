"""Index checkpoints: the index is saved while the storage runs, so that opening scans little.

After a kill the file is scanned from where the last checkpoint knows it. So a
checkpoint is due when that scan would become long:

    tail := what was committed since, in bytes, and `_COMMIT_COST` for each commit
    due  := the tail is `interval_bytes` long, and a quarter of the index file

A checkpoint begins with a snapshot, in the thread that has just made a
transaction visible, and is written by a thread of its own: commits go on. It
holds only what is durable in the data file, so that no crash can leave it ahead of
that. It is complete under a temporary name before it takes the place of the older.

Packing puts another file in the place of the data file. Before, what is saved is removed, and
nothing is put in its place until then.
"""

import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure.fileops import FileOperations, write_all
from perdure.storages.file.index import IndexSnapshot
from perdure.storages.file.indexfile import index_pieces
from perdure.storages.file.loading import Loading, index_path
from perdure.storages.file.reader import View

__all__ = ["CHECKPOINT_BYTES", "Checkpoints"]

CHECKPOINT_BYTES: Final = 16 << 20

_COMMIT_COST: Final = 1600
"""Bytes of records that take as long to scan as a transaction by itself."""

_INDEX_BYTES_PER_OBJECT: Final = 8

log = logging.getLogger("perdure.storages.file")


class Checkpoints:
    """Saves the index of the view that was loaded, and of those that follow it.

    With `interval_bytes` None it is saved only when it is asked for.
    """

    def __init__(
        self, operations: FileOperations, loading: Loading, interval_bytes: int | None
    ) -> None:
        self._operations = operations
        self._path = index_path(loading.view.file.path)
        self._interval_bytes = interval_bytes
        self._saved_at = loading.scanned_from
        self._tail = 0
        self._due_at = interval_bytes or 0
        self._saving = threading.Lock()  # one file at a time
        self._placing = threading.Lock()  # for the moment in which one takes its place
        self._snapshot: IndexSnapshot | None = None  # what is being saved
        self._thread: threading.Thread | None = None
        self._suspended = False
        self.published(loading.view, loading.view.end - loading.scanned_from)

    def published(self, view: View, size_bytes: int) -> None:
        """Take note of a transaction of so many bytes that is visible now; save if it is due.

        Only for the thread that makes transactions visible.
        """
        self._tail += size_bytes + _COMMIT_COST
        if self._tail < self._due_at or self._interval_bytes is None or self._snapshot is not None:
            return
        self._due_at = max(self._interval_bytes, len(view.index) * _INDEX_BYTES_PER_OBJECT // 4)
        if self._tail < self._due_at:
            return
        with self._placing:
            if self._suspended:
                return
            snapshot = self._begin(view)
        self._thread = threading.Thread(
            target=self.save, args=(snapshot,), name=f"checkpoint of {view.file.path.name}"
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # none can be had, or the interpreter is about to end
            self._thread = None
            self._finished(snapshot)
            log.warning("%s: its index was not saved: %s", view.file.path, error)

    def begin(self, view: View) -> IndexSnapshot:
        """Return a snapshot, to be given to `save`; what is being saved is not put in place.

        Only while nobody makes transactions visible, or by who does.
        """
        with self._placing:
            self._suspended = False
            return self._begin(view)

    def save(self, snapshot: IndexSnapshot) -> None:
        """Write a snapshot, and put it in place of what was saved before; failing is logged."""
        temporary = self._path.with_name(self._path.name + ".tmp")
        try:
            with self._saving:
                if next(snapshot.pages(), None) is None:
                    # ZODB fails to open a file that has an index, and no record.
                    self.remove()
                else:
                    self._write(snapshot, temporary)
        except OSError as error:
            log.warning("%s could not be saved: %s", self._path, error)
            with suppress(OSError):
                self._operations.unlink(temporary)
        finally:
            self._finished(snapshot)

    def remove(self) -> None:
        """Remove what is saved, durably; `OSError` if that fails."""
        with self._placing:
            if self._snapshot is not None:
                self._finish()
            self._saved_at = 0
            with suppress(FileNotFoundError):
                self._operations.unlink(self._path)
                self._operations.sync_directory(self._path.parent)

    def suspend(self) -> None:
        """Remove what is saved, before the file is replaced, and save nothing until `begin`.

        `resume` ends it where the file stays. Raises `OSError` if removing fails.
        """
        with self._placing:
            self._suspended = True
        self.remove()

    def resume(self) -> None:
        """Save again, and soon, unless something was begun since `suspend`."""
        with self._placing:
            if self._suspended:
                self._suspended = False
                self._tail = sys.maxsize

    def wait(self) -> None:
        """Return when nothing is being saved in the background."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def close(self, view: View | None) -> None:
        """Save the index of `view`, where given, unless the saved one is up to date."""
        self.wait()
        if view is not None and view.end != self._saved_at:
            self.save(self.begin(view))

    def _begin(self, view: View) -> IndexSnapshot:
        if self._snapshot is not None:
            self._snapshot.release()
        self._snapshot = view.index.snapshot(view.end, view.last_tid)
        self._tail = 0
        return self._snapshot

    def _write(self, snapshot: IndexSnapshot, temporary: Path) -> None:
        operations = self._operations
        descriptor = operations.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            at = 0
            for piece in index_pieces(snapshot):
                if self._snapshot is not snapshot:
                    break
                at = write_all(operations, descriptor, [piece], at)
            else:
                operations.sync(descriptor)
        finally:
            operations.close(descriptor)
        with self._placing:
            if self._snapshot is not snapshot:
                operations.unlink(temporary)
                return
            operations.rename(temporary, self._path)
            self._saved_at = snapshot.position
        operations.sync_directory(self._path.parent)

    def _finished(self, snapshot: IndexSnapshot) -> None:
        with self._placing:
            if self._snapshot is snapshot:
                self._finish()

    def _finish(self) -> None:
        if self._snapshot is not None:
            self._snapshot.release()
            self._snapshot = None
