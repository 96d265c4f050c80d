"""Packing: what it would drop, and what it brought."""

import time
from dataclasses import dataclass
from typing import Any, Final

from perdure.clock import time_of
from perdure.errors import StagingError, Unsupported
from perdure.objects.database import Database
from perdure.storages import DemoStorage, FileStorage
from perdure.storages.file.pack import PackEstimate
from perdure.storages.replicating import ReplicatingStorage
from perdure.storages.transforming import TransformingStorage
from perdure.tools.progress import Progress
from perdure.tools.stage.mark import holds_mark

__all__ = ["PackEstimate", "Packed", "estimate_pack", "pack"]

_ROUNDING_S: Final = 1e-6
"""How far seconds since 1970, as a float, can be from the tid that they stand for."""


@dataclass(frozen=True, slots=True)
class Packed:
    """How large a database was before a pack and is after it; sizes in bytes."""

    size_before: int
    size_after: int
    objects_before: int
    objects_after: int


def pack(
    database: Database,
    at: bytes | None = None,
    *,
    days: float = 0,
    progress: Progress | None = None,
) -> Packed:
    """Drop what is not needed to see the moment of the tid `at`, by default now, or any later.

    `days` goes further back from there. Storages pack to a time, which is coarser
    than a tid: what was current a microsecond before `at` stays as well. What the
    storage does about garbage, it was told when it was opened. `progress` counts
    bytes, for a data file with or without layers; other storages do not tell.

    Raises what `pack` of the storage raises, and `StagingError` for staged changes that are
    opened by themselves.
    """
    storage = database.storage
    if holds_mark(storage) and not isinstance(storage, DemoStorage):
        raise StagingError(
            storage.getName(),
            "by themselves staged changes look like garbage, and packing would drop them; "
            "pack the stage: perdure stage ADDRESS --changes CHANGES -- perdure pack",
        )
    seconds = _seconds(at, days)
    size, objects = database.getSize(), database.objectCount()
    if _ends_in_a_data_file(storage):
        storage.pack(seconds, database.references, progress=progress)
    else:
        database.pack(seconds)
    return Packed(size, database.getSize(), objects, database.objectCount())


def estimate_pack(database: Database, at: bytes | None = None, *, days: float = 0) -> PackEstimate:
    """Return what `pack` with the same arguments would drop; changes nothing.

    Raises `Unsupported` if the database is not in a data file: only that can tell.
    """
    storage = database.storage
    if not isinstance(storage, FileStorage):
        raise Unsupported(f"{database.getName()} cannot tell what a pack would drop")
    return storage.pack_estimate(_seconds(at, days), database.references)


def _seconds(at: bytes | None, days: float) -> float:
    moment = time.time() if at is None else time_of(at) - _ROUNDING_S
    return moment - days * 86400


def _ends_in_a_data_file(storage: Any) -> bool:
    """Return whether there is one below, and all layers above hand down how far it is."""
    while isinstance(storage, TransformingStorage | ReplicatingStorage):
        storage = storage.base
    return isinstance(storage, FileStorage)
