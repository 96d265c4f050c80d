"""A library in production, and a stage over it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree

import perdure
from perdure.tools import stage

__all__ = ["Library", "retitle", "title"]


class Library:
    """A database open in this process, as production is, and the changes staged over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        blobs = {"blob_dir": str(directory / "blobs")}
        self.db = perdure.DB(perdure.FileStorage(directory / "app.fs", **blobs))
        with self.db.transaction("open the library") as connection:
            root = connection.root
            root.books = OOBTree()
            for number in range(3):
                root.books[number] = perdure.PersistentMapping(title=f"Book {number}")
            root.visits = Length()
            root.cover = perdure.Blob(b"plain")
        self.tid = self.db.lastTransaction()

    @property
    def production(self) -> Any:
        return self.db.storage

    def changes(self, **options: Any) -> perdure.FileStorage:
        """Return the changes, opened; they stay open until somebody closes them."""
        options.setdefault("blob_dir", self.directory / "staged.blobs")
        return perdure.FileStorage(self.directory / "staged.fs", **options)

    @contextmanager
    def staged(self, at: bytes | None = None) -> Iterator[perdure.DB]:
        """Open a database on the stage."""
        storage = stage.open_stage(self.production, self.changes(), at, close_production=False)
        with perdure.DB(storage) as db:
            yield db

    def on_stage(self, change: Callable[[Any], object]) -> None:
        """Change something on the stage: `change` gets the root."""
        with self.staged() as db, db.transaction("on the stage") as connection:
            change(connection.root)

    def change(self, change: Callable[[Any], object]) -> bytes:
        """Change something in production; return the tid."""
        with self.db.transaction("in production") as connection:
            change(connection.root)
        return self.db.lastTransaction()

    def read(self, read: Callable[[Any], Any]) -> Any:
        """Return what `read` returns for the root of production."""
        with self.db.transaction() as connection:
            return read(connection.root)

    @contextmanager
    def opened_changes(self, **options: Any) -> Iterator[perdure.FileStorage]:
        changes = self.changes(**options)
        try:
            yield changes
        finally:
            changes.close()

    def status(self) -> stage.Status:
        with self.opened_changes(read_only=True) as changes:
            return self.status_of(changes)

    def status_of(self, changes: Any) -> stage.Status:
        return stage.status(changes, self.production)

    def apply(self, **options: Any) -> stage.Applied:
        with self.opened_changes() as changes:
            return stage.apply(changes, self.db, **options)


def retitle(number: int, title: str) -> Callable[[Any], object]:
    def change(root: Any) -> None:
        root.books[number]["title"] = title

    return change


def title(number: int) -> Callable[[Any], str]:
    def read(root: Any) -> str:
        found: str = root.books[number]["title"]
        return found

    return read
