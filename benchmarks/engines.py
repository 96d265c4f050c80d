"""The databases that are timed: ZODB and Perdure, each on its own file storage.

An engine says where a product keeps what the workloads need. A product is
imported when its engine is first used, so that one can be timed alone.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ENGINES", "FILE_NAME", "Engine"]

FILE_NAME = "data.fs"

Class = type[Any]


@dataclass(frozen=True)
class Engine:
    """One product; `places` says which module each class is imported from."""

    name: str
    places: dict[str, str]

    def get(self, name: str) -> Class:
        """Return the product's class of that name."""
        found: Class = getattr(importlib.import_module(self.places[name]), name)
        return found

    def storage(self, directory: Path) -> Any:
        """Return the file storage in `directory`, made if there is none."""
        return self.get("FileStorage")(str(directory / FILE_NAME))

    def open(self, directory: Path, *, cache_size: int = 400) -> Any:
        """Return the database in `directory`; `cache_size` counts objects per connection."""
        return self.get("DB")(self.storage(directory), pool_size=20, cache_size=cache_size)


ENGINES = {
    "zodb": Engine(
        "zodb",
        {
            "Blob": "ZODB.blob",
            "DB": "ZODB.DB",
            "FileStorage": "ZODB.FileStorage",
            "ConflictError": "ZODB.POSException",
            "TransactionMetaData": "ZODB.Connection",
        },
    ),
    "perdure": Engine(
        "perdure",
        {
            "Blob": "perdure",
            "DB": "perdure",
            "FileStorage": "perdure",
            "ConflictError": "perdure.errors",
            "TransactionMetaData": "perdure.interfaces",
        },
    ),
}
"""ZODB first: ratios are its time over the other's."""
