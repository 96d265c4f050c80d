"""Opening a storage: from its path to the view of a data file that is whole and durable.

A storage that will write makes sure of what it found: a torn end is set aside, what
a killed process may not have synced is written again, blobs of no transaction go.
"""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from perdure.blobs import BlobDirectory, open_blob_directory, pack_blobs
from perdure.clock import time_of
from perdure.fileops import FileOperations
from perdure.ids import MAX_TID, ZERO
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.loading import Loading, Progress, index_path, load_view
from perdure.storages.file.openfile import access, open_data_file
from perdure.storages.file.pack import remove_leftover
from perdure.storages.file.reader import View
from perdure.storages.file.reserve import written_end
from perdure.storages.file.scan import Unsound
from perdure.storages.file.tail import set_aside, write_again

__all__ = ["Opening"]

log = logging.getLogger("perdure.storages.file")


class Opening:
    """How the storage at `path` is opened, with its blobs in `blob_dir`, where given.

    `create` begins a new one in its place, `read_only` changes nothing on the disk.
    Methods raise what `FileStorage` does.
    """

    def __init__(
        self,
        operations: FileOperations,
        path: Path,
        blob_dir: str | None,
        create: bool,
        read_only: bool,
    ) -> None:
        self._operations = operations
        self._path = path
        self._blob_dir = None if blob_dir is None else Path(blob_dir)
        self._create = create
        self._read_only = read_only

    def blobs(self) -> BlobDirectory | None:
        """Return the blob directory, None for a storage without; call `clean` later."""
        if self._blob_dir is None:
            return None
        return open_blob_directory(self._blob_dir, self._operations, self._read_only)

    def view(self, stop: bytes | None, progress: Progress | None) -> Loading:
        """Return the view of the data file; of the transactions before the tid `stop`, if given."""
        operations, path = self._operations, self._path
        file = open_data_file(operations, path, self._read_only, self._create)
        if self._create:
            consequence = "the file is new and empty; it was not opened"
            with access(path, "remove its index", consequence), suppress(FileNotFoundError):
                operations.unlink(index_path(path))
        with access(path, "read it", "it was not opened"):
            if not self._read_only:
                remove_leftover(operations, path)
            loading = load_view(file, stop, progress)
            view, torn = loading.view, loading.torn
            self._warn_of_the_future(view.last_tid)
            if not self._read_only:
                self._settle(file, loading)
            elif torn is not None and not torn.unfinished:
                self._warn_of_the_end(torn)
        return loading

    def _settle(self, file: DataFile, loading: Loading) -> None:
        """Cut off what stands behind the end, and make sure of what stands before it."""
        operations, end, torn = self._operations, loading.view.end, loading.torn
        if torn is not None:
            written = written_end(file, end, file.size())
            if written > end or not torn.unfinished:
                self._warn_of_the_end(torn)
            if written > end:
                aside = set_aside(operations, file, written, end)
                log.warning("%s: what stood behind its end is now in %s", self._path, aside)
            else:
                operations.truncate(file.descriptor, end)  # nothing but a reserve
        # Readers are about to see what a process may not have synced that was
        # killed, or failed to: its last commits, a cut, the name of the file.
        if not loading.is_durable:
            write_again(operations, file, loading.durable, end)
            operations.sync_directory(self._path.parent)

    def clean(self, blobs: BlobDirectory | None, view: View) -> None:
        """Remove blobs of transactions that never were, or that are not there any more."""
        if blobs is None or self._read_only:
            return
        with access(blobs.path, "clean it", "the database was not opened"):
            left = blobs.clean(view.last_tid)
            if self._create:
                left += pack_blobs(blobs, MAX_TID, lambda oid, tid: False)
            if left:
                log.info("%s: removed %d blobs of no transaction", blobs.path, left)

    def _warn_of_the_end(self, torn: Unsound) -> None:
        text = "%s, byte %d: found %s, expected %s; the file ends before this transaction"
        log.warning(text, self._path, torn.position, torn.found, torn.expected)

    def _warn_of_the_future(self, last_tid: bytes) -> None:
        ahead_s = time_of(last_tid) - time.time() if last_tid != ZERO else 0.0
        if ahead_s > 0:
            when = datetime.fromtimestamp(time_of(last_tid), UTC)
            text = "%s: its last transaction is from %s, %.0f seconds ahead; tids go on from there"
            log.warning(text, self._path, f"{when:%Y-%m-%d %H:%M:%S} UTC", ahead_s)
