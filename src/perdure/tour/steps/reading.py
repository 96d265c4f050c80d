"""The steps that read the standard library into the file, and open it again."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import perdure
from perdure.tour.model import Library, Module

__all__ = ["batches", "fill", "open_cold"]


def fill(db: perdure.DB, modules: Iterable[Module]) -> None:
    """Read the standard library's source into the database"""
    for batch in batches(modules):
        with db.transaction("read source files") as connection:
            library = connection.root.library
            for module in batch:
                library.add(module)
    with db.transaction("all is read") as connection:
        connection.root.library.complete = True


def open_cold(path: Path, say: Callable[[str], None]) -> perdure.DB:
    """Open the file again, with nothing in memory"""
    db = perdure.open(path)
    with db.transaction() as connection:
        library: Library = connection.root.library
        say(f"{len(library.modules):,} modules of Python {library.python}")
        say(f"{library.definition_count():,} classes and functions")
        say(f"{db.objectCount():,} objects in {db.getSize():,} bytes")
    return db


def batches(modules: Iterable[Module]) -> Iterator[list[Module]]:
    """Yield lists of modules with about a thousand classes and functions each."""
    batch: list[Module] = []
    size = 0
    for module in modules:
        batch.append(module)
        size += 1 + sum(1 for _ in module.definitions())
        if size >= 1000:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
