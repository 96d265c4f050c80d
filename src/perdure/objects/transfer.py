"""Export and import: an object and all it refers to as one file, in ZODB's export format.

The bytes are `records.exporting`'s business. Here the graph is walked, and what
is imported becomes new objects of the running transaction: its records go where
savepoints are kept, so a large import needs no memory.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from perdure.errors import ExportError
from perdure.records import references
from perdure.records.exporting import EXPORT_END, EXPORT_MAGIC, exported, records_in_export
from perdure.records.rewriting import with_other_oids

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Importer", "export", "import_into"]

Importer = Callable[["Connection", IO[bytes], object], Any]
"""Called with connection, file and clue for a format that is not ours; returns the object."""


def export(load: Callable[[bytes], Any], oid: bytes, f: str | IO[bytes] | None) -> IO[bytes]:
    """Write the object `oid` and all it refers to; see `Connection.exportFile`.

    `load` returns (record, tid) for an oid. Weak references and those to other
    databases are not followed.
    """
    if f is None:
        file: IO[bytes] = tempfile.TemporaryFile(prefix="perdure-", suffix=".zexp")  # noqa: SIM115
    elif isinstance(f, str):
        file = open(f, "w+b")  # noqa: SIM115  handed to the caller
    else:
        file = f
    try:
        _write(load, oid, file)
    except BaseException:
        if file is not f:
            file.close()
        raise
    if f is None:
        file.seek(0)
    return file


def _write(load: Callable[[bytes], Any], oid: bytes, file: IO[bytes]) -> None:
    file.write(EXPORT_MAGIC)
    pending, seen = [oid], {oid}
    while pending:
        oid = pending.pop()
        record = load(oid)[0]
        file.write(exported(oid, record))
        for target in references(record):
            if target not in seen:
                seen.add(target)
                pending.append(target)
    file.write(EXPORT_END)
    file.flush()


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
            if each.blob_size_bytes is not None:
                raise ExportError(
                    f"{_name(f)} has blobs, which cannot be imported yet; "
                    "nothing of it will be committed if you abort"
                )
            oid = new_oid(each.oid)
            first = first or oid
            connection.adopt(oid, with_other_oids(each.data, new_oid))
    if first is None:
        raise ExportError(f"{_name(f)} is an export of nothing")
    return connection.get(first)


@contextmanager
def _opened(f: str | IO[bytes]) -> Iterator[IO[bytes]]:
    if isinstance(f, str):
        with open(f, "rb") as file:
            yield file
    else:
        yield f


def _name(f: str | IO[bytes]) -> str:
    return f if isinstance(f, str) else str(getattr(f, "name", f))
