"""The bytes of a data file, as values: headers in, headers out.

A file is a 4-byte magic, then transactions, oldest first. Integers are
unsigned and big-endian, so byte order is number order. A position counts bytes
from the start of the file.

    file        := "FS30" transaction*
    transaction := header user note extension record* length:8
    header      := tid:8 length:8 status:1 user_size:2 note_size:2 extension_size:2
    record      := oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8)

`length` is that of the transaction without the length that repeats at its end,
by which a file is read backwards. `status` is " " for a transaction that is
complete, "p" for one that was packed, "u" for one that was undone long ago (its
records count no more), "c" for one that has not been finished.

`previous` is the position of the record that was current before, 0 if there
was none; `transaction` that of the header. `size` 0 stands for a record whose
data are those of the record at `back`; where that is 0 too, the object is gone.

`extension` is a pickle, or nothing. Readers stop at the pickle's end, so what
follows is free: Perdure puts a trailer there.

    trailer     := magic:8 position:8 length:8 durable:8 crc:4

`position` and `length` are the transaction's own and bind the trailer to it: a
transaction that another program moved is not checked. `durable` is the position
up to which the file was synced before the transaction was written: what lies
before it was complete once. `crc` is the CRC-32C of the whole transaction, from
its tid to the length at its end, without the status and the crc itself. A
trailer needs a pickle to stand behind; where there is no extension it is that
of an empty dictionary, `NO_EXTENSION`, which nobody else writes.

Nothing here opens a file, reads a clock or remembers anything.
"""

from collections.abc import Iterable
from os import PathLike
from struct import Struct
from typing import Final, NamedTuple

from google_crc32c import extend as extend_crc

from perdure.errors import CorruptDataError, FileStorageError
from perdure.ids import oid_repr

Path = str | PathLike[str]

__all__ = [
    "BARE_FIELD",
    "BARE_FIELD_SIZE",
    "CRC",
    "MAGIC",
    "MAX_FIELD_SIZE",
    "NO_EXTENSION",
    "NUMBER",
    "RECORD_HEADER",
    "STATUS_OFFSET",
    "TRAILER_SIZE",
    "TRANSACTION_HEADER",
    "RecordHeader",
    "Trailer",
    "TransactionHeader",
    "check_metadata",
    "extension_field_size",
    "mended_trailer",
    "pack_extension",
    "pack_transaction_head",
    "seal",
    "split_extension",
    "unpack_record_header",
    "unpack_transaction_header",
]

MAGIC: Final = b"FS30"

TRANSACTION_HEADER: Final = Struct(">8sQcHHH")
RECORD_HEADER: Final = Struct(">8s8sQQHQ")
NUMBER: Final = Struct(">Q")

STATUS_OFFSET: Final = 16
"""Where the status stands in a transaction."""

MAX_FIELD_SIZE: Final = 0xFFFF
"""Bytes that user, note and extension can have each."""

NO_EXTENSION: Final = b"}."

CRC: Final = Struct(">I")

_TRAILER_MAGIC: Final = b"\xf7Perdure"
_TRAILER: Final = Struct(">8sQQQI")
TRAILER_SIZE: Final = _TRAILER.size

BARE_FIELD: Final = NO_EXTENSION + _TRAILER_MAGIC
"""How an extension field begins that has a trailer and no extension."""

BARE_FIELD_SIZE: Final = len(NO_EXTENSION) + TRAILER_SIZE


class TransactionHeader(NamedTuple):
    """The fixed part of a transaction; sizes in bytes."""

    tid: bytes
    length: int
    status: bytes
    user_size: int
    note_size: int
    extension_size: int

    @property
    def size(self) -> int:
        """The bytes up to the first record."""
        return TRANSACTION_HEADER.size + self.user_size + self.note_size + self.extension_size


class RecordHeader(NamedTuple):
    """The fixed part of a record; `transaction` and `previous` are positions."""

    oid: bytes
    tid: bytes
    previous: int
    transaction: int
    version_size: int
    data_size: int

    @property
    def record_size(self) -> int:
        """The bytes of the record with its data or its back pointer."""
        return RECORD_HEADER.size + (self.data_size or NUMBER.size)


class Trailer(NamedTuple):
    """What Perdure adds to a transaction; see the head of this module."""

    position: int
    length: int
    durable: int
    crc: int


