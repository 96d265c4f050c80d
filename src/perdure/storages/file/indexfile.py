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

import os
import pickle
from collections.abc import Iterator
from io import BytesIO
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple

from google_crc32c import extend as extend_crc

from perdure.storages.file.index import IndexSnapshot, PositionIndex

__all__ = ["SavedIndex", "index_pieces", "pack_index", "read_index", "unpack_index"]

_PROTOCOL: Final = 3
_MAGIC: Final = b"\xf7PdIndex"
_TRAILER: Final = Struct(">8s8s")
_CRC: Final = Struct(">I")
_PIECE_SIZE: Final = 1 << 16
"""Bytes that are read at once, for the checksum: few enough to stay in the processor's cache."""


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
    """Return the index that the bytes of an index file hold; raises what `read_index` does."""
    return read_index(BytesIO(data))


def read_index(source: BinaryIO) -> SavedIndex:
    """Return the index that an index file holds.

    It is read twice, in pieces: memory for all of it takes longer to have than that.
    Raises `ValueError` saying what is wrong with it.
    """
    end, last_tid = _trailer(source)
    source.seek(0)
    load = _PlainUnpickler(source, encoding="bytes").load
    index = PositionIndex()
    try:
        position = load()
        if isinstance(position, int):
            index.pages.expect(end)
            while (page := load()) is not None:
                prefix, entries = page
                index.pages.load(prefix, entries)
            index.pages.expect(0)
    except Exception as error:  # there is no telling what damaged pickles raise
        raise ValueError(f"it cannot be read: {error}") from error
    if not isinstance(position, int):
        raise ValueError("it has the format of long ago")
    if source.tell() != end:
        raise ValueError(f"it has {end - source.tell()} bytes behind its last page")
    return SavedIndex(index, position, last_tid)


def _trailer(source: BinaryIO) -> tuple[int, bytes | None]:
    """Return where the pickles end, and the tid in the trailer behind them if there is one."""
    size = source.seek(0, os.SEEK_END)
    crc_at = size - _CRC.size
    end = crc_at - _TRAILER.size
    if end < 0:
        return size, None
    source.seek(end)
    trailer = source.read()
    if not trailer.startswith(_MAGIC):
        return size, None
    source.seek(0)
    crc = 0
    for at in range(0, crc_at, _PIECE_SIZE):
        crc = extend_crc(crc, source.read(min(_PIECE_SIZE, crc_at - at)))
    if _CRC.unpack_from(trailer, _TRAILER.size) != (crc,):
        raise ValueError("its checksum is wrong")
    return end, _TRAILER.unpack_from(trailer)[1]
