"""A stretch of a data file as it lies in a backup: stored, verified, and read back.

A piece is the bytes of a data file from one position to another, in a file of
its own, plain or as gzip. So the pieces of a backup, one behind the other, are
the data file: ``cat`` and ``gunzip`` restore it, too.
"""

import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perdure.errors import BackupError, FileAccessError
from perdure.fileops import FileOperations, write_all

__all__ = ["PIECE_BYTES", "Piece", "file_chunks", "read_piece", "store"]

PIECE_BYTES: Final = 1 << 20
"""How much is read, hashed and compressed at once."""

_GZIP: Final = 31  # zlib's number for it
# Of 8.7 MB of source code as objects, level 1 leaves 24.6 % (158 MB/s), 3: 23.1 % (127 MB/s),
# 6: 20.7 % (56 MB/s); lzma 17.7 % (34 MB/s); zstandard 19 % (220 MB/s), which gunzip cannot read.
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes from `start` to `end` of a data file, in the file at `path`.

    `digest` is that of these bytes, in hexadecimal, as `algorithm` makes it.
    """

    path: Path
    start: int
    end: int
    algorithm: str
    digest: str
    compressed: bool


def file_chunks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `end` of an open file; fewer if it ends before."""
    position = start
    while position < end:
        chunk = os.pread(descriptor, min(PIECE_BYTES, end - position), position)
        if not chunk:
            return
        yield chunk
        position += len(chunk)


def store(
    operations: FileOperations, path: Path, chunks: Iterator[bytes], compress: bool
) -> tuple[int, str]:
    """Write `chunks` to a new file at `path`, synced; return their size and their SHA-256.

    The size is that of the bytes before they are compressed.
    """
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP) if compress else None
    sha256 = hashlib.sha256()
    size = position = 0
    descriptor = operations.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for chunk in chunks:
            sha256.update(chunk)
            size += len(chunk)
            written = chunk if compressor is None else compressor.compress(chunk)
            if written:
                position = write_all(operations, descriptor, [written], position)
        if compressor is not None:
            write_all(operations, descriptor, [compressor.flush()], position)
        operations.sync(descriptor)
        if sys.platform != "darwin":  # which has no such call
            # So that what is read back comes from the disk, not from memory.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        operations.close(descriptor)
    return size, sha256.hexdigest()


def read_piece(piece: Piece, told: Callable[[int], object] | None = None) -> Iterator[bytes]:
    """Yield the bytes that a piece holds; `told` gets the number of those that follow.

    Raises `BackupError`, after the last of them at the latest, if they are not
    those that were stored.
    """
    digest = hashlib.new(piece.algorithm, usedforsecurity=False)
    size = 0
    for chunk in _unpacked(piece):
        digest.update(chunk)
        size += len(chunk)
        if told is not None:
            told(len(chunk))
        yield chunk
    if size != piece.end - piece.start:
        raise _damaged(piece, f"{size} bytes of data", f"{piece.end - piece.start}")
    if digest.hexdigest() != piece.digest:
        found = f"{piece.algorithm} {digest.hexdigest()}"
        raise _damaged(piece, found, f"{piece.digest}, as it was stored")


def _unpacked(piece: Piece) -> Iterator[bytes]:
    unpacker: Any = None
    for chunk in _stored(piece):
        if not piece.compressed:
            yield chunk
            continue
        left = chunk
        while left:
            unpacker = unpacker or zlib.decompressobj(_GZIP)
            try:
                unpacked = unpacker.decompress(left, PIECE_BYTES)
            except zlib.error as error:
                raise _damaged(piece, f"bytes that gzip refuses ({error})", "gzip") from error
            if unpacked:
                yield unpacked
            left = unpacker.unconsumed_tail
            if unpacker.eof:  # what follows is another member
                left, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        yield unpacker.flush()
        if not unpacker.eof:
            raise _damaged(piece, "a file that is cut short", "the end of what gzip wrote")


def _stored(piece: Piece) -> Iterator[bytes]:
    try:
        with piece.path.open("rb") as file:
            while chunk := file.read(PIECE_BYTES):
                yield chunk
    except FileNotFoundError:
        expected = f"bytes {piece.start} to {piece.end} of the data file"
        raise _damaged(piece, "no file", expected) from None
    except OSError as error:
        raise FileAccessError(piece.path, "read it", error, "nothing was restored") from error


def _damaged(piece: Piece, found: str, expected: str) -> BackupError:
    advice = "restore an earlier moment (--at), or bring this file back"
    return BackupError(piece.path, found, expected, advice)
