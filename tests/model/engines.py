"""The databases that the machine can drive: each product's, over each of its storages.

An engine makes a database in an empty directory, with `populate` having put the
first objects there, and opens it again if it lasts. Products are imported when
an engine is used, so that one that is broken does not hide the others.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ENGINES", "IN_TURNS", "PERDURE", "ZODB", "Engine", "Populate", "Product", "engine"]

Populate = Callable[[Any], None]


class Product:
    """ZODB or Perdure: where each keeps what the tests need by name."""

    def __init__(self, name: str, places: dict[str, str]) -> None:
        self.name = name
        self._places = places

    def get(self, name: str) -> Any:
        """Return the class `name`."""
        return getattr(importlib.import_module(self._places[name]), name)


ERRORS = (
    "ConflictError",
    "ConnectionStateError",
    "POSKeyError",
    "ReadConflictError",
    "ReadOnlyHistoryError",
    "UndoError",
)

ZODB = Product(
    "zodb",
    {
        "DB": "ZODB.DB",
        "MappingStorage": "ZODB.MappingStorage",
        "FileStorage": "ZODB.FileStorage",
        "DemoStorage": "ZODB.DemoStorage",
        **dict.fromkeys(ERRORS, "ZODB.POSException"),
    },
)

PERDURE = Product(
    "perdure",
    {
        **dict.fromkeys(("DB", "MappingStorage", "FileStorage"), "perdure"),
        "DemoStorage": "perdure.storages.demo",
        **dict.fromkeys(ERRORS, "perdure.errors"),
    },
)


@dataclass(frozen=True)
class Engine:
    """One way to make a database.

    `lasts` says that it can be closed and opened again, `packs` that packing it
    is defined (a layer over a base that holds the root cannot collect garbage),
    `resolves` that its storage asks objects to resolve conflicts, `layered` that the
    first objects lie in a base below the storage.
    `disowns` says that new objects are free again after a failed commit too;
    ZODB keeps those that it had numbered and not yet written. `heir` is the name
    of the engine that opens the database the next time.
    """

    name: str
    product: Product
    make: Callable[[Product, Path, Populate], Any]
    reopen: Callable[[Product, Path], Any] | None = None
    packs: bool = True
    resolves: bool = True
    layered: bool = False
    heir: str = ""

    @property
    def disowns(self) -> bool:
        return self.product is not ZODB

    @property
    def has_feed(self) -> bool:
        """Whether the database lists its changes (`DB.changes`)."""
        return self.product is not ZODB

    @property
    def lasts(self) -> bool:
        return self.reopen is not None

    def error(self, name: str) -> type[Exception]:
        """Return the product's error class of that name."""
        error: type[Exception] = self.product.get(name)
        return error


def _make_mapping(product: Product, _directory: Path, populate: Populate) -> Any:
    db = product.get("DB")(product.get("MappingStorage")())
    populate(db)
    return db


def _reopen_file(product: Product, directory: Path) -> Any:
    return product.get("DB")(product.get("FileStorage")(str(directory / "data.fs")))


def _make_file(product: Product, directory: Path, populate: Populate) -> Any:
    db = _reopen_file(product, directory)
    populate(db)
    return db


def _make_demo(product: Product, directory: Path, populate: Populate) -> Any:
    """Return a database whose first objects lie in a read-only file, changes in memory."""
    base = _make_file(product, directory, populate)
    base.close()
    storage = product.get("FileStorage")(str(directory / "data.fs"), read_only=True)
    return product.get("DB")(product.get("DemoStorage")(base=storage))


def _make_empty_demo(product: Product, _directory: Path, populate: Populate) -> Any:
    db = product.get("DB")(product.get("DemoStorage")())
    populate(db)
    return db


def _engines(product: Product) -> list[Engine]:
    return [
        Engine(f"{product.name}-mapping", product, _make_mapping, resolves=product is not ZODB),
        Engine(f"{product.name}-file", product, _make_file, _reopen_file),
        Engine(f"{product.name}-demo", product, _make_demo, packs=False, layered=True),
        Engine(f"{product.name}-empty-demo", product, _make_empty_demo),
    ]


def _in_turns() -> list[Engine]:
    """Return two engines that hand one file to the other every time it is opened."""
    names = {product: f"{product.name}-in-turns" for product in (PERDURE, ZODB)}
    return [
        Engine(name, product, _make_file, _reopen_file, heir=heir)
        for (product, name), heir in zip(names.items(), reversed(names.values()), strict=True)
    ]


IN_TURNS = {each.name: each for each in _in_turns()}

ENGINES = {each.name: each for product in (ZODB, PERDURE) for each in _engines(product)}


def engine(name: str) -> Engine:
    """Return the engine of that name, such as ``perdure-file``."""
    return (ENGINES | IN_TURNS)[name]