def unpack_transaction_header(data: bytes, path: Path, position: int) -> TransactionHeader:
    """Return the header with which `data` begins, found at `position` of the file.

    Raises `CorruptDataError` if `data` is too short to hold one.
    """
    if len(data) < TRANSACTION_HEADER.size:
        raise CorruptDataError(
            path, position, f"{len(data)} bytes", f"a {TRANSACTION_HEADER.size}-byte header"
        )
    return TransactionHeader._make(TRANSACTION_HEADER.unpack_from(data))


def unpack_record_header(
    data: bytes, path: Path, position: int, oid: bytes | None = None
) -> RecordHeader:
    """Return the record header with which `data` begins, found at `position` of the file.

    Raises `CorruptDataError` if `data` is too short to hold one, or if it is not
    the header of a record of `oid`, where that is given.
    """
    if len(data) < RECORD_HEADER.size:
        expected = f"a {RECORD_HEADER.size}-byte record header"
        raise CorruptDataError(path, position, f"{len(data)} bytes", expected, oid)
    header = RecordHeader._make(RECORD_HEADER.unpack_from(data))
    if oid is not None and header.oid != oid:
        found = f"a record of oid {oid_repr(header.oid)}"
        raise CorruptDataError(path, position, found, f"one of oid {oid_repr(oid)}", oid)
    if header.version_size:
        found = f"a version name of {header.version_size} bytes"
        raise CorruptDataError(path, position, found, "none; versions are no more", header.oid)
    return header


def check_metadata(user: bytes, note: bytes, extension: bytes, path: Path) -> None:
    """Raise `FileStorageError` if one of a transaction's fields is too long for the format."""
    if len(user) <= MAX_FIELD_SIZE >= len(note) and len(extension) <= MAX_FIELD_SIZE:
        return
    for name, value in (("user", user), ("description", note), ("extension", extension)):
        if len(value) > MAX_FIELD_SIZE:
            raise FileStorageError(
                f"{path}: found a transaction's {name} of {len(value)} bytes, "
                f"expected at most {MAX_FIELD_SIZE}; nothing was written"
            )


def split_extension(field: bytes) -> tuple[bytes, Trailer | None]:
    """Return an extension field as the extension itself and its trailer, None if it has none."""
    at = len(field) - TRAILER_SIZE
    if at < 0 or not field.startswith(_TRAILER_MAGIC, at):
        return field, None
    trailer = Trailer._make(_TRAILER.unpack_from(field, at)[1:])
    extension = field[:at]
    return (b"" if extension == NO_EXTENSION else extension), trailer


def mended_trailer(field: bytes, position: int, length: int) -> tuple[int, bytes] | None:
    """Return the crc at the end of an extension field, and the trailer as it should be.

    None where the field does not end with something like a trailer: one of its
    magic, position and length that bind it to a transaction must be right.
    """
    at = len(field) - TRAILER_SIZE
    if at < 0:
        return None
    magic, *bound, durable, crc = _TRAILER.unpack_from(field, at)
    if magic != _TRAILER_MAGIC and bound != [position, length]:
        return None
    return crc, _TRAILER.pack(_TRAILER_MAGIC, position, length, durable, crc)


def extension_field_size(extension: bytes) -> int:
    """Return how many bytes an extension takes in a transaction, its trailer included.

    Where the two do not fit together the extension stands alone, unchecked.
    """
    size = len(extension or NO_EXTENSION) + TRAILER_SIZE
    return size if size <= MAX_FIELD_SIZE else len(extension)


def pack_transaction_head(header: TransactionHeader, user: bytes, note: bytes) -> bytes:
    """Return a transaction's bytes up to its extension."""
    return TRANSACTION_HEADER.pack(*header) + user + note


def pack_extension(extension: bytes, position: int, length: int, durable: int) -> bytes:
    """Return an extension field up to its crc, which `seal` makes from all the rest."""
    trailer = _TRAILER.pack(_TRAILER_MAGIC, position, length, durable, 0)
    return (extension or NO_EXTENSION) + trailer[: -CRC.size]


def seal(head: bytes, body: Iterable[bytes]) -> bytes:
    """Return the packed crc of a transaction.

    `head` are its bytes up to the crc, `body` those behind it, in pieces.
    """
    crc = extend_crc(extend_crc(0, head[:STATUS_OFFSET]), head[STATUS_OFFSET + 1 :])
    for piece in body:
        crc = extend_crc(crc, piece)
    return CRC.pack(crc)
