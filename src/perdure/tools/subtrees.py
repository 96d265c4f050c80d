"""What takes the room, by subtree: the objects that are reached from each child of a place.

Each object is counted once, for the child that it is nearest to; among equals,
for the first. So a reference back to a parent does not make everything the
child's: the objects on the way from the root to the place are not entered.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from BTrees.QQBTree import QQTreeSet

from perdure.errors import POSKeyError, StateLoadError
from perdure.ids import p64, u64
from perdure.records import references
from perdure.tools.moment import Moment
from perdure.tools.plainvalues import referred
from perdure.tools.progress import Progress
from perdure.tools.walking import children, trail

__all__ = ["OWN", "Subtree", "Subtrees", "subtrees"]

OWN: Final = "."
"""The name of what a place takes by itself."""

_TELL_EVERY: Final = 1000


@dataclass(frozen=True, slots=True)
class Subtree:
    """What is reached from one child of a place: how many objects, and their records' bytes."""

    name: str
    class_name: str | None
    object_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Subtrees:
    """The children of a place, the largest first, and what could not be counted.

    `missing` are the oids that are referred to and are not there, `damaged` those
    whose records cannot be read.
    """

    found: tuple[Subtree, ...]
    missing: tuple[bytes, ...]
    damaged: tuple[bytes, ...]

    @property
    def object_count(self) -> int:
        """The objects in all of them together."""
        return sum(subtree.object_count for subtree in self.found)

    @property
    def size_bytes(self) -> int:
        """The bytes of the records in all of them together."""
        return sum(subtree.size_bytes for subtree in self.found)


def subtrees(
    storage: Any, path: str = "/", at: bytes | None = None, progress: Progress | None = None
) -> Subtrees:
    """Return what each child of the place at `path` takes, as of the tid `at`, by default now.

    A path is what `walking` says. `progress` counts objects. What is kept in
    memory is about 16 bytes for an object, and the oids of one generation.

    Raises `PathError` if the path leads nowhere.
    """
    moment = Moment(storage, at)
    *above, place = trail(moment, path)
    counting = _Counting(moment, progress)
    for passed in above:
        counting.pass_by(passed.oid)
    if place.class_name is not None:
        counting.begin(OWN, place.class_name, [place.oid])
        counting.count_first()
    for child in children(moment, place):
        counting.begin(child.name, child.class_name, referred(child.value))
    if place.class_name is not None:
        # What it needs to hold its children, such as the buckets of a tree, is its own.
        counting.begin_again(0, references(moment.load(place.oid).data))
    counting.run()
    return counting.result()


class _Counting:
    """A walk in generations from several starts at once; `_starts` are numbered."""

    def __init__(self, moment: Moment, progress: Progress | None) -> None:
        self._moment = moment
        self._progress = progress
        self._seen = QQTreeSet()
        self._names: list[tuple[str, str | None]] = []
        self._counts = array("Q")
        self._sizes = array("Q")
        self._oids = array("Q")  # of this generation, and whose each is
        self._owners = array("L")
        self._missing: list[bytes] = []
        self._damaged: list[bytes] = []
        self._done = 0

    def pass_by(self, oid: bytes) -> None:
        """Never enter this object."""
        self._seen.insert(u64(oid))

    def begin(self, name: str, class_name: str | None, oids: Iterable[bytes]) -> None:
        """Begin a subtree at `oids`."""
        self._names.append((name, class_name))
        self._counts.append(0)
        self._sizes.append(0)
        self.begin_again(len(self._names) - 1, oids)

    def begin_again(self, owner: int, oids: Iterable[bytes]) -> None:
        """Add `oids` to the starts of a subtree."""
        for oid in oids:
            if self._seen.insert(u64(oid)):
                self._oids.append(u64(oid))
                self._owners.append(owner)

    def count_first(self) -> None:
        """Count what was begun with, and go no further from there."""
        self._generation(follow=False)

    def run(self) -> None:
        """Count generation after generation until nothing is new."""
        while self._oids:
            self._generation(follow=True)
        if self._progress is not None:
            self._progress(self._done, self._done)

    def _generation(self, follow: bool) -> None:
        oids, owners = self._oids, self._owners
        self._oids, self._owners = array("Q"), array("L")
        for number, owner in zip(oids, owners, strict=True):
            oid = p64(number)
            try:
                data = self._moment.load(oid).data
            except POSKeyError:
                self._missing.append(oid)
                continue
            self._counts[owner] += 1
            self._sizes[owner] += len(data)
            self._tell()
            if follow:
                try:
                    self.begin_again(owner, references(data))
                except StateLoadError:
                    self._damaged.append(oid)

    def _tell(self) -> None:
        self._done += 1
        if self._progress is not None and self._done % _TELL_EVERY == 0:
            self._progress(self._done, max(self._done, len(self._moment.storage)))

    def result(self) -> Subtrees:
        found = [
            Subtree(name, class_name, self._counts[number], self._sizes[number])
            for number, (name, class_name) in enumerate(self._names)
        ]
        found.sort(key=lambda subtree: (-subtree.size_bytes, subtree.name))
        return Subtrees(tuple(found), tuple(self._missing), tuple(self._damaged))
