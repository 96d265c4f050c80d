"""Blobs: persistent objects whose state is a file, for what is too large for a record.

    committed     the file that the storage keeps for the revision that was loaded
    uncommitted   what the transaction wrote instead, in the storage's temporary directory

At the commit, or at a savepoint, the uncommitted file is handed over; until
then it belongs to the blob, and is removed with it. An open file belongs to the
transaction: it is closed when the blob has to forget its data.
"""

import os
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final
from weakref import WeakSet

from persistent import Persistent

from perdure.blobs import SAVEPOINT_SUFFIX, BlobFile, copy_stream, move, unused_path
from perdure.errors import BlobError, OpenBlobError
from perdure.fileops import FileOperations

__all__ = ["Blob", "BlobFile"]

_MODES: Final = ("r", "w", "r+", "a", "c")


class Blob(Persistent):
    """A file as a persistent object, which begins with `data`, or empty.

    It has no subclasses: keep one in an attribute instead.
    """

    _p_changed: bool | None  # None for a ghost
    # As in ZODB. Names that begin with _p_ can be used without loading anything.
    _p_blob_committed: str | None = None
    _p_blob_uncommitted: str | None = None
    _p_blob_cleanup: "weakref.finalize[Any, Any] | None" = None

    readers: Any = None  # the files that are open, each a `WeakSet`; None before the first
    writers: Any = None

    def __init__(self, data: bytes | None = None) -> None:
        if type(self) is not Blob:
            raise TypeError(
                f"{type(self).__name__} derives from Blob, which has no subclasses; "
                "keep a blob in an attribute"
            )
        self.__setstate__()
        if data is not None:
            with self.open("w") as f:
                f.write(data)

    def __setstate__(self, state: object = None) -> None:
        self.readers = WeakSet()
        self.writers = WeakSet()

    def __getstate__(self) -> None:
        return None

    # What an application does with it

    def open(self, mode: str = "r") -> IO[bytes]:
        """Return the data as an open file, in binary.

        `r` reads what this transaction sees. `w` begins anew, `a` goes on at the
        end, `r+` changes what is there; the latter two work on a copy, so a large
        blob costs its size. Many may read, or one may write.

        `c` reads the committed data, and the file stays usable when the
        transaction is over.

        Raises `BlobError` where the blob is open otherwise, or has uncommitted
        changes and `c` is asked for; `ValueError` for any other mode.
        """
        if mode not in _MODES:
            raise ValueError(f"invalid mode {mode!r}; expected one of {', '.join(_MODES)}")
        if mode == "c":
            self._check_committed()
            committed: IO[bytes] = self._p_jar.blob_files.openCommittedBlobFile(
                self._p_oid, self._p_serial
            )
            return committed
        if self.readers is None:
            self.__setstate__()  # a new blob whose creation was rolled back
        self._check_not_open("writing", self.writers)
        if mode == "r":
            file = self._open_for_reading()
            self.readers.add(file)
        else:
            self._check_not_open("reading", self.readers)
            file = self._open_for_writing(mode)
            self.writers.add(file)
        return file

    def consumeFile(self, filename: str) -> None:
        """Take over a file as the blob's data: it is moved if possible, else copied and removed.

        Where that fails with an `OSError`, the file and the blob stay as they
        were. Raises `BlobError` while the blob is open, and for what is no file.
        """
        self._check_not_open("writing", self.writers)
        self._check_not_open("reading", self.readers)
        if not stat.S_ISREG(os.stat(filename).st_mode):
            raise BlobError(f"{filename} is not a file, and only a file can become a blob")
        target = self._unused_path()
        # First, for it can be refused: the file must not be gone then.
        self._p_changed = True
        move(FileOperations(), Path(filename), target)
        self._adopt(target)

    def committed(self) -> str:
        """Return the path of the committed data, to be read only.

        Raises `BlobError` where there are uncommitted changes.
        """
        self._check_committed()
        # Asked again: it may have to be fetched, or used lately in order not to be dropped.
        path: str = self._p_jar.blob_files.loadBlob(self._p_oid, self._p_serial)
        return path

    def opened(self) -> bool:
        """Return whether a file of it is open."""
        return bool(self.readers or self.writers)

    def closed(self, f: Any) -> None:
        """Take note that a file of it was closed; the file itself calls this."""
        for files in (self.readers, self.writers):
            if files is not None:
                files.discard(f)

    # What persistence does with it

    def _p_deactivate(self) -> None:
        if self._p_changed is None or self.opened():
            return
        super()._p_deactivate()

    def _p_invalidate(self) -> None:
        if self._p_changed is None:
            return
        for files in (self.readers, self.writers):
            for f in tuple(files or ()):
                f.close()
        self._discard_uncommitted()
        super()._p_invalidate()

    def file_to_store(self) -> str | None:
        """Return the uncommitted file, to be handed over; None if there is nothing new.

        A new blob has one in any case. Raises `OpenBlobError` if the blob is open.
        """
        if self.opened():
            raise OpenBlobError(
                "a blob cannot be stored while a file of it is open; close the file first"
            )
        if self._p_blob_uncommitted is None and self._p_blob_committed is None:
            self._begin_empty()
        return self._p_blob_uncommitted

    def handed_over(self, committed: str | None = None) -> None:
        """Take note that the uncommitted file belongs to somebody else now.

        `committed` is where the data can be read meanwhile, None if nowhere.
        """
        if self._p_blob_cleanup is not None:
            self._p_blob_cleanup.detach()
        self._p_blob_uncommitted = self._p_blob_cleanup = None
        self._p_blob_committed = committed

    # Its files

    def _open_for_reading(self) -> IO[bytes]:
        if self._p_blob_uncommitted is None and self._p_blob_committed is not None:
            file: IO[bytes] = self._p_jar.blob_files.openCommittedBlobFile(
                self._p_oid, self._p_serial, self
            )
            return file
        return BlobFile(self._p_blob_uncommitted or self._begin_empty(), "r", self)

    def _open_for_writing(self, mode: str) -> IO[bytes]:
        path = self._p_blob_uncommitted
        if path is None:
            committed = self._p_blob_committed
            if mode == "w" or committed is None:
                path = self._begin_empty()
            else:
                copy = self._unused_path()
                with self._p_jar.blob_files.openCommittedBlobFile(
                    self._p_oid, self._p_serial
                ) as source:
                    copy_stream(FileOperations(), source, copy)
                path = self._adopt(copy)
        self._p_changed = True
        return BlobFile(path, mode, self)

    def _begin_empty(self) -> str:
        path = self._unused_path()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return self._adopt(path)

    def _unused_path(self) -> Path:
        jar = self._p_jar
        directory = tempfile.gettempdir() if jar is None else jar.blob_files.temporaryDirectory()
        return unused_path(directory, "BUC", "")

    def _adopt(self, path: Path) -> str:
        self._discard_uncommitted()
        self._p_blob_uncommitted = str(path)
        self._p_blob_cleanup = weakref.finalize(self, _remove, str(path), os.getpid())
        return str(path)

    def _discard_uncommitted(self) -> None:
        cleanup, self._p_blob_cleanup = self._p_blob_cleanup, None
        self._p_blob_uncommitted = None
        if cleanup is not None:
            cleanup()

    def _check_not_open(self, what: str, files: Any) -> None:
        if files:
            raise BlobError(f"the blob is open for {what} already; close that file first")

    def _check_committed(self) -> None:
        committed = self._p_blob_committed
        if (
            self._p_blob_uncommitted is not None
            or committed is None
            or committed.endswith(SAVEPOINT_SUFFIX)
        ):
            raise BlobError("the blob has uncommitted changes; commit them first")


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # and not a process that was forked off
        with suppress(FileNotFoundError):
            os.unlink(path)
