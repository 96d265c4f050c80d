"""Savepoints: what a transaction has done so far, in a temporary file.

The store lies over the connection's snapshot: a record that was stored at a
savepoint hides the one below. The file is only appended to,

    entry := oid:8 length:8 record

and each entry notes which position it replaced, so that going back costs what
was done since, not what was done altogether. Blobs are files of their own, in
the storage's temporary directory; each savepoint that has a blob keeps one.
"""

import struct
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from perdure.blobs import SAVEPOINT_SUFFIX, BlobFile, move, unused_path
from perdure.errors import StorageSystemError
from perdure.fileops import FileOperations
from perdure.interfaces import Loaded

__all__ = ["Mark", "Savepoint", "SavepointStore"]

_HEADER: Final = struct.Struct(">8s8sQ")

_IN_MEMORY_BYTES: Final = 256 * 1024
"""Below this size, a file costs more than it saves."""


class Mark(NamedTuple):
    """A moment in the life of a `SavepointStore`."""

    end: int
    entries: int
    created: int


class _Entry(NamedTuple):
    oid: bytes
    replaced: int | None


class SavepointStore:
    """Records of savepoints over those of `below`, a snapshot."""

    def __init__(self, below: Any) -> None:
        self.below = below
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115  closed by close()
            max_size=_IN_MEMORY_BYTES, prefix="perdure-", suffix=".savepoint"
        )
        self._end = 0
        self._positions: dict[bytes, int] = {}
        self._entries: list[_Entry] = []
        self._created: dict[bytes, bool] = {}
        self._blobs: dict[int, Path] = {}  # by the position of the record
        self._remove_blobs = weakref.finalize(self, _unlink_all, self._blobs)

    def load(self, oid: bytes, version: str = "") -> Loaded:
        """Return the record of the last savepoint, or else the one below."""
        position = self._positions.get(oid)
        if position is None:
            loaded: Loaded = self.below.load(oid)
            return loaded
        return self._read(position)

    def load_at(self, oid: bytes, start: bytes) -> tuple[bytes, bytes, bytes | None] | None:
        """The same as `load`; what is below is shown as of just before `start`."""
        position = self._positions.get(oid)
        if position is None:
            found: tuple[bytes, bytes, bytes | None] | None = self.below.load_at(oid, start)
            return found
        return (*self._read(position), None)

    def store(self, oid: bytes, serial: bytes, data: bytes) -> None:
        """Keep a record; `serial` is the committed revision that it was made from.

        Raises `StorageSystemError` where there is no room for it.
        """
        try:
            self._file.seek(self._end)
            self._file.write(_HEADER.pack(oid, serial, len(data)))
            self._file.write(data)
        except OSError as error:
            raise StorageSystemError(
                f"no room for a savepoint in {tempfile.gettempdir()}: {error}; "
                "free some space, or point TMPDIR elsewhere, and try again"
            ) from error
        self._entries.append(_Entry(oid, self._positions.get(oid)))
        self._positions[oid] = self._end
        self._end += _HEADER.size + len(data)

    def store_blob(self, oid: bytes, serial: bytes, data: bytes, source: str) -> str:
        """Keep a record, and take over a file as its blob; return where that is now."""
        target = unused_path(self.temporaryDirectory(), "", SAVEPOINT_SUFFIX)
        position = self._end
        move(FileOperations(), Path(source), target)
        self._blobs[position] = target
        self.store(oid, serial, data)
        return str(target)

    def note_created(self, created: dict[bytes, bool]) -> None:
        """Remember which objects are new in this transaction; see `Changes.created`."""
        self._created.update(created)

    def mark(self) -> Mark:
        """Return this moment, to come back to."""
        return Mark(self._end, len(self._entries), len(self._created))

    def reset(self, mark: Mark) -> tuple[list[bytes], list[bytes]]:
        """Go back to `mark`; return the oids stored, and those created, since then."""
        undone = self._entries[mark.entries :]
        del self._entries[mark.entries :]
        for entry in reversed(undone):
            if entry.replaced is None:
                del self._positions[entry.oid]
            else:
                self._positions[entry.oid] = entry.replaced
        uncreated = list(self._created)[mark.created :]
        for oid in uncreated:
            del self._created[oid]
        self._end = mark.end
        for position in [each for each in self._blobs if each >= mark.end]:
            _unlink(self._blobs.pop(position))
        return [entry.oid for entry in undone], uncreated

    def created(self) -> dict[bytes, bool]:
        """Return the objects that are new in this transaction; see `Changes.created`."""
        return self._created

    def __iter__(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield (oid, serial, record) of what is current here, in the order of the file."""
        for oid, position in sorted(self._positions.items(), key=lambda item: item[1]):
            loaded = self._read(position)
            yield oid, loaded.tid, loaded.data

    def __len__(self) -> int:
        return len(self._positions)

    def oids(self) -> list[bytes]:
        """Return the oids that are stored here."""
        return list(self._positions)

    def blob_of(self, oid: bytes) -> str | None:
        """Return the file of the blob that is current here, None if there is none."""
        path = self._blobs.get(self._positions.get(oid, -1))
        return None if path is None else str(path)

    def close(self) -> None:
        self._file.close()
        self._remove_blobs()

    # Blobs, as a storage has them

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        path: str = self.blob_of(oid) or self.below.loadBlob(oid, serial)
        return path

    def blob_place(self, oid: bytes, serial: bytes) -> str:
        """Return where a blob is: its path, or a name if that has to be made first."""
        path: str = self.blob_of(oid) or self.below.blob_place(oid, serial)
        return path

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: Any = None) -> Any:
        path = self.blob_of(oid)
        if path is None:
            return self.below.openCommittedBlobFile(oid, serial, blob)
        return open(path, "rb") if blob is None else BlobFile(path, "r", blob)

    def temporaryDirectory(self) -> str:
        path: str = self.below.temporaryDirectory()
        return path

    def _read(self, position: int) -> Loaded:
        self._file.seek(position)
        _oid, serial, length = _HEADER.unpack(self._file.read(_HEADER.size))
        return Loaded(self._file.read(length), serial)


class Savepoint:
    """A savepoint of one connection, as the `transaction` package wants it."""

    def __init__(self, connection: Any, mark: Mark) -> None:
        self._connection = connection
        self._mark = mark

    def rollback(self) -> None:
        """Take the connection back to where this savepoint was made."""
        self._connection.rollback_savepoint(self._mark)


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):  # a commit may have taken it over
        path.unlink()


def _unlink_all(blobs: dict[int, Path]) -> None:
    for path in blobs.values():
        _unlink(path)
    blobs.clear()
