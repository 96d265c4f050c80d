"""Where the blob of one revision lies below a blob directory: names in, names out.

A blob directory holds, next to a directory `tmp` and a file `.layout` that
contains the name of the layout, a directory for each object, and in that a file
for each revision:

    bushy   0x00/0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x03f1c2a4b5d6e7f8.blob
    lawn    0x1a/0x03f1c2a4b5d6e7f8.blob

The names are those of ZODB. Bushy directories are never large; lawn is for what
was begun that way. Nothing here looks at a disk.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "BLOB_SUFFIX",
    "BUSHY",
    "LAWN",
    "LAYOUTS",
    "MARKER",
    "SAVEPOINT_SUFFIX",
    "TEMPORARY",
    "Layout",
    "blob_name",
    "tid_in",
]

BLOB_SUFFIX: Final = ".blob"
SAVEPOINT_SUFFIX: Final = ".spb"
"""Of the files in which savepoints keep blobs."""
MARKER: Final = ".layout"
TEMPORARY: Final = "tmp"

_NAME: Final = re.compile(r"0x((?:[0-9a-f]{2}){1,8})")
_BUSHY: Final = re.compile(r"(?:0x[0-9a-f]{1,2}/){7}0x[0-9a-f]{1,2}")


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to name the directories of objects.

    `directory` returns that of an oid, relative to the blob directory; `oid`
    says whose a relative path is, None if it is that of no object.
    """

    name: str
    directory: Callable[[bytes], str]
    oid: Callable[[str], bytes | None]


def _short(packed: bytes) -> str:
    """Return 8 bytes as ZODB names files by them: without leading zero bytes."""
    return "0x" + (packed.lstrip(b"\0") or b"\0").hex()


def _packed(name: str) -> bytes | None:
    match = _NAME.fullmatch(name)
    return None if match is None else bytes.fromhex(match[1]).rjust(8, b"\0")


def _bushy_directory(oid: bytes) -> str:
    return "0x" + oid.hex("/").replace("/", "/0x")


def _bushy_oid(path: str) -> bytes | None:
    if _BUSHY.fullmatch(path) is None:
        return None
    return bytes(int(part, 16) for part in path.split("/"))


BUSHY: Final = Layout("bushy", _bushy_directory, _bushy_oid)
LAWN: Final = Layout("lawn", _short, _packed)
LAYOUTS: Final[Mapping[str, Layout]] = {layout.name: layout for layout in (BUSHY, LAWN)}


def blob_name(tid: bytes) -> str:
    """Return the name of the file that holds the blob as the transaction `tid` wrote it."""
    return _short(tid) + BLOB_SUFFIX


def tid_in(name: str) -> bytes | None:
    """Return the tid in the name of a blob's file; None if it is not such a name."""
    if not name.endswith(BLOB_SUFFIX):
        return None
    return _packed(name.removesuffix(BLOB_SUFFIX))
