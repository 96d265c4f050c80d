"""Opening what an address names, for the time that a command takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import perdure
from perdure.cli.addresses import refuse_missing_file
from perdure.cli.progress import waiting
from perdure.opening import open_storage, parse

__all__ = ["opened_database", "opened_storage"]


@contextmanager
def opened_storage(address: str, *, read_only: bool = True) -> Iterator[Any]:
    """Open the storage at `address`, which must be there, and close it in the end."""
    refuse_missing_file(address)
    with waiting("opening"):  # which is long where there is no index
        storage = open_storage(parse(address, read_only=read_only))
    try:
        yield storage
    finally:
        storage.close()


@contextmanager
def opened_database(address: str, *, read_only: bool = False) -> Iterator[perdure.DB]:
    """Open the database at `address`, which must be there, and close it in the end."""
    refuse_missing_file(address)
    with waiting("opening"):
        database = perdure.open(address, read_only=read_only)
    with database:
        yield database
