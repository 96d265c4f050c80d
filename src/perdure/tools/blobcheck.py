"""Checking that the blobs of a data file are there, and that there are no others."""

from typing import Final

from perdure.blobs import BlobDirectory
from perdure.records import is_blob
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.positions import Positions
from perdure.tools.findings import Finding, MissingBlob, OrphanBlob

__all__ = ["BlobCheck"]

_HEADER_SIZE: Final = RECORD_HEADER.size
_HEAD_SIZE: Final = 512


class BlobCheck:
    """Looks for the file of each revision of a blob, and adds findings.

    Memory: the oid and the tid of each of them.
    """

    def __init__(
        self,
        file: DataFile,
        blobs: BlobDirectory,
        positions: Positions,
        findings: list[Finding],
    ) -> None:
        self._file = file
        self._blobs = blobs
        self._positions = positions
        self._findings = findings
        self._known: set[bytes] = set()

    def record(self, oid: bytes, at: int, tid: bytes, size: int) -> None:
        """Check the record of `oid` at a position, if it is that of a blob; in order."""
        if size:
            blob = self._is_blob(at, size)
            self._positions.set_blob(oid, blob)
        else:
            blob = self._positions.is_blob(oid) and not self._positions.is_gone(oid)
        if blob:
            self._look_for(oid, at, tid)

    def record_at(self, at: int) -> None:
        """Check a record of which it is known that it is that of a blob, or looks so."""
        header = self._file.record_header(at)
        if not header.data_size or self._is_blob(at, header.data_size):
            self._look_for(header.oid, at, header.tid)

    def orphans(self, last_tid: bytes) -> None:
        """Find the blobs, not later than `last_tid`, of which there is no record."""
        for oid in self._blobs.objects():
            for tid in self._blobs.revisions(oid):
                if tid <= last_tid and oid + tid not in self._known:
                    found = str(self._blobs.path_of(oid, tid))
                    expected = "a record of this revision"
                    self._findings.append(OrphanBlob(None, found, expected, oid, tid))

    def _is_blob(self, at: int, size: int) -> bool:
        return is_blob(self._file.read(at + _HEADER_SIZE, min(size, _HEAD_SIZE)))

    def _look_for(self, oid: bytes, at: int, tid: bytes) -> None:
        self._known.add(oid + tid)
        if not self._blobs.has(oid, tid):
            path = str(self._blobs.path_of(oid, tid))
            self._findings.append(MissingBlob(at, "no file", path, oid, tid))
