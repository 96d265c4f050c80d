"""A data file that another process writes: what came since, and is it still the file."""

import os
from collections.abc import Iterator

from perdure.storages.file.datafile import DataFile
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction

__all__ = ["is_at_its_path", "later_transactions"]


def is_at_its_path(file: DataFile) -> bool:
    """Return whether the path still names the file that is open: it was not packed or replaced.

    Raises `OSError` where that cannot be told.
    """
    held = os.fstat(file.descriptor)
    try:
        named = os.stat(file.path)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def later_transactions(view: View) -> Iterator[Transaction]:
    """Yield the transactions behind the end of `view` that are complete, oldest first.

    What is under way behind them is left alone: it may be finished later, or cut off.
    """
    scanner = Scanner(view.file, view.file.size())
    position = view.end
    while position < scanner.limit:
        found = scanner.examine(position)
        if not isinstance(found, Transaction):
            return
        yield found
        position = found.end
