"""Blobs that are encrypted, in chunks: written and read without ever being whole in memory.

    file   := ".eb" version:1 key:4 check:4 oid:8 blob:16 chunk+
    chunk  := ciphertext tag:16          of 65,536 bytes, the last one of fewer, perhaps none

Every file is encrypted with AES-256-GCM and a key of its own, derived from `blob`,
which is random and stands in the record of the blob too; so a file belongs to one
record. The nonce of a chunk is its number, and whether it is the last one: chunks
cannot be exchanged, left out or cut off unnoticed. Any of them can be read alone.
"""

import hmac
import io
import os
import shutil
import tempfile
import threading
import weakref
import zlib
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from perdure.blobs import unused_path
from perdure.errors import DamagedRecordError, MisplacedRecordError
from perdure.ids import oid_repr
from perdure.records.encryption import BLOB_ID_SIZE, TAG_SIZE, aes_gcm, broken_seal
from perdure.records.keyring import KeyRing

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["OpenedFiles", "SealedBlobs"]

_CHUNK: Final = 1 << 16
_SEALED_CHUNK: Final = _CHUNK + TAG_SIZE
_BEFORE_CHECK: Final = Struct(">4s4s")
_HEAD: Final = Struct(f">4s4sI8s{BLOB_ID_SIZE}s")
_MAGIC: Final = b".eb\x01"
_ADVICE: Final = "restore it from a backup or a copy"


class SealedBlobs:
    """Encrypts files with the current key of a ring, decrypts them with all of them."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def seal(self, oid: bytes, source: str, target: Path) -> bytes:
        """Write the file `source`, encrypted, to the new file `target`; return the blob's id.

        Raises `OSError`.
        """
        blob_id = os.urandom(BLOB_ID_SIZE)
        key = self._keys.current
        check = zlib.crc32(_BEFORE_CHECK.pack(_MAGIC, key.id))
        header = _HEAD.pack(_MAGIC, key.id, check, oid, blob_id)
        cipher = _cipher(key.blobs, header)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as sealed, open(source, "rb", buffering=0) as plain:
            sealed.write(header)
            number = 0
            chunk = _read(plain)
            while True:
                following = _read(plain) if len(chunk) == _CHUNK else b""
                sealed.write(cipher.encrypt(_nonce(number, last=not following), chunk, header))
                if not following:
                    return blob_id
                chunk = following
                number += 1

    def open(
        self, oid: bytes, tid: bytes, blob_id: bytes, path: str, blob: Any = None
    ) -> "SealedFile":
        """Open an encrypted file for reading, as a file of `blob` if given.

        Raises `UnknownKeyError`, `MisplacedRecordError` where it belongs to another
        record, and `DamagedRecordError`, which reading may raise, too.
        """
        return SealedFile(self._keys, oid, tid, blob_id, path, blob)


class SealedFile(io.RawIOBase):
    """The plain content of an encrypted file, from any position on."""

    def __init__(
        self, keys: KeyRing, oid: bytes, tid: bytes, blob_id: bytes, path: str, blob: Any
    ) -> None:
        super().__init__()
        self.name = path
        self.mode = "rb"
        self.blob = None
        self._oid, self._tid = oid, tid
        self._position = 0
        self._number, self._chunk = -2, b""  # no chunk, nor the one before the first
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sealed_size = os.fstat(self._descriptor).st_size - _HEAD.size
            self._header = os.pread(self._descriptor, _HEAD.size, 0)
            self._check_header(blob_id)
            key = keys.find(self._header[4:8], oid, tid)
            self._cipher = _cipher(key.blobs, self._header)
            self._chunks = -(-sealed_size // _SEALED_CHUNK)
            self._size = sealed_size - self._chunks * TAG_SIZE
            self._read_chunk(self._chunks - 1)  # which says that nothing was cut off
        except BaseException:
            os.close(self._descriptor)
            self._descriptor = -1
            raise
        self.blob = blob

    def _check_header(self, blob_id: bytes) -> None:
        header = self._header
        whole = len(header) == _HEAD.size and header[:4] == _MAGIC
        if not whole or zlib.crc32(header[: _BEFORE_CHECK.size]) != _HEAD.unpack(header)[2]:
            raise self._damaged("no header of an encrypted blob")
        _, _, _, oid, found = _HEAD.unpack(header)
        if oid != self._oid or not hmac.compare_digest(found, blob_id):
            text = f"its blob {self.name} is one of oid {oid_repr(oid)}, of another revision"
            raise MisplacedRecordError(self._oid, self._tid, text, _ADVICE)

    def _damaged(self, what: str) -> DamagedRecordError:
        found = f"found {what} in its blob {self.name}"
        return DamagedRecordError(self._oid, self._tid, found, _ADVICE)

    def _read_chunk(self, number: int) -> bytes:
        if number != self._number:
            at = _HEAD.size + number * _SEALED_CHUNK
            sealed = os.pread(self._descriptor, _SEALED_CHUNK, at) if number >= 0 else b""
            nonce = _nonce(max(number, 0), last=number == self._chunks - 1)
            try:
                self._chunk = self._cipher.decrypt(nonce, sealed, self._header)
            except broken_seal():
                raise self._damaged(f"a damaged chunk, or the end, at byte {at}") from None
            self._number = number
        return self._chunk

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("the file is encrypted: what its descriptor reads is of no use")

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._check_open()
        start = {0: 0, 1: self._position, 2: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._check_open()
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target) and self._position < self._size:
            number, offset = divmod(self._position, _CHUNK)
            piece = self._read_chunk(number)[offset : offset + len(target) - done]
            target[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        if self._descriptor >= 0:
            if self.blob is not None:
                self.blob.closed(self)
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()


class OpenedFiles:
    """Decrypted files, for those who need a path: in a directory that goes with the storage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: str | None = None
        self._paths: dict[tuple[bytes, bytes], str] = {}
        self._remove: weakref.finalize[..., OpenedFiles] | None = None

    def known(self, oid: bytes, tid: bytes) -> str | None:
        """Return the path of a copy that was made before."""
        path = self._paths.get((oid, tid))
        return path if path is not None and os.path.exists(path) else None

    def copy(self, opened: SealedFile, oid: bytes, tid: bytes) -> str:
        """Return the path of a file, for its owner only, with what `opened` holds."""
        with self._lock:
            if self._directory is None:
                self._directory = tempfile.mkdtemp(prefix="perdure-", suffix=".opened")
                self._remove = weakref.finalize(self, _remove, self._directory, os.getpid())
        path = unused_path(self._directory, f"{oid_repr(oid)}-", ".blob")
        with open(path, "xb", opener=_privately) as target:
            shutil.copyfileobj(opened, target, _CHUNK)
        os.chmod(path, 0o400)
        self._paths[oid, tid] = str(path)
        return str(path)

    def close(self) -> None:
        """Remove them all. Harmless when done twice."""
        if self._remove is not None:
            self._remove()


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # and not a process that was forked off
        shutil.rmtree(path, ignore_errors=True)


def _cipher(key: bytes, header: bytes) -> Any:
    return aes_gcm()(hmac.digest(key, header, "sha256"))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read(plain: io.FileIO) -> bytes:
    """Return the next chunk: whole, unless the file ends."""
    pieces = []
    missing = _CHUNK
    while missing and (piece := plain.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
