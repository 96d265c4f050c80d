"""Objects one by one: adding, changing and reading them."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.engines import Engine
from benchmarks.objects import Record, chain, connected, fill_chain, walk
from benchmarks.syncs import watched
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []

SIZES = Sizes(small=1_000, large=50_000, quick=1_000, tiny=20)
WALKS = 50


@workload("add", "object", SIZES)
def add(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Commit SIZE new objects in one transaction; timed from making them to the commit's end.

    `commit` is the commit alone: the rest is making the objects, which no database does;
    `less-syncs` is the commit without the time of its syncs.
    """
    db = engine.open(directory, cache_size=2 * size)
    with connected(db) as (manager, connection):

        def once() -> dict[str, Sample]:
            connection.root.first = None
            manager.commit()
            connection.cacheMinimize()
            with watched() as syncs, Stopwatch() as watch:
                connection.root.first = chain(size)
                made = time.perf_counter()
                manager.commit()
                committed = time.perf_counter()
            with connected(db) as (_, other):
                check("records", walk(other.root.first), (size, size * (size - 1) // 2))
            return {
                "": watch.sample(size),
                "commit": Sample(committed - made, size),
                "less-syncs": Sample(committed - made - syncs.seconds, size),
            }

        yield once
    db.close()


@workload("update", "object", SIZES)
def update(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Change SIZE loaded objects and commit them in one transaction.

    `commit` is the commit alone; the rest is changing the objects, which registers them;
    `less-syncs` is the commit without the time of its syncs.
    """
    db = engine.open(directory, cache_size=2 * size)
    fill_chain(db, size)
    with connected(db) as (manager, connection):
        records = [connection.root.first]
        while records[-1].following is not None:
            records.append(records[-1].following)
        state = {"added": 0}

        def once() -> dict[str, Sample]:
            with watched() as syncs, Stopwatch() as watch:
                for record in records:
                    record.number += 1
                changed = time.perf_counter()
                manager.commit()
                committed = time.perf_counter()
            state["added"] += size
            expected = (size, size * (size - 1) // 2 + state["added"])
            with connected(db) as (_, other):
                check("records", walk(other.root.first), expected)
            return {
                "": watch.sample(size),
                "commit": Sample(committed - changed, size),
                "less-syncs": Sample(committed - changed - syncs.seconds, size),
            }

        yield once
    db.close()


@workload("read-cold", "object", SIZES)
def read_cold(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open the database and load SIZE objects, following references that leap about the file.

    Timed is the walk. The object caches are empty; the file is in the system's cache.
    """
    db = engine.open(directory)
    fill_chain(db, size)
    db.close()

    def once() -> dict[str, Sample]:
        db = engine.open(directory, cache_size=2 * size)
        with connected(db) as (_, connection):
            first = connection.root.first
            with Stopwatch() as watch:
                found = walk(first)
            check("records", found, (size, size * (size - 1) // 2))
        db.close()
        return {"": watch.sample(size)}

    yield once


@workload("read-again", "object", SIZES)
def read_again(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Load SIZE objects again after `cacheMinimize`: they are there, but as ghosts."""
    db = engine.open(directory, cache_size=2 * size)
    fill_chain(db, size)
    with connected(db) as (_, connection):
        first = connection.root.first
        kept = [first]
        while kept[-1].following is not None:
            kept.append(kept[-1].following)

        def once() -> dict[str, Sample]:
            connection.cacheMinimize()
            with Stopwatch() as watch:
                found = walk(first)
            check("records", found, (size, size * (size - 1) // 2))
            return {"": watch.sample(size)}

        yield once
    db.close()


@workload("read-hot", "object", SIZES)
def read_hot(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Walk SIZE objects that are loaded already: the median of 50 walks.

    The collector, which ran just before, has swept through the processor's cache: what a
    process has imported would decide the first walk, so that one does not count.
    """
    db = engine.open(directory, cache_size=2 * size)
    fill_chain(db, size)
    with connected(db) as (_, connection):
        first = connection.root.first
        walk(first)

        def once() -> dict[str, Sample]:
            walks = []
            with Stopwatch():
                walk(first)
                for _ in range(WALKS):
                    start = time.perf_counter()
                    found = walk(first)
                    walks.append(time.perf_counter() - start)
            check("records", found, (size, size * (size - 1) // 2))
            return {"": Sample(median(walks), size)}

        yield once
    db.close()


@workload("big-object", "MB", Sizes(small=1, large=8, quick=1, tiny=1))
def big_object(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Write an object of SIZE MB, then read it with an empty cache."""
    db = engine.open(directory)
    state = {"round": 0}

    def once() -> dict[str, Sample]:
        state["round"] += 1
        data = bytes([state["round"] % 256]) * (size << 20)
        with connected(db) as (manager, connection):
            with Stopwatch() as writing:
                connection.root.data = Record(0)
                connection.root.data.text = data
                manager.commit()
            connection.cacheMinimize()
            record = connection.root.data
            with Stopwatch() as reading:
                found = record.text
            check("data", found == data, True)
        return {"write": writing.sample(size), "read": reading.sample(size)}

    yield once
    db.close()
