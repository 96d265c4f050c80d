"""Which file a path stands for, asked without asking for its times.

Since Linux 6.13, file systems have to note a new time at the first write after somebody saw
the last one, and a sync after that write takes half as long again. ``stat`` asks for times,
``statx(2)`` for what it is told to, but Python has no call of it before 3.15.
"""

import ctypes
import os
from collections.abc import Callable
from struct import Struct
from typing import Final

__all__ = ["names_file"]

_AT_FDCWD: Final = -100
_STATX_INO: Final = 0x100
_STATX_BYTES: Final = 256
_FOUND: Final = Struct("=32xQ96xII")
"""Of a ``struct statx``, see ``linux/stat.h``: the inode, and both parts of the device's number."""


def _of_the_system() -> Callable[[int, bytes, int, int, ctypes.Array[ctypes.c_char]], int] | None:
    try:
        statx: Callable[..., int] = ctypes.CDLL(None).statx
    except (AttributeError, OSError, TypeError):  # another system, or an older C library
        return None
    return statx


_statx: Final = _of_the_system()


def names_file(path: bytes, device: int, inode: int) -> bool:
    """Return whether `path` stands for the file `inode` of `device`; `OSError` if none can tell."""
    if _statx is not None:
        found = ctypes.create_string_buffer(_STATX_BYTES)
        if _statx(_AT_FDCWD, path, 0, _STATX_INO, found) == 0:
            number, major, minor = _FOUND.unpack_from(found)
            return bool(number == inode and os.makedev(major, minor) == device)
    try:
        named = os.stat(path)  # which knows the reason, too
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (device, inode)
