"""The libraries alone: the disk's part, and what the states take of those libraries that all use.

These are the standard library's pickler in C, `BTrees`, and the `transaction` package with
somebody who takes part in its commits and does no more than pickle, write and sync. There are no
oids, caches, indexes, conflicts, snapshots or other connections.
"""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import transaction
from BTrees.IOBTree import IOBTree, IOBucket

from benchmarks.engines import Engine
from benchmarks.floors.disk import OBJECTS, SHARING, File, small_commit_bytes
from benchmarks.objects import TEXT
from benchmarks.workload import Prepare, Round, Sample, Stopwatch, check
from benchmarks.workloads.trees import LOOKUPS, keys, value

__all__ = ["PREPARES"]

PROTOCOL = 3


def _state(number: int) -> dict[str, Any]:
    """Return the state of one of the benchmark's objects, with a reference that costs nothing."""
    return {
        "number": number,
        "title": f"record number {number}",
        "text": TEXT,
        "values": [number, number + 1, number + 2],
        "following": b"\0" * 8,
    }


@contextmanager
def _add(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    states = [_state(number) for number in range(size)]
    file = File(directory)

    def once() -> dict[str, Sample]:
        with Stopwatch() as watch:
            file.append(b"".join([pickle.dumps(state, PROTOCOL) for state in states]))
        return {"commit": watch.sample(size)}

    yield once
    file.close()


class _Participant:
    """Takes part in a commit: pickles states in the first phase, writes and syncs them."""

    def __init__(self, manager: Any, states: list[Any], file: File, commits_in_a_sync: int) -> None:
        self.transaction_manager = manager
        self._states = states
        self._file = file
        self._commits_in_a_sync = commits_in_a_sync
        self._records: list[bytes] = []
        self.waiting: list[bytes] = []
        self.synced = 0

    def tpc_begin(self, _transaction: Any) -> None:
        self._records = []

    def commit(self, _transaction: Any) -> None:
        self._records = [pickle.dumps(state, PROTOCOL) for state in self._states]

    def tpc_vote(self, _transaction: Any) -> None:
        self.waiting += self._records

    def tpc_finish(self, _transaction: Any) -> None:
        self.synced += 1
        if self.synced % self._commits_in_a_sync == 0:
            self._file.append(b"".join(self.waiting))
            self.waiting = []

    def tpc_abort(self, _transaction: Any) -> None:
        raise AssertionError("nothing fails here")

    abort = tpc_abort

    def sortKey(self) -> str:
        return "floor"


def _small(states: list[Any], commits_in_a_sync: int) -> Prepare:
    """Return SIZE small commits, so many of which are written and synced together."""

    @contextmanager
    def prepare(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        file = File(directory, size * small_commit_bytes())
        manager = transaction.TransactionManager()
        participant = _Participant(manager, states, file, commits_in_a_sync)

        def once() -> dict[str, Sample]:
            file.begin_again()
            before = participant.synced
            with Stopwatch() as watch:
                for _ in range(size):
                    manager.begin()
                    manager.get().join(participant)
                    manager.commit()
            check("commits", (participant.synced - before, participant.waiting), (size, []))
            return {"": watch.sample(size)}

        yield once
        file.close()

    return prepare


class _Buckets:
    """The buckets of the benchmark's tree, as pickles."""

    def __init__(self, size: int) -> None:
        tree = IOBTree()
        for key in keys(size):
            tree[key] = value(key)
        self.pickles: list[bytes] = []
        self.place: dict[int, int] = {}
        _nodes, bucket = tree.__getstate__()
        while bucket is not None:
            self.place.update(dict.fromkeys(bucket.keys(), len(self.pickles)))
            items, *following = bucket.__getstate__()
            self.pickles.append(pickle.dumps((items,), PROTOCOL))
            bucket = following[0] if following else None

    def load(self, number: int) -> Any:
        bucket = IOBucket()
        bucket.__setstate__(pickle.loads(self.pickles[number]))
        return bucket


@contextmanager
def _tree_lookup(_engine: Engine, _directory: Path, size: int) -> Iterator[Round]:
    buckets = _Buckets(size)
    wanted = random.Random(1).sample(keys(size), min(LOOKUPS, size))
    place = buckets.place

    def once() -> dict[str, Sample]:
        loaded: dict[int, Any] = {}
        with Stopwatch() as watch:
            found = []
            for key in wanted:
                bucket = loaded.get(place[key])
                if bucket is None:
                    bucket = loaded[place[key]] = buckets.load(place[key])
                found.append(bucket[key])
        check("values", found, [value(key) for key in wanted])
        return {"": watch.sample(len(wanted))}

    yield once


@contextmanager
def _tree_scan(_engine: Engine, _directory: Path, size: int) -> Iterator[Round]:
    buckets = _Buckets(size)
    expected = sum(keys(size))

    def once() -> dict[str, Sample]:
        loaded = []  # the cache of a connection has room for all of them, too
        with Stopwatch() as watch:
            total = count = 0
            for number in range(len(buckets.pickles)):
                bucket = buckets.load(number)
                loaded.append(bucket)
                for key, _text in bucket.items():
                    total += key
                    count += 1
        check("items", (count, total), (size, expected))
        return {"": watch.sample(size)}

    yield once


_COMMITS = _small([_state(number) for number in range(OBJECTS)], 1)

PREPARES: Final[dict[str, Prepare]] = {
    "add": _add,
    "update": _add,
    "commit-1": _COMMITS,
    "commit-beside-readers": _COMMITS,
    "conflicts": _small([1], SHARING),
    "tree-lookup": _tree_lookup,
    "tree-scan": _tree_scan,
}
