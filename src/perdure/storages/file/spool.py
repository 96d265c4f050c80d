"""Where the records of a very large transaction wait for its vote: a file without a name."""

import os
import tempfile
from pathlib import Path

from perdure.errors import FileAccessError
from perdure.storages.file.datafile import DataFile

__all__ = ["Spool", "SpooledRecord"]


class SpooledRecord:
    """A record that is in a spool: `len` tells its size, `read` brings it."""

    __slots__ = ("_file", "_position", "_size")

    def __init__(self, file: DataFile, position: int, size: int) -> None:
        self._file = file
        self._position = position
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """Return the record."""
        return self._file.read_exactly(self._position, self._size)


class Spool:
    """Takes records into a file in `directory`.

    The file has no name, and is gone when nobody holds the spool or a record.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: DataFile | None = None
        self._end = 0
        self.empty = True
        """Whether no record was taken."""

    def keep(self, data: bytes) -> SpooledRecord:
        """Return what stands for a record until it is written.

        Raises `FileAccessError` where the file cannot take it.
        """
        try:
            if self._file is None:
                self._file = self._nameless_file()
            position, left = self._end, memoryview(data)
            while left:
                left = left[os.pwrite(self._file.descriptor, left, position) :]
                position = self._end + len(data) - len(left)
        except OSError as error:
            action = "keep the records of a large transaction in a temporary file"
            consequence = "nothing of the transaction was written"
            raise FileAccessError(self._directory, action, error, consequence) from error
        record = SpooledRecord(self._file, self._end, len(data))
        self._end = position
        self.empty = False
        return record

    def _nameless_file(self) -> DataFile:
        descriptor, name = tempfile.mkstemp(prefix="perdure-", dir=self._directory)
        file = DataFile(Path(name), descriptor)
        os.unlink(name)
        return file
