"""Packing, and what it brought."""

import time
from dataclasses import dataclass
from typing import Final

from perdure.clock import time_of
from perdure.objects.database import Database

__all__ = ["Packed", "pack"]

_ROUNDING_S: Final = 1e-6
"""How far seconds since 1970, as a float, can be from the tid that they stand for."""


@dataclass(frozen=True, slots=True)
class Packed:
    """How large a database was before a pack and is after it; sizes in bytes."""

    size_before: int
    size_after: int
    objects_before: int
    objects_after: int


def pack(database: Database, at: bytes | None = None, *, days: float = 0) -> Packed:
    """Drop what is not needed to see the moment of the tid `at`, by default now, or any later.

    `days` goes further back from there. Storages pack to a time, which is coarser
    than a tid: what was current a microsecond before `at` stays as well. What the
    storage does about garbage, it was told when it was opened. Raises what its
    `pack` raises.
    """
    seconds = time.time() if at is None else time_of(at) - _ROUNDING_S
    size, objects = database.getSize(), database.objectCount()
    database.pack(seconds, days)
    return Packed(size, database.getSize(), objects, database.objectCount())
