"""The bytes of an export: a subgraph of objects as one stream, in ZODB's format.

    export := "ZEXP" record* end
    record := oid:8 length:8 data blob?
    blob   := "\\0BLOBSTART" size:8 bytes
    end    := 16 bytes of 0xff

Integers are big-endian. The first record is the object that was exported; the
oids are those of the database it comes from, and get new ones where it is
imported (`rewriting`). A blob follows the record of a blob object.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from perdure.errors import ExportError
from perdure.ids import oid_repr, p64, u64
from perdure.records.classmeta import class_at_head
from perdure.records.names import stored_name

__all__ = [
    "EXPORT_END",
    "EXPORT_MAGIC",
    "ExportedRecord",
    "blob_start",
    "exported",
    "is_blob",
    "records_in_export",
]

EXPORT_MAGIC: Final = b"ZEXP"
EXPORT_END: Final = b"\xff" * 16

_BLOB_START: Final = b"\0BLOBSTART"
_HEADER_SIZE: Final = 16
_BLOB_CLASS: Final = stored_name("perdure.objects.blob", "Blob")
_PIECE_BYTES: Final = 1 << 20  # a damaged length must not reserve memory


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """One record of an export; `blob_size_bytes` is None where no blob follows it."""

    oid: bytes
    data: bytes
    blob_size_bytes: int | None = None


def exported(oid: bytes, data: bytes) -> bytes:
    """Return a record as it stands in an export."""
    return oid + p64(len(data)) + data


def blob_start(size_bytes: int) -> bytes:
    """Return what stands between the record of a blob object and the bytes of its blob."""
    return _BLOB_START + p64(size_bytes)


def is_blob(record: bytes) -> bool:
    """Return whether a record is that of a blob object; imports nothing."""
    return class_at_head(record) == _BLOB_CLASS


def records_in_export(read: Callable[[int], bytes]) -> Iterator[ExportedRecord]:
    """Yield the records of an export, from behind its magic to its end.

    `read(size)` returns the next bytes, `size` of them unless there are no more.
    Where `blob_size_bytes` is not None, whoever iterates reads that many bytes
    from the same source before taking the next record.

    Raises `ExportError` if the export is cut short.
    """
    source = _Source(read, len(EXPORT_MAGIC))
    rest = b""
    while (header := rest + source.take(_HEADER_SIZE - len(rest), "a record")) != EXPORT_END:
        oid = header[:8]
        data = source.take(u64(header[8:]), f"the record of oid {oid_repr(oid)}")
        rest, size = b"", None
        if is_blob(data):
            # A storage without blobs exports their records alone.
            rest = source.take(len(_BLOB_START), "a blob or a record")
            if rest == _BLOB_START:
                rest, size = b"", u64(source.take(8, "the size of a blob"))
        yield ExportedRecord(oid, data, size)
        source.position += size or 0


class _Source:
    """Reads exactly as much as is asked for; `position` counts bytes from the start."""

    def __init__(self, read: Callable[[int], bytes], position: int) -> None:
        self._read = read
        self.position = position

    def take(self, size: int, what: str) -> bytes:
        pieces: list[bytes] = []
        missing = size
        while missing:
            piece = self._read(min(missing, _PIECE_BYTES))
            if not piece:
                raise ExportError(
                    f"the export is cut short: at byte {self.position} it should have {what} "
                    f"of {size} bytes, found {size - missing}; export again"
                )
            pieces.append(piece)
            missing -= len(piece)
        self.position += size
        return b"".join(pieces)
