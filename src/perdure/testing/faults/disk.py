"""What a disk may hold after a crash: what is certain, and what may be lost.

A disk takes in the operations of a recording up to the crash. The `dimensions`
then are the questions that the crash left open, each with its number of answers;
one answer to each makes one possible disk:

    each sector that was changed since the file's sync    as it was then, or as each
                                                          change left it
    the size of each such file                            one that it had since then
    the names in each directory since its sync            the first n changes were made

Among the answers the lowest to every question is the disk that keeps as little
as it may, the highest the one that keeps all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from posixpath import dirname
from typing import Final, Generic, TypeVar

from perdure.testing.faults.operations import (
    Created,
    Linked,
    MadeDirectory,
    NameOperation,
    Operation,
    RemovedDirectory,
    Renamed,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Truncated,
    Unlinked,
    Wrote,
)

__all__ = ["SECTOR_SIZE", "Contents", "Disk"]

SECTOR_SIZE: Final = 512
"""Bytes that a disk writes as a whole or not at all."""

_SIZES_BETWEEN: Final = 4
"""Of the sizes that a file has during a large write, so many are looked at."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Contents:
    """A disk after a crash: files by path, and the directories, those outside first."""

    files: dict[str, bytes]
    directories: tuple[str, ...]


class _Versions(Generic[Value]):
    """What something may be after a crash, in the order in which it was that."""

    __slots__ = ("_failed", "values")

    def __init__(self, durable: Value) -> None:
        self.values = [durable]
        self._failed = 0  # the last one whose sync failed

    @property
    def newest(self) -> Value:
        return self.values[-1]

    @property
    def doubtful(self) -> bool:
        """Whether it may be something else than the newest."""
        return len(self.values) > 1

    def change(self, value: Value) -> None:
        # What is there already makes no difference, unless it could not be synced.
        if value != self.newest or self._failed:
            self.values.append(value)

    def sync(self) -> None:
        # After a failed sync the system takes what it holds for written: the next one
        # brings to the disk only what was changed again.
        if len(self.values) - 1 > self._failed:
            self.values = self.values[-1:]
            self._failed = 0

    def fail_sync(self) -> None:
        self._failed = len(self.values) - 1


