"""The end of a data file as a crash may have left it: what to keep, what to set aside.

A crash can leave a transaction that is cut short, unfinished, or torn: some of
its bytes on the disk and others not. Several can be torn at once, since commits
share syncs; those that are whole behind a torn one were not acknowledged
either. Such an end is set aside in a file and cut off.

Damage is something else: a transaction that was complete and has changed since.
It is told by what stands behind it. A sound transaction whose trailer says that
the file was durable beyond the damaged place proves that it was complete; so
does one that ZODB wrote, which syncs every transaction by itself.
"""

import os
from pathlib import Path
from typing import Final

from perdure.fileops import FileOperations, write_all
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import NUMBER, TRANSACTION_HEADER
from perdure.storages.file.reserve import end_without_reserve
from perdure.storages.file.scan import Scanner, Transaction, Unsound

__all__ = ["is_torn", "set_aside", "write_again"]


_COPY_SIZE: Final = 1 << 20


def is_torn(file: DataFile, size: int, unsound: Unsound, position: int) -> bool:
    """Return whether the transaction at `position` was never complete.

    `size` is that of the file, `unsound` what is wrong with the transaction.
    """
    scanner = Scanner(file, size)
    at = unsound.end
    while at is not None and at < size:
        transaction = scanner.examine(at)
        if isinstance(transaction, Transaction):
            if _proves(transaction, position):
                return False
            at = transaction.end
        else:
            at = transaction.end
    end = end_without_reserve(file, position, size)
    last = _last_transaction(file, scanner, end, position)
    return last is None or not _proves(last, position)


def _proves(transaction: Transaction, position: int) -> bool:
    """Return whether `transaction` was written when what is at `position` was durable."""
    return transaction.trailer is None or transaction.trailer.durable > position


def _last_transaction(
    file: DataFile, scanner: Scanner, end: int, position: int
) -> Transaction | None:
    """Return the transaction that ends at `end`, if it begins after `position`."""
    if end - position < TRANSACTION_HEADER.size + NUMBER.size:
        return None
    # Fewer bytes if its writer has cut the file off meanwhile: then that is no transaction.
    length = int.from_bytes(file.read(end - NUMBER.size, NUMBER.size), "big")
    start = end - NUMBER.size - length
    if start <= position:
        return None
    last = scanner.examine(start)
    return last if isinstance(last, Transaction) and last.end == end else None


def set_aside(operations: FileOperations, file: DataFile, end: int, position: int) -> Path:
    """Move what stands from `position` to `end` into a file of its own; return its path.

    It is on the disk under its new name before it is cut off, with all behind it.
    """
    path = _free_name(file.path)
    target = operations.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for start in range(position, end, _COPY_SIZE):
            piece = file.read_exactly(start, min(_COPY_SIZE, end - start))
            write_all(operations, target, [piece], start - position)
        operations.sync(target)
    finally:
        operations.close(target)
    operations.sync_directory(path.parent)
    operations.truncate(file.descriptor, position)
    operations.sync(file.descriptor)
    return path


def write_again(operations: FileOperations, file: DataFile, start: int, end: int) -> None:
    """Write what stands from `start` to `end` as it is, and sync it.

    A sync alone would not do: after one that failed, the system takes what it could
    not write for written.
    """
    for at in range(start, end, _COPY_SIZE):
        piece = file.read_exactly(at, min(_COPY_SIZE, end - at))
        write_all(operations, file.descriptor, [piece], at)
    operations.sync(file.descriptor)


def _free_name(path: Path) -> Path:
    number = 0
    while (name := path.with_name(f"{path.name}.tr{number}")).exists():
        number += 1
    return name
