"""The packs of one storage: one at a time, none while it is closed or looks for a newer file."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from perdure.clock import tid_at
from perdure.errors import FileStorageError
from perdure.fileops import FileOperations
from perdure.interfaces import References
from perdure.storages.file.pack import Cancel, Pack, PackEstimate, PackProgress
from perdure.storages.file.packing import Packing
from perdure.storages.file.reader import View

__all__ = ["Packs"]

WritePacked = Callable[[References, bytes, bool], tuple[int, Mapping[bytes, int]] | None]
"""Another packer: called with a function for references, a tid, and whether to collect garbage.

It writes `NAME.pack`, and returns where that ends and what is where; None for nothing done.
"""


class Packs:
    """Packs of the data file at `path`; garbage is collected by default where `collect`.

    `write_packed` is somebody else's way to pack.
    """

    def __init__(
        self,
        operations: FileOperations,
        path: Path,
        collect: bool,
        write_packed: WritePacked | None = None,
    ) -> None:
        self._operations = operations
        self._path = path
        self._collect = collect
        self._write_packed = write_packed
        self._lock = threading.Lock()

    @contextmanager
    def none_running(self) -> Iterator[None]:
        """Wait for the pack that is running, and let no other begin."""
        with self._lock:
            yield

    def pack(
        self,
        get_view: Callable[[], View],
        packing: Packing,
        t: float,
        references: References,
        gc: bool | None,
        progress: PackProgress | None,
        cancel: Cancel | None,
    ) -> None:
        """Pack the view, asked for when no other pack can begin, by `packing`.

        See `FileStorage.pack`.
        """
        stop, collect = tid_at(t), self._collect if gc is None else gc
        if not self._lock.acquire(blocking=False):
            raise FileStorageError(f"{self._path} is being packed already")
        try:
            view, write_packed = get_view(), self._write_packed
            if write_packed is None:
                packing.pack(view, stop, references if collect else None, progress, cancel)
            else:
                packing.pack_with(view, stop, lambda: write_packed(references, stop, collect))
        finally:
            self._lock.release()

    def estimate(
        self, view: View, t: float, references: References, gc: bool | None, cancel: Cancel | None
    ) -> PackEstimate:
        """Return what `pack` would drop."""
        collect = self._collect if gc is None else gc
        used = references if collect else None
        return Pack(self._operations, view, tid_at(t), used, cancel=cancel).estimate()
