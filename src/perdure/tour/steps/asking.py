"""The steps that ask questions, by walking from the root."""

from collections.abc import Callable
from heapq import nlargest

import perdure
from perdure.tour.model import Library

__all__ = ["largest_classes", "most_imported", "where_defined"]


def largest_classes(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Which classes are the largest? Walk through all of them"""
    with db.transaction() as connection:
        library: Library = connection.root.library
        for cls in nlargest(5, library.classes(), key=lambda cls: cls.line_count):
            say(f"{cls.line_count:5,} lines  {cls.name}, {len(cls.functions)} methods")


def most_imported(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Which modules are imported most? Ask the index of importers"""
    with db.transaction() as connection:
        importers = connection.root.library.importers
        for name in nlargest(5, importers, key=lambda name: len(importers[name])):
            say(f"{len(importers[name]):5,} modules import {name}")


def where_defined(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Where is a name defined? A BTree loads only the pages on the way to it"""
    with db.transaction() as connection:
        definitions = connection.root.library.definitions
        for (name, where), found in definitions.items(("dumps", ""), ("dumps", "~")):
            say(f"{name} is {where}, line {found.line}")
        some = {name for name, where in definitions.keys(("walk",), ("walk~",))}
        say(f"what begins with walk: {', '.join(sorted(some))}")
