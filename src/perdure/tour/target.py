"""The file that a tour works on: a new one, its own of before, or somebody else's.

A tour never deletes or overwrites a file. Its own is taken up again; where it was
made by another Python, or a fresh start is asked for, a new library takes the
place of the old one inside the database, and packing drops what is left of it.
"""

import platform
from pathlib import Path

import perdure
from perdure.errors import FileStorageFormatError, POSError, ReadOnlyError
from perdure.tour.model import Library

__all__ = ["NotATourError", "prepare", "refuse_strangers"]


class NotATourError(POSError):
    """The file at `path` is not one that the tour made; `found` says what it is."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(path, found)
        self.path = path
        self.found = found

    def __str__(self) -> str:
        return (
            f"{self.path} is {self.found}, not a database that the tour made; nothing was "
            "changed; give another path: perdure tour other.fs"
        )


def refuse_strangers(path: Path) -> None:
    """Return if `path` is free or the tour's own; else raise `NotATourError`, touching nothing."""
    if not path.exists():
        return
    if not path.is_file():
        raise NotATourError(path, "no regular file")
    try:
        db = perdure.open(path, read_only=True)
    except FileStorageFormatError as error:
        raise NotATourError(path, "not a database") from error
    except ReadOnlyError:
        return  # opening wanted to make a root: there is none, and so nothing at all
    try:
        with db.transaction() as connection:
            root = connection.root()
            if len(root) and not isinstance(root.get("library"), Library):
                raise NotATourError(path, f"a database with {', '.join(sorted(root))} in it")
    finally:
        db.close()


def prepare(db: perdure.DB, fresh: bool) -> str:
    """Make sure that there is a library to read into; say whether it is a new one.

    `fresh` asks for a new one whatever is there.
    """
    python = platform.python_version()
    with db.transaction("start the tour") as connection:
        library = connection.root().get("library")
        if library is not None and library.python == python and not fresh:
            count = len(library.modules)
            if library.complete:
                return f"using again what an earlier tour read: {count:,} modules"
            return f"carrying on where an earlier tour stopped: {count:,} modules are there"
        connection.root()["library"] = Library(python)
    if library is None:
        return "starting with an empty database"
    return f"replacing what an earlier tour read from Python {library.python}"
