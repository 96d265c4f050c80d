"""Storages and disks that break one promise each, for proving that the harness notices.

Each breakage is applied with a `pytest.MonkeyPatch`, and says what then has to be
found broken.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from perdure.fileops import FileOperations
from perdure.ids import ZERO
from perdure.storages.file import (
    checkpoints,
    committing,
    encoding,
    fileend,
    groups,
    loading,
    opening,
    packcopy,
    scan,
    tail,
)
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.indexfile import SavedIndex
from perdure.testing.faults import Recording

__all__ = ["BREAKAGES", "Breakage"]

Break = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Breakage:
    """What is broken, the scenario and the kind of `crash` that show it."""

    apply: Break
    scenario: str
    crash: str = "anywhere"


def _no_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recording, "sync", lambda self, descriptor: None)


def _no_directory_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recording, "sync_directory", lambda self, path: None)


def _no_directory_sync_of_a_pack(patch: pytest.MonkeyPatch) -> None:
    def switch(self: committing.Committer, view: Any) -> None:
        self._use(view)
        self._commits += 1

    patch.setattr(committing.Committer, "switch", switch)


def _acknowledged_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    def sync_up_to(self: groups.CommitQueue, end: int) -> None:
        self.write_kept()
        self.durable = self._finished

    patch.setattr(groups.CommitQueue, "_sync_up_to", sync_up_to)


def _status_before_the_data(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fileend, "_unfinished", iter)


def _packed_without_a_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(packcopy.PackedCopy, "sync", packcopy.PackedCopy.flush)


def _cut_before_set_aside(patch: pytest.MonkeyPatch) -> None:
    def set_aside(operations: FileOperations, file: DataFile, end: int, position: int) -> Path:
        rest = file.read(position, end - position)
        operations.truncate(file.descriptor, position)
        operations.sync(file.descriptor)
        path = tail._free_name(file.path)
        target = operations.open(path, os.O_WRONLY | os.O_CREAT)
        operations.write(target, [rest], 0)
        operations.sync(target)
        operations.close(target)
        operations.sync_directory(path.parent)
        return path

    patch.setattr(opening, "set_aside", set_aside)


def _all_taken_for_a_reserve(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(opening, "written_end", lambda file, position, size: position)


def _no_checksums(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scan.Scanner, "examine", scan.Scanner.structure)


def _trailers_that_a_crash_tears_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(encoding, "_holds", lambda position, first: True)


def _cut_without_a_sync(patch: pytest.MonkeyPatch) -> None:
    def clear_the_end(self: committing.Committer) -> None:
        with self._file_lock:
            self._cut_off()

    patch.setattr(committing.Committer, "_clear_the_end", clear_the_end)


def _opened_without_writing_again(patch: pytest.MonkeyPatch) -> None:
    def only_sync(operations: FileOperations, file: DataFile, start: int, end: int) -> None:
        operations.sync(file.descriptor)

    patch.setattr(opening, "write_again", only_sync)


def _opened_without_a_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(opening, "write_again", lambda *arguments: None)


def _index_taken_unseen(patch: pytest.MonkeyPatch) -> None:
    def verified(file: DataFile, saved: SavedIndex, size: int) -> bytes:
        return saved.last_tid or ZERO

    patch.setattr(loading, "_verified", verified)


def _index_of_before_the_pack(patch: pytest.MonkeyPatch) -> None:
    # Both: one alone is enough to be safe.
    _index_taken_unseen(patch)
    patch.setattr(checkpoints.Checkpoints, "remove", lambda self: None)


BREAKAGES: Final[dict[str, Breakage]] = {
    "a disk that syncs nothing": Breakage(_no_sync, "commits"),
    "names that are not synced": Breakage(_no_directory_sync, "commits"),
    "a pack whose name is not synced": Breakage(
        _no_directory_sync_of_a_pack, "pack_while_committing"
    ),
    "acknowledging before the sync": Breakage(_acknowledged_before_the_sync, "commits"),
    "the status before the data": Breakage(_status_before_the_data, "aborts_without_reserve"),
    "a pack that is not synced": Breakage(_packed_without_a_sync, "pack"),
    "cutting before setting aside": Breakage(_cut_before_set_aside, "groups", "while recovering"),
    "taking what a crash left for a reserve": Breakage(
        _all_taken_for_a_reserve, "groups_of_reserves", "while recovering"
    ),
    "no checksums": Breakage(_no_checksums, "groups"),
    "a trailer that can be lost alone": Breakage(_trailers_that_a_crash_tears_off, "long_notes"),
    "cutting without a sync": Breakage(_cut_without_a_sync, "aborts_without_reserve"),
    "opening without writing again": Breakage(
        _opened_without_writing_again, "commits", "after failed syncs"
    ),
    "an index of another file": Breakage(_index_taken_unseen, "beginning_anew"),
    "an index of before the pack": Breakage(_index_of_before_the_pack, "pack"),
    "opening without a sync": Breakage(_opened_without_a_sync, "commits", "after kills"),
}
