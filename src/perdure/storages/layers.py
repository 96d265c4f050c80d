"""The transforming layers that people ask for: compressed, encrypted."""

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.records.compression import Compression
from perdure.records.encryption import Encryption
from perdure.records.keyring import KeyRing
from perdure.storages.keys import keys_from_file, keys_from_function
from perdure.storages.sealedblobs import SealedBlobs
from perdure.storages.sealedmetadata import SealedMetadata
from perdure.storages.transforming import TransformingStorage

__all__ = ["Keys", "compressed", "encrypted"]

Keys = KeyRing | str | PathLike[str] | bytes | Callable[[], bytes | Iterable[bytes]]


def compressed(
    storage: Any,
    method: str = "zstd",
    *,
    level: int | None = None,
    dictionaries: Iterable[bytes] = (),
    close_base: bool = True,
) -> TransformingStorage:
    """Return a layer that compresses the records of `storage`, with "zstd" or "zlib".

    It reads both, and plain records; "zlib" writes what zc.zlibstorage reads. `level` is
    that of the method. With `dictionaries`, trained ones, zstd compresses with the first
    and reads with all of them. Blobs stay as they are. The other argument is that of
    `TransformingStorage`.

    Raises `MissingExtraError` if zstd is not installed, and `ValueError`.
    """
    transform = Compression(method, level, dictionaries)
    return TransformingStorage(storage, transform, close_base=close_base)


def encrypted(
    storage: Any,
    keys: Keys,
    *,
    metadata: bool = False,
    plain: bool = True,
    close_base: bool = True,
) -> TransformingStorage:
    """Return a layer that encrypts the records and blobs of `storage`.

    `keys` is the path of a key file, a key of 32 bytes, a function that returns one or
    several, or a ring; the first key encrypts, all decrypt. With `metadata`, users,
    descriptions and extensions of transactions are encrypted, too. Without `plain`,
    records that are not encrypted are refused. The other argument is that of
    `TransformingStorage`.

    Raises `KeySourceError` and `MissingExtraError`.
    """
    ring = _ring(keys)
    binds = capabilities_of(storage).binding
    return TransformingStorage(
        storage,
        Encryption(ring, binding=binds, plain=plain),
        blobs=SealedBlobs(ring),
        metadata=SealedMetadata(ring) if metadata else None,
        close_base=close_base,
    )


def _ring(keys: Keys) -> KeyRing:
    if isinstance(keys, KeyRing):
        return keys
    if isinstance(keys, bytes):
        return keys_from_function(lambda: keys)
    if callable(keys):
        return keys_from_function(keys)
    return keys_from_file(keys)
