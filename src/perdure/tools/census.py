"""What takes the room, by class: how many objects of each there are, and their bytes.

Counted is every object that the storage has, garbage included. Bytes are those
of the records, without what the storage adds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.errors import CorruptDataError, StateLoadError, TransformError, Unsupported
from perdure.ids import u64
from perdure.records import class_name
from perdure.tools.moment import Moment
from perdure.tools.progress import Progress

__all__ = ["DAMAGED", "ClassRoom", "census", "class_of", "sorted_by_size"]

DAMAGED: Final = "(damaged)"
"""The class of a record that cannot be read."""

_TELL_EVERY: Final = 100


@dataclass(frozen=True, slots=True)
class ClassRoom:
    """How many objects, or revisions, of one class there are, and the bytes of their records."""

    class_name: str
    count: int
    size_bytes: int


def census(
    storage: Any,
    at: bytes | None = None,
    *,
    every_revision: bool = False,
    progress: Progress | None = None,
) -> list[ClassRoom]:
    """Return what each class takes, the largest first.

    Counted are the objects as of the tid `at`, by default now; or with
    `every_revision` all records that were written until then, where a record
    that repeats an earlier one, as an undo does, has no bytes of its own.
    `progress` counts objects, or steps of tids.

    Raises `Unsupported` if the storage cannot list its records.
    """
    moment = Moment(storage, at)
    if every_revision:
        return sorted_by_size(_revisions(moment, progress))
    return sorted_by_size(_current(moment, progress))


def sorted_by_size(records: Iterable[tuple[str, int]]) -> list[ClassRoom]:
    """Return the sums of (class, bytes) pairs, the largest first."""
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for name, size_bytes in records:
        counts[name] = counts.get(name, 0) + 1
        sizes[name] = sizes.get(name, 0) + size_bytes
    rooms = [ClassRoom(name, counts[name], sizes[name]) for name in counts]
    return sorted(rooms, key=lambda room: (-room.size_bytes, room.class_name))


def class_of(record: bytes) -> str:
    """Return the name of the class in a record, `DAMAGED` if it cannot be read."""
    try:
        return class_name(record)
    except StateLoadError:
        return DAMAGED


def _current(moment: Moment, progress: Progress | None) -> Iterator[tuple[str, int]]:
    damaged = 0

    def count(error: CorruptDataError | TransformError) -> None:
        nonlocal damaged
        if not isinstance(error, CorruptDataError):
            raise error  # with the wrong key, every record would be called damaged
        damaged += 1

    for _, loaded in moment.records(progress, count):
        yield class_of(loaded.data), len(loaded.data)
    for _ in range(damaged):
        yield DAMAGED, 0


def _revisions(moment: Moment, progress: Progress | None) -> Iterator[tuple[str, int]]:
    storage = moment.storage
    if not capabilities_of(storage).iteration:
        raise Unsupported(f"{storage.getName()} cannot list its transactions")
    first = 0
    for number, transaction in enumerate(storage.iterator(None, moment.tid)):
        first = first or u64(transaction.tid)
        if progress is not None and number % _TELL_EVERY == 0:
            progress(u64(transaction.tid) - first, u64(moment.tid) - first)
        for record in transaction:
            if record.data is not None:
                size_bytes = 0 if record.data_txn is not None else len(record.data)
                yield class_of(record.data), size_bytes
