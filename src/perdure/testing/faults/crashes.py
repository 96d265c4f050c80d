"""The disks that a crash may leave: all of them where they are few, else a choice by seed."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Final

from perdure.testing.faults.disk import Contents, Disk
from perdure.testing.faults.operations import Mark
from perdure.testing.faults.recording import Recording

__all__ = ["CrashState", "crash_states", "states_at"]

_KEEPING: Final = (0.1, 0.5, 0.9)
"""How likely each change is kept, in turn."""


@dataclass(frozen=True, slots=True)
class CrashState:
    """A disk after a crash between the calls `point` and `point + 1` of a recording.

    `seed`, `point` and `number` name it: `states_at` yields it again. `marks` are
    the values that were marked before the crash, `after` says which call was the last.
    """

    seed: int
    point: int
    number: int
    after: str
    marks: tuple[object, ...]
    contents: Contents

    def __str__(self) -> str:
        files = ", ".join(f"{path} ({len(data)})" for path, data in self.contents.files.items())
        return (
            f"seed {self.seed}, crash {self.point}, state {self.number}, "
            f"after: {self.after}; the disk has {files or 'no files'}"
        )

    def write_to(self, directory: Path) -> None:
        """Make the files and directories of the state below an empty directory."""
        for path in self.contents.directories:
            (directory / path).mkdir()
        for path, data in self.contents.files.items():
            (directory / path).write_bytes(data)


def crash_states(
    recording: Recording, seed: int, limit: int, first: int = 0
) -> Iterator[CrashState]:
    """Yield different disks after a crash at every point of a recording from `first` on.

    At each point there are at most `limit`: all that are possible, or the
    extremes and a choice. What differs only in marks is yielded for each.
    """
    seen: set[int] = set()
    disk = Disk(recording.files, recording.names, recording.directories)
    for point in range(len(recording.log) + 1):
        if point:
            disk.apply(recording.log[point - 1])
        if point < first:
            continue
        for state in _states(disk, recording, seed, point, limit):
            contents = state.contents
            key = hash((*contents.files.items(), contents.directories, state.marks))
            if key not in seen:
                seen.add(key)
                yield state


def states_at(recording: Recording, seed: int, point: int, limit: int) -> Iterator[CrashState]:
    """Yield disks after a crash when the first `point` calls were done; see `crash_states`."""
    disk = Disk(recording.files, recording.names, recording.directories)
    for operation in recording.log[:point]:
        disk.apply(operation)
    yield from _states(disk, recording, seed, point, limit)


def _states(
    disk: Disk, recording: Recording, seed: int, point: int, limit: int
) -> Iterator[CrashState]:
    done = recording.log[:point]
    marks = tuple(operation.value for operation in done if isinstance(operation, Mark))
    after = str(done[-1]) if done else "nothing"
    chance = random.Random(f"{seed} {point}")  # noqa: S311  nothing secret here
    for number, answers in enumerate(_chosen(disk.dimensions(), chance, limit)):
        yield CrashState(seed, point, number, after, marks, disk.contents(answers))


def _chosen(
    dimensions: Sequence[int], chance: random.Random, limit: int
) -> Iterator[Sequence[int]]:
    if math.prod(dimensions) <= limit:
        yield from product(*map(range, dimensions))
        return
    lowest = [0] * len(dimensions)
    highest = [count - 1 for count in dimensions]
    yield highest
    yield lowest
    edges = [
        (start, question, answer)
        for start in (highest, lowest)
        for question, count in enumerate(dimensions)
        for answer in range(count)
        if answer != start[question]
    ]
    chance.shuffle(edges)
    for start, question, answer in edges[: limit // 2]:
        yield [*start[:question], answer, *start[question + 1 :]]
    yield from islice(_random(dimensions, chance), max(limit - 2 - len(edges[: limit // 2]), 0))


def _random(dimensions: Sequence[int], chance: random.Random) -> Iterator[Sequence[int]]:
    while True:
        for keeping in _KEEPING:
            yield [
                count - 1
                if count == 1 or chance.random() < keeping
                else chance.randrange(count - 1)
                for count in dimensions
            ]
