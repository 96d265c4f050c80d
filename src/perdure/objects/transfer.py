"""Export and import: an object and all it refers to as one file, in ZODB's export format.

The bytes are `records.exporting`'s business. Here the graph is walked, and what
is imported becomes new objects of the running transaction: its records go where
savepoints are kept, so a large import needs no memory. Blobs are copied piece by piece.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from perdure.blobs import unused_path
from perdure.errors import ExportError
from perdure.records import references
from perdure.records.exporting import (
    EXPORT_END,
    EXPORT_MAGIC,
    blob_start,
    exported,
    is_blob,
    records_in_export,
)
from perdure.records.rewriting import with_other_oids

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Importer", "export", "import_into"]

_PIECE_BYTES: Final = 1 << 20

Importer = Callable[["Connection", IO[bytes], object], Any]
"""Called with connection, file and clue for a format that is not ours; returns the object."""


def export(storage: Any, oid: bytes, f: str | IO[bytes] | None) -> IO[bytes]:
    """Write the object `oid` and all it refers to; see `Connection.exportFile`.

    `storage` is what the connection reads. Weak references and those to other
    databases are not followed.
    """
    if f is None:
        file: IO[bytes] = tempfile.TemporaryFile(prefix="perdure-", suffix=".zexp")  # noqa: SIM115
    elif isinstance(f, str):
        file = open(f, "w+b")  # noqa: SIM115  handed to the caller
    else:
        file = f
    try:
        _write(storage, oid, file)
    except BaseException:
        if file is not f:
            file.close()
        raise
    if f is None:
        file.seek(0)
    return file


def _write(storage: Any, oid: bytes, file: IO[bytes]) -> None:
    file.write(EXPORT_MAGIC)
    pending, seen = [oid], {oid}
    while pending:
        oid = pending.pop()
        record, tid = storage.load(oid)
        file.write(exported(oid, record))
        if is_blob(record):
            _write_blob(storage.openCommittedBlobFile(oid, tid), file)
        for target in references(record):
            if target not in seen:
                seen.add(target)
                pending.append(target)
    file.write(EXPORT_END)
    file.flush()


def _write_blob(opened: IO[bytes], file: IO[bytes]) -> None:
    with opened as source:
        file.write(blob_start(source.seek(0, os.SEEK_END)))
        source.seek(0)
        shutil.copyfileobj(source, file, _PIECE_BYTES)


def import_into(
    connection: "Connection",
    f: str | IO[bytes],
    clue: object,
    importers: dict[bytes, Importer] | None,
) -> Any:
    """Add what an export holds to `connection`; see `Connection.importFile`."""
    with _opened(f) as file:
        magic = file.read(len(EXPORT_MAGIC))
        if magic != EXPORT_MAGIC:
            if importers and magic in importers:
                file.seek(0)
                return importers[magic](connection, file, clue)
            raise ExportError(
                f"{_name(f)} is no export: found {magic!r} at its start, "
                f"expected {EXPORT_MAGIC!r}; make one with Connection.exportFile"
            )
        new_oids: dict[bytes, bytes] = {}

        def new_oid(old: bytes) -> bytes:
            if old not in new_oids:
                new_oids[old] = connection.new_oid()
            return new_oids[old]

        first: bytes | None = None
        for each in records_in_export(file.read):
            oid = new_oid(each.oid)
            first = first or oid
            blob = None
            if each.blob_size_bytes is not None:
                directory = connection.blob_files.temporaryDirectory()
                blob = _read_blob(file, each.blob_size_bytes, directory, _name(f))
            connection.adopt(oid, with_other_oids(each.data, new_oid), blob)
    if first is None:
        raise ExportError(f"{_name(f)} is an export of nothing")
    return connection.get(first)


def _read_blob(file: IO[bytes], size_bytes: int, directory: str, name: str) -> str:
    """Read a blob into a new file in `directory`; return its path."""
    target = unused_path(directory, "import-", "")
    try:
        with open(target, "xb") as blob:
            missing = size_bytes
            while missing:
                piece = file.read(min(missing, _PIECE_BYTES))
                if not piece:
                    raise ExportError(
                        f"{name} is cut short: found {size_bytes - missing} bytes of a blob, "
                        f"expected {size_bytes}; export again"
                    )
                blob.write(piece)
                missing -= len(piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return str(target)


@contextmanager
def _opened(f: str | IO[bytes]) -> Iterator[IO[bytes]]:
    if isinstance(f, str):
        with open(f, "rb") as file:
            yield file
    else:
        yield f


def _name(f: str | IO[bytes]) -> str:
    return f if isinstance(f, str) else str(getattr(f, "name", f))
