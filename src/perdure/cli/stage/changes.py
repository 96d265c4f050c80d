"""The file that holds staged changes, by the name that a person gives it.

Blobs that are staged are kept beside it, in a directory of the same name with
``.blobs`` behind, unless the name is an address that says otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from perdure.cli.addresses import refuse_missing_file
from perdure.opening import Address, absolute_address, forms, open_storage, parse
from perdure.opening.address import read_only_address

__all__ = ["BLOB_OPTIONS", "changes_address", "opened_changes"]

BLOB_OPTIONS: Final = frozenset({"blob_dir", "blobstorage_dir"})
"""The options of an address that name a blob directory."""


def changes_address(changes: str, *, blobs: bool = False) -> Address:
    """Return the absolute address of `changes`; with `blobs`, those have a place there."""
    address = absolute_address(parse(changes), forms)
    if address.database:
        raise click.BadParameter(
            "options of the database belong to the address of the database",
            param_hint="CHANGES",
        )
    if address.scheme == "file" and not BLOB_OPTIONS & address.options.keys():
        directory = Path(address.text + ".blobs")
        if blobs or directory.is_dir():
            address = replace(address, options={**address.options, "blob_dir": str(directory)})
    return address


@contextmanager
def opened_changes(changes: str, *, read_only: bool = False) -> Iterator[Any]:
    """Open the changes, which must be there, and close them in the end."""
    refuse_missing_file(changes, argument="CHANGES")
    address = changes_address(changes)
    storage: Any = open_storage(read_only_address(address, forms) if read_only else address)
    try:
        yield storage
    finally:
        storage.close()