class _File:
    """A file: what is durable of it, and the versions of what was changed since."""

    def __init__(self, durable: bytes = b"") -> None:
        self._durable = durable
        self._sectors: dict[int, _Versions[bytes]] = {}
        self._size = _Versions(len(durable))

    def write(self, position: int, data: bytes) -> None:
        at, end = position, position + len(data)
        for size in _sizes_between(self._size.newest, end):
            self._size.change(size)
        while at < end:
            number, offset = divmod(at, SECTOR_SIZE)
            following = min(end, (number + 1) * SECTOR_SIZE)
            sector, known = self._sector(number), number in self._sectors
            old, new = sector.newest, data[at - position : following - position]
            sector.change(old[:offset] + new + old[offset + len(new) :])
            if known or sector.doubtful:
                self._sectors[number] = sector
            at = following
        if end > self._size.newest or (end == self._size.newest and self._size.doubtful):
            self._size.change(end)  # it goes to the disk with the last sector

    def truncate(self, size: int) -> None:
        first, offset = divmod(size, SECTOR_SIZE)
        for number in range(first, -(-self._size.newest // SECTOR_SIZE)):
            sector = self._sectors[number] = self._sector(number)
            left = sector.newest[: offset if number == first else 0]
            sector.change(left.ljust(SECTOR_SIZE, b"\0"))
        if size != self._size.newest:
            self._size.change(size)

    def sync(self) -> None:
        for versions in self._all():
            versions.sync()
        if not any(versions.doubtful for versions in self._all()):
            self._durable = self.content([0] * len(self._sectors), self._size.newest)
            self._sectors = {}

    def fail_sync(self) -> None:
        for versions in self._all():
            versions.fail_sync()

    @property
    def sizes(self) -> list[int]:
        """The sizes that the file may have."""
        return self._size.values

    @property
    def sectors(self) -> list[int]:
        """Of each sector that may be changed how many versions there are."""
        return [len(versions.values) for versions in self._sectors.values()]

    def content(self, chosen: Sequence[int], size: int) -> bytes:
        """Return the content with the chosen version of each of `sectors`, at this size."""
        content = bytearray(self._durable)
        for (number, versions), version in zip(self._sectors.items(), chosen, strict=True):
            start = number * SECTOR_SIZE
            content.extend(bytes(max(start + SECTOR_SIZE - len(content), 0)))
            content[start : start + SECTOR_SIZE] = versions.values[version]
        content.extend(bytes(max(size - len(content), 0)))
        return bytes(content[:size])

    def _sector(self, number: int) -> _Versions[bytes]:
        """Return the versions of a sector, which are not kept yet where there is only one."""
        if number in self._sectors:
            return self._sectors[number]
        start = number * SECTOR_SIZE
        durable = self._durable[start : start + SECTOR_SIZE]
        return _Versions(durable.ljust(SECTOR_SIZE, b"\0"))

    def _all(self) -> "Iterator[_Versions[bytes] | _Versions[int]]":
        yield self._size
        yield from self._sectors.values()


def _sizes_between(old: int, new: int) -> list[int]:
    """Return sizes at which a file may be found that grows by one write, without the last."""
    first = old // SECTOR_SIZE + 1
    boundaries = range(first * SECTOR_SIZE, new, SECTOR_SIZE)
    if len(boundaries) <= _SIZES_BETWEEN:
        return list(boundaries)
    half = _SIZES_BETWEEN // 2
    return [*boundaries[:half], *boundaries[-half:]]


class Disk:
    """A disk that begins with `files` by number, `names` of them by path, and `directories`."""

    def __init__(
        self, files: dict[int, bytes], names: dict[str, int], directories: Iterable[str]
    ) -> None:
        self._files = {number: _File(content) for number, content in files.items()}
        self._names: dict[str, int | None] = {**dict.fromkeys(directories), **names}
        # Since names were durable, in order; each with the directories that it changes.
        self._renaming: list[tuple[NameOperation, frozenset[str]]] = []
        self._durable: set[int] = set()  # which of these are durable nevertheless

    def apply(self, operation: Operation) -> None:
        """Take in the next operation."""
        match operation:
            case Wrote(file, position, data):
                self._file(file).write(position, data)
            case Truncated(file, size):
                self._file(file).truncate(size)
            case Synced(file):
                self._file(file).sync()
            case SyncFailed(file):
                self._file(file).fail_sync()
            case SyncedDirectory(path):
                self._sync_names(path)
            case Created() | Linked() | Renamed() | Unlinked():
                self._renaming.append((operation, operation.directories))
            case MadeDirectory() | RemovedDirectory():
                self._renaming.append((operation, operation.directories))

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def _sync_names(self, directory: str) -> None:
        reached = {directory}
        for number, (_, directories) in reversed(list(enumerate(self._renaming))):
            if directories & reached:
                # One that moved a file between two directories takes the other along.
                self._durable.add(number)
                reached |= directories
        while self._renaming and 0 in self._durable:
            _rename(self._names, self._renaming.pop(0)[0])
            self._durable = {number - 1 for number in self._durable if number}

    # The questions

    def dimensions(self) -> list[int]:
        """Return how many answers each open question has."""
        found = [len(pending) + 1 for pending in self._pending_names().values()]
        for _, file in self._reachable():
            found += [*file.sectors, len(file.sizes)]
        return found

    def contents(self, answers: Sequence[int]) -> Contents:
        """Return the disk that the answers, one for each of the `dimensions`, make."""
        left = iter(answers)
        names = self._names_kept({directory: next(left) for directory in self._pending_names()})
        contents = {}
        for number, file in self._reachable():
            chosen = list(islice(left, len(file.sectors)))
            contents[number] = file.content(chosen, file.sizes[next(left)])
        directories = {""}
        files = {}
        for path in sorted(names):
            if dirname(path) in directories:
                number_or_none = names[path]
                if number_or_none is None:
                    directories.add(path)
                else:
                    files[path] = contents.get(number_or_none, b"")
        return Contents(files, tuple(sorted(directories - {""})))

    def _pending_names(self) -> dict[str, list[int]]:
        """Return by directory which of the operations on its names may be lost, in order."""
        pending: dict[str, list[int]] = {}
        for number, (_, directories) in enumerate(self._renaming):
            if number not in self._durable:
                for directory in sorted(directories):
                    pending.setdefault(directory, []).append(number)
        return pending

    def _names_kept(self, cuts: dict[str, int]) -> dict[str, int | None]:
        left = dict(cuts)
        names = dict(self._names)
        lost: set[str] = set()
        for number, (operation, directories) in enumerate(self._renaming):
            if number not in self._durable:
                if directories & lost or any(not left[d] for d in directories):
                    lost |= directories
                    continue
                for directory in directories:
                    left[directory] -= 1
            _rename(names, operation)
        return names

    def _reachable(self) -> Iterator[tuple[int, _File]]:
        numbers = {number for number in self._names.values() if number is not None}
        for operation, _ in self._renaming:
            if isinstance(operation, Created | Linked | Renamed):
                numbers.add(operation.file)
        for number in sorted(numbers & self._files.keys()):
            yield number, self._files[number]


def _rename(names: dict[str, int | None], operation: NameOperation) -> None:
    match operation:
        case Created(path, file) | Linked(file, path):
            names[path] = file
        case Renamed(file, source, target):
            names.pop(source, None)
            names[target] = file
        case Unlinked(path) | RemovedDirectory(path):
            names.pop(path, None)
        case MadeDirectory(path):
            names[path] = None
