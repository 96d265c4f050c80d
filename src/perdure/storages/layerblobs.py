"""The blobs of a transforming layer: records transformed, files sealed or left as they are."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from perdure.blobs import link_or_copy, unused_path
from perdure.errors import FileAccessError
from perdure.fileops import FileOperations
from perdure.ids import ZERO
from perdure.records.transforms import Facts, RecordTransform
from perdure.storages.sealedblobs import OpenedFiles, SealedBlobs, SealedFile

__all__ = ["LayerBlobs"]

_NOTHING_KEPT = "nothing of the transaction was kept"

Put = Callable[[bytes, str], object]
"""Called with a transformed record and the path of the file that becomes its blob."""


class LayerBlobs:
    """Blobs on their way to `base` and back; with `sealed`, their files are encrypted."""

    def __init__(self, base: Any, transform: RecordTransform, sealed: SealedBlobs | None) -> None:
        self._base = base
        self._transform = transform
        self._sealed = sealed
        self._opened = OpenedFiles()

    def store(self, oid: bytes, data: bytes, source: str, put: Put, repeated: bytes = ZERO) -> None:
        """Have `put` take the record and the file `source`, which is gone then.

        `repeated` is the tid of the revision that it repeats, if it does.
        """
        if self._sealed is None:
            put(self._transform.transform(oid, data, Facts(repeated)), source)
            return
        file = unused_path(self._base.temporaryDirectory(), "sealed-", "")
        try:
            blob_id = self._seal(oid, source, file)
            put(self._transform.transform(oid, data, Facts(repeated, blob_id)), str(file))
            os.unlink(source)
        finally:
            with suppress(FileNotFoundError):
                file.unlink()  # it moved, unless it was refused

    def _seal(self, oid: bytes, source: str, file: Path) -> bytes:
        assert self._sealed is not None  # noqa: S101  whoever calls looked
        try:
            return self._sealed.seal(oid, source, file)
        except OSError as error:
            raise FileAccessError(source, "encrypt it as a blob", error, _NOTHING_KEPT) from error

    def store_again(self, oid: bytes, file_tid: bytes, data: bytes, facts: Facts, put: Put) -> None:
        """Have `put` take a record and the file that the revision `file_tid` has."""
        path = self._base.loadBlob(oid, file_tid)
        again = unused_path(self._base.temporaryDirectory(), "again-", "")
        link_or_copy(FileOperations(), Path(path), again)
        put(self._transform.transform(oid, data, facts), str(again))

    def path(self, oid: bytes, tid: bytes) -> str:
        """Return the path of a blob's file, where necessary of a decrypted copy."""
        path: str = self._base.loadBlob(oid, tid)
        if self._sealed is None:
            return path
        known = self._opened.known(oid, tid)
        if known is not None:
            return known
        sealed = self._open(self._sealed, oid, tid, path, None)
        if sealed is None:
            return path
        with sealed:
            return self._opened.copy(sealed, oid, tid)

    def open(self, oid: bytes, tid: bytes, blob: Any) -> Any:
        """Return a blob's file, open for reading."""
        if self._sealed is not None:
            path = self._base.loadBlob(oid, tid)
            sealed = self._open(self._sealed, oid, tid, path, blob)
            if sealed is not None:
                return sealed
        return self._base.openCommittedBlobFile(oid, tid, blob)

    def _open(
        self, sealed: SealedBlobs, oid: bytes, tid: bytes, path: str, blob: Any
    ) -> SealedFile | None:
        """Open an encrypted file; None for a blob from before there was encryption."""
        stored = self._base.loadSerial(oid, tid)
        self._transform.untransform(oid, tid, stored)  # else its facts mean nothing
        blob_id = self._transform.facts(stored).blob
        return sealed.open(oid, tid, blob_id, path, blob) if blob_id else None

    def close(self) -> None:
        """Remove the decrypted copies."""
        self._opened.close()
