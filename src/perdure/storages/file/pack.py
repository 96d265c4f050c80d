"""Packing while people work: a smaller file takes the place of the data file.

    survey   what was current at the time to pack to; what of it is needed
    copy     of that; others commit to the old file meanwhile
    follow   what was committed meanwhile is copied, in rounds, each shorter
    swap     commits wait: the last round, a sync, the new file gets the name

Transactions copied in part get the status "p": they cannot be undone. Everything
committed after the time to pack to is copied whole. Should a transaction that was
committed meanwhile need something that was garbage, then all begins anew, and keeps that.

Until the swap the data file is only read. What is left of a pack that was
killed is `NAME.pack`, which is removed at the next opening.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure import native
from perdure.errors import FileStorageSpaceError, PackCancelledError, StorageError
from perdure.fileops import FileOperations
from perdure.interfaces import References
from perdure.storages.file.counting import transactions
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.marking import Needs, needs_of
from perdure.storages.file.needed import Moment, moment_of
from perdure.storages.file.packcopy import PackedCopy
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Transaction

__all__ = [
    "Cancel",
    "Pack",
    "PackEstimate",
    "PackProgress",
    "Swap",
    "old_path",
    "packed_path",
    "put_in_place",
    "remove_leftover",
]

_SHORT_ROUND: Final = 256 << 10
"""Bytes that are copied while commits wait."""

_MOST_ROUNDS: Final = 20
_SYNCED_ROUNDS: Final = 2
"""A first sync may take long, and much be committed meanwhile; the next one does not."""

_MOST_ATTEMPTS: Final = 3

_TURN_S: Final = 0.003
"""After so long others have their turn: who waits for it wakes too late when a read lets go."""

_ASIDE_S: Final = 0.00005

_TRANSACTION_OVERHEAD: Final = 128
"""About what a transaction takes beside its records."""

Cancel = threading.Event | Callable[[], bool]
"""Set, or returning true, when a pack is to end."""

PackProgress = Callable[[int, int], object]
"""Called with the bytes of the data file that were copied or left out, and with all of them."""

Swap = Callable[[View], None]
"""Puts the packed file, whose view it is called with, in the place of the old one."""


@dataclass(frozen=True, slots=True)
class PackEstimate:
    """What a pack would drop: objects, revisions, and the bytes of these."""

    objects: int
    revisions: int
    size_bytes: int


def old_path(path: Path) -> Path:
    """Return where the file is kept that was at `path` before it was packed."""
    return path.with_name(path.name + ".old")


def packed_path(path: Path) -> Path:
    """Return where the packed file is written before it takes the place of `path`."""
    return path.with_name(path.name + ".pack")


def remove_leftover(operations: FileOperations, path: Path) -> None:
    """Remove what a pack of the file at `path` left when it was killed."""
    with suppress(FileNotFoundError):
        operations.unlink(packed_path(path))


class Pack:
    """One pack of the file of `view`, to the tid `stop`; with `references` without garbage.

    Raises `OSError`, what reading raises and what `references` and `progress`
    raise; `PackCancelledError` if `cancel` says so; `FileStorageSpaceError`.
    """

    def __init__(
        self,
        operations: FileOperations,
        view: View,
        stop: bytes,
        references: References | None,
        progress: PackProgress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._operations = operations
        self._view = view
        self._path = view.file.path
        self._stop = stop
        self._references = references
        self._progress = progress
        self._aside_s = 0.0  # when others had their turn, last
        self._linked: list[bytes] = []  # garbage that was in use while it was packed
        self._cancelled = cancel.is_set if isinstance(cancel, threading.Event) else cancel

    def estimate(self) -> PackEstimate:
        """Return what would go, and change nothing."""
        moment = moment_of(self._view, self._view.end, self._stop, self._tick)
        kept = needs_of(self._view, moment, self._references, self._tick).find([])
        size_bytes = max(moment.record_bytes - kept.size_bytes, 0)
        return PackEstimate(moment.objects - kept.count, moment.records - kept.count, size_bytes)

    def run(self, exclusive: Callable[[], AbstractContextManager[object]], swap: Swap) -> bool:
        """Pack, and call `swap` in the context `exclusive()`, in which nobody commits.

        Returns whether there was anything to drop. If it raises, and `swap` did not,
        the file is as it was and nothing is left of the copy.
        """
        for _ in range(_MOST_ATTEMPTS):
            try:
                return self._attempt(exclusive, swap)
            except _GarbageLinkedError as error:
                self._linked += error.oids
                remove_leftover(self._operations, self._path)
            except BaseException:
                with suppress(OSError):  # the error under way says more
                    remove_leftover(self._operations, self._path)
                raise
        raise StorageError(
            f"{self._path}: found {_MOST_ATTEMPTS} times that garbage was linked again while it "
            "was packed; the file is as it was; pack without gc, or to an earlier time"
        )

    def _attempt(self, exclusive: Callable[[], AbstractContextManager[object]], swap: Swap) -> bool:
        view = self._view
        moment = moment_of(view, view.end, self._stop, self._tick)
        needed = needs_of(view, moment, self._references, self._tick)
        kept = needed.find(self._linked)
        if moment.records <= kept.count:
            return False
        self._check_space(moment, kept.size_bytes)
        descriptor = self._operations.open(
            packed_path(self._path), os.O_RDWR | os.O_CREAT | os.O_TRUNC
        )
        copy = PackedCopy(self._operations, view, DataFile(self._path, descriptor))
        for reached in copy.copy_old(kept):
            self._tick()
            self._tell(reached)
        if moment.boundary == view.end and copy.view.last_tid < view.last_tid:
            # The newest one stays, even empty: the next tid must be later after reopening, too.
            copy.copy_empty(moment.last)
        end = moment.boundary
        for _ in range(_SYNCED_ROUNDS):
            end = self._follow(copy, needed, end, moment.end)
            copy.sync()  # of nearly all of it, before commits wait
        with exclusive():
            for transaction in transactions(view, end, view.end):
                self._copy_later(copy, needed, transaction, moment.end)
            copy.sync()
            self._tick()
            swap(copy.view)
        return True

    def _follow(self, copy: PackedCopy, needed: Needs, position: int, marked: int) -> int:
        """Copy what stands from `position` on, in rounds; return how far that went."""
        view = self._view
        for _ in range(_MOST_ROUNDS):
            end = view.end
            for transaction in transactions(view, position, end):
                self._copy_later(copy, needed, transaction, marked)
                self._tick()
                self._tell(transaction.end)
            position = end
            if view.end - position < _SHORT_ROUND:
                break
        return position

    def _copy_later(
        self, copy: PackedCopy, needed: Needs, transaction: Transaction, marked: int
    ) -> None:
        source = copy.source_of(transaction)
        if transaction.position >= marked:
            linked = needed.garbage_named_by(transaction, source.raw)
            if linked:
                raise _GarbageLinkedError(linked)
        copy.copy_later(source, transaction.records)

    def _check_space(self, moment: Moment, kept_bytes: int) -> None:
        later_bytes = moment.end - moment.boundary
        needed = kept_bytes + later_bytes + _TRANSACTION_OVERHEAD * moment.transactions
        free = shutil.disk_usage(self._path.parent).free
        if min(needed, moment.end) > free:
            raise FileStorageSpaceError(self._path, min(needed, moment.end), free)

    def _tick(self) -> None:
        """End if it was cancelled; now and then, let others have their turn."""
        if self._cancelled is not None and self._cancelled():
            raise PackCancelledError(f"{self._path}: its pack was cancelled; it is as it was")
        if not native.courtesy:  # which lets them wherever it reads
            now_s = time.perf_counter()
            if now_s - self._aside_s >= _TURN_S:
                time.sleep(_ASIDE_S)
                self._aside_s = time.perf_counter()

    def _tell(self, position: int) -> None:
        if self._progress is not None:
            self._progress(position, self._view.end)


class _GarbageLinkedError(Exception):
    """A transaction that was committed meanwhile needs what was garbage: `oids`."""

    def __init__(self, oids: list[bytes]) -> None:
        super().__init__(oids)
        self.oids = oids


def put_in_place(operations: FileOperations, path: Path, keep_old: bool) -> None:
    """Give the packed file the name `path`; at no moment is there no file of that name.

    There must be no saved index: a crash must not leave it beside a file that it is not of.
    With `keep_old` the file that had it is `NAME.old` then. Raises `OSError`
    while everything still has its name; then nothing is left of the packed file.
    """
    try:
        if keep_old:
            old = old_path(path)
            with suppress(FileNotFoundError):
                operations.unlink(old)
            operations.link(path, old)
        operations.rename(packed_path(path), path)
    except OSError:
        operations.unlink(packed_path(path))
        raise
