"""Reading a file as `cat` does, and having the system forget it: what a check is measured by."""

import os
from pathlib import Path

__all__ = ["forget", "read_plainly"]

PIECE_BYTES = 1 << 20


def read_plainly(path: Path) -> int:
    """Read a file from its beginning to its end, a megabyte at a time; return its size."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = 0
        while data := os.read(descriptor, PIECE_BYTES):
            size += len(data)
        return size
    finally:
        os.close(descriptor)


def forget(path: Path) -> None:
    """Have nothing of a file in the system's cache, so that reading it takes the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)  # what is not on the disk yet cannot be forgotten
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
