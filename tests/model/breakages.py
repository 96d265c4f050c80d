"""Storages that break one promise each, for proving that the machine notices.

Each breakage takes a storage class of a product and returns one that behaves
the same but for the broken promise.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ZODB.utils import maxtid

from model.engines import ENGINES, Engine, Populate, Product

__all__ = ["BREAKAGES", "broken"]


def overwrite_unseen_work(storage_class: Any) -> Any:
    class Careless(storage_class):  # type: ignore[misc]  # the class is a parameter
        def store(self, oid: bytes, serial: bytes, *rest: Any) -> Any:
            with contextlib.suppress(KeyError):
                serial = self.loadBefore(oid, maxtid)[1]
            return super().store(oid, serial, *rest)

    return Careless


def read_the_newest(storage_class: Any) -> Any:
    class Impatient(storage_class):  # type: ignore[misc]
        def loadBefore(self, oid: bytes, tid: bytes) -> Any:
            return super().loadBefore(oid, maxtid)

    return Impatient


def tell_nobody(storage_class: Any) -> Any:
    class Silent(storage_class):  # type: ignore[misc]
        def tpc_finish(self, transaction: Any, func: Any = None) -> Any:
            return super().tpc_finish(transaction, lambda tid: None)

    return Silent


def ignore_what_was_relied_on(storage_class: Any) -> Any:
    class Trusting(storage_class):  # type: ignore[misc]
        def checkCurrentSerialInTransaction(self, *args: Any) -> None:
            pass

    return Trusting


def undo_behind_their_backs(storage_class: Any) -> Any:
    class Sneaky(storage_class):  # type: ignore[misc]
        def undo(self, *args: Any) -> Any:
            return super().undo(*args)[0], ()

    return Sneaky


def pack_too_much(storage_class: Any) -> Any:
    class Greedy(storage_class):  # type: ignore[misc]
        def pack(self, pack_time: float, referencesf: Any) -> Any:
            return super().pack(time.time(), referencesf)

    return Greedy


BREAKAGES: dict[Callable[[Any], Any], str] = {
    overwrite_unseen_work: "MappingStorage",
    read_the_newest: "MappingStorage",
    tell_nobody: "MappingStorage",
    ignore_what_was_relied_on: "MappingStorage",
    pack_too_much: "MappingStorage",
    undo_behind_their_backs: "FileStorage",
}
"""Each breakage with the storage that it is done to."""


def broken(product: Product, breakage: Callable[[Any], Any], *, but_not: bool = False) -> Engine:
    """Return an engine of `product` whose storage breaks one promise; `but_not` keeps it."""
    storage_name = BREAKAGES[breakage]

    def make(product: Product, directory: Path, populate: Populate) -> Any:
        sound = product.get(storage_name)
        storage_class = sound if but_not else breakage(sound)
        args = [str(directory / "data.fs")] if storage_name == "FileStorage" else []
        db = product.get("DB")(storage_class(*args))
        populate(db)
        return db

    resolves = ENGINES[f"{product.name}-mapping"].resolves or storage_name == "FileStorage"
    return Engine(f"{product.name}-broken", product, make, resolves=resolves)
