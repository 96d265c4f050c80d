"""The databases that are timed: ZODB and Perdure, each on its own file storage, and others.

An engine says where a product keeps what the workloads need. A product is
imported when its engine is first used, so that one can be timed alone. What is
not of ZODB's kind brings workloads of its own (`ORIENTATION`), and so does what is
no database, but the part of the work that none gets around (`DISK`, `BARE`).
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "BARE",
    "DISK",
    "ENGINES",
    "FILE_NAME",
    "NATIVE",
    "ORIENTATION",
    "PEER",
    "PURE",
    "Engine",
    "has_workload",
]

FILE_NAME = "data.fs"
PEER, NATIVE, PURE = "zodb", "perdure", "perdure-pure"
DISK, BARE = "floor-disk", "floor-bare"

Class = type[Any]


@dataclass(frozen=True)
class Engine:
    """One product; `places` says which module each class is imported from.

    `environment` is what the product is to find in the environment when it is
    imported. `own` is the module with the workloads of an engine that cannot carry
    out the usual ones.
    """

    name: str
    places: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    own: str = ""
    only: tuple[str, ...] = ()  # the workloads of `own`
    open_storage: Callable[[Path], Any] | None = None  # where it is no file storage

    @property
    def product(self) -> str:
        """The product's name, the same for all its variants."""
        return self.name.partition("-")[0]

    def get(self, name: str) -> Class:
        """Return the product's class of that name."""
        found: Class = getattr(importlib.import_module(self.places[name]), name)
        return found

    def storage(self, directory: Path) -> Any:
        """Return the storage in `directory`, made if there is none."""
        if self.open_storage is not None:
            return self.open_storage(directory)
        return self.get("FileStorage")(str(directory / FILE_NAME))

    def open(self, directory: Path, *, cache_size: int = 400) -> Any:
        """Return the database in `directory`; `cache_size` counts objects per connection."""
        return self.get("DB")(self.storage(directory), pool_size=20, cache_size=cache_size)


_PERDURE = {
    "Blob": "perdure",
    "DB": "perdure",
    "FileStorage": "perdure",
    "ConflictError": "perdure.errors",
    "TransactionMetaData": "perdure.interfaces",
}

ORIENTATION = ("sqlite", "durus", "zeo", "relstorage")
"""Engines that are not what Perdure is compared with, but show where it stands."""

ENGINES = {
    PEER: Engine(
        PEER,
        {
            "Blob": "ZODB.blob",
            "DB": "ZODB.DB",
            "FileStorage": "ZODB.FileStorage",
            "ConflictError": "ZODB.POSException",
            "TransactionMetaData": "ZODB.Connection",
        },
    ),
    # Not what the environment of the run says: the name says it.
    NATIVE: Engine(NATIVE, _PERDURE, environment={"PERDURE_NATIVE": "1"}),
    PURE: Engine(PURE, _PERDURE, environment={"PERDURE_NATIVE": "0"}),
    **{
        name: Engine(name, {}, own=f"benchmarks.orientation.{name}", only=("add", "read-cold"))
        for name in ORIENTATION
    },
    DISK: Engine(
        DISK,
        {},
        own="benchmarks.floors.disk",
        only=(
            *("add", "update", "big-object", "commit-1", "commit-beside-readers"),
            *("conflicts", "undo"),
        ),
    ),
    BARE: Engine(
        BARE,
        {},
        own="benchmarks.floors.bare",
        only=(
            *("add", "update", "commit-1", "commit-beside-readers", "conflicts"),
            *("tree-lookup", "tree-scan"),
        ),
    ),
}
"""ZODB first: ratios are its time over the other's."""


def has_workload(name: str, workload: str) -> bool:
    """Tell whether an engine can carry out a workload."""
    only = ENGINES[name].only
    return not only or workload in only
