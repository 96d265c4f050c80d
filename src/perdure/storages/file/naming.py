"""Which file a path stands for, asked without asking for its times.

Since Linux 6.13, file systems have to note a new time at the first write after somebody saw
the last one, and a sync after that write takes half as long again. ``stat`` asks for times,
``statx(2)`` for what it is told to, but Python has no call of it before 3.15.
"""

import os
from collections.abc import Callable
from struct import Struct
from typing import Final

from perdure import native

__all__ = ["names_file"]

Identity = tuple[int, int]
"""The device and the inode."""

_AT_FDCWD: Final = -100
_STATX_INO: Final = 0x100
_STATX_BYTES: Final = 256
_FOUND: Final = Struct("=32xQ96xII")
"""Of a ``struct statx``, see ``linux/stat.h``: the inode, and both parts of the device's number."""


def _stat(path: bytes) -> Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _statx() -> Callable[[bytes], Identity | None] | None:
    """Return what asks by ``statx``; None with another system, or an older C library."""
    import ctypes

    try:
        statx = ctypes.CDLL(None).statx
    except (AttributeError, OSError, TypeError):
        return None

    def ask(path: bytes) -> Identity | None:
        found = ctypes.create_string_buffer(_STATX_BYTES)
        if statx(_AT_FDCWD, path, 0, _STATX_INO, found) != 0:
            return _stat(path)  # which knows the reason
        inode, major, minor = _FOUND.unpack_from(found)
        return os.makedev(major, minor), inode

    return ask


# Not at the first question: who asks may have given up the right to read modules.
_ask: Final = (None if native.courtesy else _statx()) or _stat


def names_file(path: bytes, device: int, inode: int) -> bool:
    """Return whether `path` stands for the file `inode` of `device`; `OSError` if none can tell.

    Native code has a function of its own for this, so here only ``stat`` is asked beside it.
    """
    return _ask(path) == (device, inode)
