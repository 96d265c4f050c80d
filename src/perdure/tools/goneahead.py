"""Native code ahead of a check: it takes what is sound, and counts and refers on the way."""

from typing import Final

from google_crc32c import extend as extend_crc

from perdure import native
from perdure.errors import StateLoadError
from perdure.ids import ZERO
from perdure.records import references
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import MAGIC, RECORD_HEADER
from perdure.tools.recordclasses import RecordClasses

__all__ = ["GoneAhead"]

_LATER_THAN_ALL: Final = b"\xff" * 8


class GoneAhead:
    """A sweep over the first `size` bytes of `file`, and the positions that it found.

    With `follow_references` every object that a record refers to, of whatever revision, is
    remembered: if all of them exist, those exist that the current ones refer to.
    """

    def __init__(self, file: DataFile, size: int, follow_references: bool) -> None:
        self._file = file
        self._follow_references = follow_references
        self._unreadable = False
        self.positions = native.filescan.Positions()
        self.sweep = native.filescan.Sweep(
            file.descriptor,
            len(MAGIC),
            size,
            ZERO,
            _LATER_THAN_ALL,
            self.positions,
            extend_crc,
            True,
            follow_references,
        )

    def look_into_odd(self, classes: RecordClasses) -> None:
        """Count, and follow, the records that native code did not know."""
        for position in self.sweep.take_odd():
            data = self._data_at(position)
            classes.add(data, 0, len(data))
            self._follow(data)

    def follow(self, position: int) -> None:
        """Follow the references of a record that native code has not seen."""
        if self._follow_references:
            self._follow(self._data_at(position))

    def something_lacks(self) -> bool:
        """Return whether a record cannot be read, or refers to an object that is not there."""
        return self._unreadable or self.positions.lacks_referred()

    def _data_at(self, position: int) -> bytes:
        header = self._file.record_header(position)
        return self._file.read_exactly(position + RECORD_HEADER.size, header.data_size, header.oid)

    def _follow(self, data: bytes) -> None:
        if not self._follow_references:
            return
        try:
            for oid in references(data):
                self.positions.refer(oid)
        except StateLoadError:
            self._unreadable = True
