"""One writer per file: the lock, and who holds it.

The lock file stands beside the data file, under ZODB's name for it, so that
Perdure and ZODB keep each other out. It says who locked it last:

    " " pid " since " time "\\n"
"""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from zc.lockfile import LockError, SimpleLockFile

from perdure.errors import FileLockedError

__all__ = ["FileLock"]

log = logging.getLogger("perdure.storages.file")


class FileLock:
    """Held from construction until `release`, or the end of the process.

    Raises `FileLockedError` if another process, or another storage of this one,
    holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".lock")
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        try:
            self._lock = SimpleLockFile(str(self.path))
        except LockError:
            raise FileLockedError(path, _holder(self.path)) from None
        try:
            _overwrite(self.path, f" {os.getpid()} since {since}\n".encode())
        except OSError as error:
            # The lock holds all the same, and a full disk must not keep anybody out.
            log.warning("%s: cannot say who holds it: %s", self.path, error)

    def release(self) -> None:
        self._lock.close()


def _overwrite(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # Not emptied first: then ext4 would take milliseconds to write it to the disk at once.
        os.ftruncate(descriptor, os.write(descriptor, text))
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    """Return who holds the lock file, as far as it tells."""
    try:
        words = path.read_text(errors="replace").strip().split(maxsplit=1)
    except OSError:
        words = []
    if not words or not words[0].isdecimal():
        return "another process"
    if int(words[0]) == os.getpid():
        return " ".join(["this process, pid", *words])
    return " ".join(["the process with pid", *words])
