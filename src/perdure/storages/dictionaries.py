"""Dictionaries for zstd: trained on the records of a storage, kept in files.

Records of one database look much alike, and each is compressed by itself. A
dictionary has what is common to them, so that small ones shrink too. It says its id,
and so does each record that was compressed with it: it is needed as long as there
are any, so keep it where the database is kept.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.errors import FileAccessError, StorageError, Unsupported
from perdure.records.compression import zstandard

__all__ = ["DICTIONARY_BYTES", "read_dictionary", "train_dictionary", "write_dictionary"]

DICTIONARY_BYTES: Final = 112_640
_ENOUGH: Final = 100
"""How many times its own size a dictionary is to see of the records."""

_TELL_EVERY: Final = 1_000
_WANTED: Final = 20_000
"""Records to choose from a large storage, so that all parts of it count."""


def train_dictionary(
    storage: Any,
    size_bytes: int = DICTIONARY_BYTES,
    progress: Callable[[int, int], object] | None = None,
) -> bytes:
    """Return a dictionary of about `size_bytes`, trained on current records of `storage`.

    Write it to a file, and hand that, or its bytes, to the layer that compresses. `progress` is
    told how many records were passed, of how many.

    Raises `StorageError` where there are too few records, `Unsupported` where they
    cannot be listed, and `MissingExtraError` if zstd is not installed.
    """
    package = zstandard()
    samples = list(_samples(storage, _ENOUGH * size_bytes, progress))
    try:
        dictionary = package.train_dictionary(size_bytes, samples)
    except package.ZstdError as error:
        raise StorageError(
            f"{storage.getName()}: found {len(samples)} records, expected more, or longer ones, "
            f"to train a dictionary of {size_bytes} bytes on ({error}); ask for a smaller one"
        ) from None
    content: bytes = dictionary.as_bytes()
    return content


def read_dictionary(path: str | os.PathLike[str]) -> bytes:
    """Return the dictionary in a file; `FileAccessError` if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        action = "read the dictionary in it"
        raise FileAccessError(path, action, error, "the database was not opened") from error


def write_dictionary(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a dictionary to a new file, and to the disk.

    Raises `FileExistsError` where there is one already: records may need it. And `OSError`.
    """
    with open(path, "xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(path)  # a part of one is none
            raise


def _samples(
    storage: Any, size_bytes: int, progress: Callable[[int, int], object] | None
) -> Iterator[bytes]:
    """Yield current records from all over the storage, about `size_bytes` of them."""
    if not capabilities_of(storage).record_iteration:
        raise Unsupported(f"{storage.getName()} cannot list its records")
    count = len(storage)
    every = max(count // _WANTED, 1)
    following: bytes | None = None
    number = 0
    while size_bytes > 0:
        try:
            _, _, data, following = storage.record_iternext(following)
        except ValueError:  # there is not even one
            return
        if number % every == 0:
            yield data
            size_bytes -= len(data)
        number += 1
        if progress is not None and number % _TELL_EVERY == 0:
            progress(number, max(count, number))
        if following is None:
            return
