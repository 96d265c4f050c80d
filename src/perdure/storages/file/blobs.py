"""The blobs of a file storage, which may have none."""

import os
from pathlib import Path
from typing import BinaryIO

from perdure.blobs import BlobDirectory, StagedBlobs
from perdure.blobs.blobfile import OpenedBlob
from perdure.errors import Unsupported

__all__ = ["FileBlobs"]


class FileBlobs:
    """The blobs beside the data file at `path`; `directory` is None where it keeps none.

    Methods raise `Unsupported` then.
    """

    def __init__(self, path: Path, directory: BlobDirectory | None) -> None:
        self._path = path
        self._directory = directory

    def path_of(self, oid: bytes, serial: bytes) -> str:
        """Return where a blob is; `MissingBlobError` if it is not there."""
        return os.fspath(self._used().find(oid, serial))

    def open(self, oid: bytes, serial: bytes, blob: OpenedBlob | None) -> BinaryIO:
        """Open a blob for reading, as a file of `blob` if given; `MissingBlobError` as above."""
        return self._used().open(oid, serial, blob)

    def temporary(self) -> str:
        """Return the directory in which files wait to become blobs."""
        return os.fspath(self._used().temporary)

    def staged(self, blobs: StagedBlobs | None) -> StagedBlobs:
        """Return the blobs of a transaction."""
        if blobs is None:
            raise self._unsupported()
        return blobs

    def _used(self) -> BlobDirectory:
        if self._directory is None:
            raise self._unsupported()
        return self._directory

    def _unsupported(self) -> Unsupported:
        return Unsupported(f"{self._path} keeps no blobs; open it with blob_dir")
