"""Checking the index that is saved beside a data file: does it say what the file says."""

import os

from perdure.storages.file.datafile import DataFile
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import SavedIndex, unpack_index
from perdure.storages.file.loading import index_path
from perdure.tools.findings import WrongIndex

__all__ = ["check_index"]


def check_index(
    file: DataFile, end: int, positions: PositionIndex
) -> tuple[str, WrongIndex | None]:
    """Return what the saved index is good for, in words, and what is wrong with it, if anything.

    `positions` are those of the records before `end`. An index that opening would not use
    is no finding: the file is scanned instead. Nor is one of another file, or of a later
    state of this one, which is in use.
    """
    try:
        with index_path(file.path).open("rb") as opened:
            saved = unpack_index(opened.read())
        here, there = os.fstat(file.descriptor), os.stat(file.path)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            return "of the file that has taken the place of this one", None
    except FileNotFoundError:
        return "missing: opening reads the whole file", None
    except (OSError, ValueError) as error:
        return f"not usable ({error}): opening reads the whole file", None
    if saved.position > here.st_size:
        # A writer saves it when what it covers is in the file.
        return (
            f"not used: it covers {saved.position:,} bytes, and the file has {here.st_size:,}; "
            "it is that of another file, or this one was cut off",
            None,
        )
    if saved.position > end:
        return f"of {saved.position:,} bytes, more than were looked at", None
    wrong = _first_wrong(saved, positions)
    if wrong is not None:
        oid, found, expected = wrong
        return "wrong", WrongIndex(
            None,
            f"{index_path(file.path)} with {f'a record at {found}' if found else 'no record'}",
            f"it at {expected}" if expected else "none of this object",
            oid,
        )
    behind = end - saved.position
    return f"{behind:,} bytes behind, which opening reads" if behind else "up to date", None


def _first_wrong(saved: SavedIndex, positions: PositionIndex) -> tuple[bytes, int, int] | None:
    """Return an oid with its position in the saved index, and the one in the file."""
    known = saved.positions
    for prefix, page in known.pages.items():
        ours = positions.pages.get(prefix)
        if ours is not None and ours.toString() == page.toString():
            continue
        for suffix in page:
            oid = prefix + suffix
            found, expected = known.get(oid), positions.get(oid)
            if found != expected and not expected >= saved.position:
                return oid, found, expected
    for prefix, page in positions.pages.items():
        theirs = known.pages.get(prefix)
        if theirs is not None and theirs.toString() == page.toString():
            continue
        for suffix in page:
            oid = prefix + suffix
            if not known.get(oid) and positions.get(oid) < saved.position:
                return oid, 0, positions.get(oid)
    return None
