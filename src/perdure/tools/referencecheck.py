"""Checking that every current record of a data file can be read, and what it refers to exists."""

from collections.abc import Callable
from typing import Final

from perdure.errors import CorruptDataError, StateLoadError
from perdure.records import references
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import NUMBER, RECORD_HEADER
from perdure.storages.file.positions import Positions, index_of
from perdure.storages.file.window import Window
from perdure.tools.findings import Finding, UnreadableRecord, missing_object

__all__ = ["ReferenceCheck"]

_HEADER_SIZE: Final = RECORD_HEADER.size


class ReferenceCheck:
    """Looks into the current records of the first `size` bytes of `file`, and adds findings."""

    def __init__(
        self, file: DataFile, size: int, positions: Positions, findings: list[Finding]
    ) -> None:
        self._file = file
        self._size = size
        self._positions = positions
        self._findings = findings

    def current_records(self, reached: Callable[[int], object]) -> None:
        """Look into all of them, in the order of the file; `reached` gets positions."""
        positions = sorted(position for _, position in index_of(self._positions).items())
        window = Window(self._file, self._size)
        for at in positions:
            window.cover(at, _HEADER_SIZE)
            oid, _, _, _, _, size = RECORD_HEADER.unpack_from(window.data, at - window.start)
            if not self._positions.is_gone(oid):
                self._record(oid, at, window.read(at + _HEADER_SIZE, size or NUMBER.size), size)
            reached(at)

    def _record(self, oid: bytes, at: int, data: bytes, size: int) -> None:
        back = at
        try:
            while not size:
                back = int.from_bytes(data, "big")
                header = self._file.record_header(back, oid)
                size = header.data_size
                data = self._file.read_exactly(back + _HEADER_SIZE, size or NUMBER.size, oid)
                if not size and int.from_bytes(data, "big") in (0, back):
                    return  # it points to an object that was gone
            targets = references(data)
        except CorruptDataError:
            return  # found before, as a wrong pointer
        except StateLoadError as error:
            found = f"pickles that cannot be read ({error.reason})"
            self._findings.append(UnreadableRecord(at, found, "two whole ones", oid))
            return
        for target in targets:
            if self._positions.is_gone(target) or not self._positions.get(target):
                self._findings.append(missing_object(at, oid, target))
