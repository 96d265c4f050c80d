"""BTrees: inserting, looking up, scanning."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from BTrees.IOBTree import IOBTree

from benchmarks.engines import Engine
from benchmarks.objects import connected
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []

SIZES = Sizes(small=10_000, large=100_000, quick=5_000, tiny=200)
BATCH = 1_000
LOOKUPS = 1_000


def keys(size: int) -> list[int]:
    """Return `size` different keys in a random order, the same one every time."""
    return random.Random(size).sample(range(-(1 << 31), 1 << 31), size)


def value(key: int) -> str:
    return f"value of {key}"


def fill(engine: Engine, directory: Path, size: int) -> None:
    """Store a tree of `size` items, in batches."""
    db = engine.open(directory, cache_size=2 * size)
    with connected(db) as (manager, connection):
        insert(connection, manager, keys(size))
    db.close()


def insert(connection: Any, manager: Any, to_insert: list[int]) -> None:
    """Insert keys into a new tree, a commit for each batch."""
    tree = connection.root.tree = IOBTree()
    for start in range(0, len(to_insert), BATCH):
        for key in to_insert[start : start + BATCH]:
            tree[key] = value(key)
        manager.commit()


@workload("tree-insert", "item", SIZES)
def tree_insert(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Insert SIZE random integers into an empty IOBTree, a commit for every 1,000."""
    db = engine.open(directory, cache_size=2 * size)
    to_insert = keys(size)
    with connected(db) as (manager, connection):

        def once() -> dict[str, Sample]:
            connection.cacheMinimize()
            with Stopwatch() as watch:
                insert(connection, manager, to_insert)
            with connected(db) as (_, other):
                check("keys", list(other.root.tree.keys()), sorted(to_insert))
            return {"": watch.sample(size)}

        yield once
    db.close()


@workload("tree-lookup", "lookup", SIZES)
def tree_lookup(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Look up 1,000 random keys in a tree of SIZE items, with empty object caches."""
    fill(engine, directory, size)
    wanted = random.Random(1).sample(keys(size), min(LOOKUPS, size))

    def once() -> dict[str, Sample]:
        db = engine.open(directory, cache_size=2 * size)
        with connected(db) as (_, connection):
            tree = connection.root.tree
            with Stopwatch() as watch:
                found = [tree[key] for key in wanted]
            check("values", found, [value(key) for key in wanted])
        db.close()
        return {"": watch.sample(len(wanted))}

    yield once


@workload("tree-scan", "item", SIZES)
def tree_scan(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Read all items of a tree of SIZE items in order, with empty object caches."""
    fill(engine, directory, size)
    expected = sum(keys(size))

    def once() -> dict[str, Sample]:
        db = engine.open(directory, cache_size=2 * size)
        with connected(db) as (_, connection):
            tree = connection.root.tree
            with Stopwatch() as watch:
                total = count = 0
                for key, _text in tree.items():
                    total += key
                    count += 1
            check("items", (count, total), (size, expected))
        db.close()
        return {"": watch.sample(size)}

    yield once
