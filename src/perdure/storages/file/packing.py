"""What a pack does to a storage: another file, another view, its index, its blobs."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from perdure.blobs import BlobDirectory, pack_blobs
from perdure.errors import CorruptDataError, POSKeyError
from perdure.fileops import FileOperations
from perdure.interfaces import References
from perdure.storages.file.checkpoints import Checkpoints
from perdure.storages.file.committing import Committer
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.index import IndexSnapshot, PositionIndex
from perdure.storages.file.openfile import access
from perdure.storages.file.pack import (
    Cancel,
    Pack,
    PackProgress,
    old_path,
    packed_path,
    put_in_place,
)
from perdure.storages.file.reader import View

__all__ = ["Packing"]

_AS_IT_WAS = "the file is as it was"


@dataclass(frozen=True, slots=True)
class Packing:
    """One pack of a storage that is made of these parts.

    `use` is called with the view of the packed file when that is in place. With
    `keep_old`, the data file and the blobs are kept as they were.
    """

    operations: FileOperations
    committer: Committer
    checkpoints: Checkpoints
    blobs: BlobDirectory | None
    keep_old: bool
    use: Callable[[View], object]

    def pack(
        self,
        view: View,
        stop: bytes,
        references: References | None,
        progress: PackProgress | None,
        cancel: Cancel | None,
    ) -> None:
        """Pack to the tid `stop`; raises what `Pack` does, `FileAccessError` for `OSError`."""
        snapshots: list[IndexSnapshot] = []
        packed: list[View] = []
        with access(view.file.path, "pack it", _AS_IT_WAS):
            pack = Pack(self.operations, view, stop, references, progress, cancel)

            def swap(copy: View) -> None:
                packed.append(copy)
                snapshots.append(self._swap(copy))

            pack.run(partial(self._exclusive, view.file.path), swap)
        for copy, snapshot in zip(packed, snapshots, strict=True):
            self._finish(copy, snapshot, stop)
        if not packed:
            # Nothing of the file goes. Blobs may that a crash left; NAME.old stays as it is.
            self._pack_blobs(view, stop, None)

    def pack_with(
        self, view: View, stop: bytes, packer: Callable[[], tuple[int, Mapping[bytes, int]] | None]
    ) -> None:
        """Let another packer write `NAME.pack` while commits wait; it returns end and index."""
        path = view.file.path
        with access(path, "pack it", _AS_IT_WAS), self._exclusive(path):
            result = packer()
            if result is None:
                return
            end, positions = result
            file = DataFile(path, self.operations.open(packed_path(path), os.O_RDWR))
            index = PositionIndex()
            index.update(dict(positions.items()))
            copy = View(file, index, end, view.last_tid)
            snapshot = self._swap(copy)
        self._finish(copy, snapshot, stop)

    @contextmanager
    def _exclusive(self, path: Path) -> Iterator[None]:
        """Keep everybody from committing; what takes long happens before, or afterwards."""
        self.checkpoints.suspend()
        try:
            with _kept_open(old_path(path)), self.committer.exclusive():
                yield
        finally:
            self.checkpoints.resume()

    def _swap(self, copy: View) -> IndexSnapshot:
        path = copy.file.path
        with access(path, "pack it", _AS_IT_WAS):
            put_in_place(self.operations, path, self.keep_old)
        self.use(copy)
        self.committer.switch(copy)
        return self.checkpoints.begin(copy)

    def _finish(self, copy: View, snapshot: IndexSnapshot, stop: bytes) -> None:
        self.checkpoints.save(snapshot)
        self._pack_blobs(copy, stop, self.operations if self.keep_old else None)

    def _pack_blobs(self, view: View, stop: bytes, keep_old: FileOperations | None) -> None:
        if self.blobs is None:
            return
        consequence = "the file is packed; what was not removed goes with the next pack"
        with access(self.blobs.path, "pack it", consequence):
            # Whatever is committed from now on is later than the last in the view.
            pack_blobs(self.blobs, min(stop, view.last_tid), _having_revision(view), keep_old)


@contextmanager
def _kept_open(path: Path) -> Iterator[None]:
    """Hold a file open, where there is one: when it loses its name its room is freed only then.

    That takes long for a large one.
    """
    descriptor = -1
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _having_revision(view: View) -> Callable[[bytes, bytes], bool]:
    def has_revision(oid: bytes, tid: bytes) -> bool:
        try:
            view.load_serial(oid, tid)
        except POSKeyError:
            return False
        except CorruptDataError:
            pass  # nobody knows; so its blob stays
        return True

    return has_revision
