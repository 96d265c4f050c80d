"""The index of a data file, saved beside it, so that opening need not scan the file.

The format is ZODB's own: pickles one after the other.

    index := position (prefix entries)* None trailer?

`position` is the end of the part of the data file that is indexed; `prefix` are
6 bytes of oids, `entries` the entries of that page, 2 bytes of oid and then 6
bytes of position for each: all the first, then all the second. Readers stop at
None, so what follows is free: Perdure puts a trailer there.

    trailer := magic:8 last_tid:8 crc:4

`last_tid` is that of the transaction that ends at `position`; `crc` is the
CRC-32C of everything before it in the index file.

Nothing here opens a file.
"""

import pickle
from collections.abc import Iterator
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple

from BTrees.fsBTree import fsBucket
from google_crc32c import extend as extend_crc

from perdure.storages.file.index import IndexSnapshot, PositionIndex

__all__ = ["SavedIndex", "index_pieces", "pack_index", "unpack_index"]

_PROTOCOL: Final = 3
_MAGIC: Final = b"\xf7PdIndex"
_TRAILER: Final = Struct(">8s8s")
_CRC: Final = Struct(">I")
_PIECE_SIZE: Final = 1 << 16
"""Bytes that are copied at once, for the checksum: few enough to stay in the processor's cache."""


class SavedIndex(NamedTuple):
    """An index (`positions`), complete up to `position` of the data file.

    `last_tid` is that of the transaction before, None where the file does not say:
    ZODB does not write it.
    """

    positions: PositionIndex
    position: int
    last_tid: bytes | None


class _PlainUnpickler(pickle.Unpickler):
    """Loads numbers, bytes and containers; an index has no business with classes."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"found the class {module}.{name}, expected plain values")


def index_pieces(snapshot: IndexSnapshot) -> Iterator[bytes]:
    """Yield the bytes of an index file, a page at a time."""
    crc = 0
    for piece in _pieces(snapshot):
        crc = extend_crc(crc, piece)
        yield piece
    yield _CRC.pack(crc)


def pack_index(index: PositionIndex, position: int, last_tid: bytes) -> bytes:
    """Return the bytes of an index file."""
    snapshot = index.snapshot(position, last_tid)
    try:
        return b"".join(index_pieces(snapshot))
    finally:
        snapshot.release()


def _pieces(snapshot: IndexSnapshot) -> Iterator[bytes]:
    yield pickle.dumps(snapshot.position, _PROTOCOL)
    for page in snapshot.pages():
        yield pickle.dumps(page, _PROTOCOL)
    yield pickle.dumps(None, _PROTOCOL)
    yield _TRAILER.pack(_MAGIC, snapshot.last_tid)


def unpack_index(data: bytes) -> SavedIndex:
    """Return the index that an index file holds.

    Raises `ValueError` saying what is wrong with it.
    """
    end, last_tid = _trailer(data)
    stream = BytesIO(data)
    load = _PlainUnpickler(stream, encoding="bytes").load
    index = PositionIndex()
    try:
        position = load()
        if isinstance(position, int):
            index.pages.update(_pages(load))
    except Exception as error:  # there is no telling what damaged pickles raise
        raise ValueError(f"it cannot be read: {error}") from error
    if not isinstance(position, int):
        raise ValueError("it has the format of long ago")
    if stream.tell() != end:
        raise ValueError(f"it has {end - stream.tell()} bytes behind its last page")
    return SavedIndex(index, position, last_tid)


def _pages(load: Any) -> Iterator[tuple[bytes, Any]]:
    while (page := load()) is not None:
        prefix, entries = page
        yield prefix, fsBucket().fromString(entries)


def _trailer(data: bytes) -> tuple[int, bytes | None]:
    """Return where the pickles end, and the tid in the trailer behind them if there is one."""
    end = len(data) - _TRAILER.size - _CRC.size
    if end < 0 or not data.startswith(_MAGIC, end):
        return len(data), None
    crc, crc_at = 0, end + _TRAILER.size
    for at in range(0, crc_at, _PIECE_SIZE):
        crc = extend_crc(crc, data[at : min(at + _PIECE_SIZE, crc_at)])
    if _CRC.unpack_from(data, crc_at) != (crc,):
        raise ValueError("its checksum is wrong")
    return end, _TRAILER.unpack_from(data, end)[1]
