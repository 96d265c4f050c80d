"""The C library's allocator, kept from learning.

glibc gives large blocks back to the system at once until it has seen a few of
them freed, and keeps them from then on. Which product's blocks it saw first
would decide how fast the other one handles a megabyte: a factor of four.
"""

import ctypes

__all__ = ["settle"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MOST = 1 << 30


def settle() -> str:
    """Have the allocator keep what it got, as it does in a program that has run for a while.

    Returns what was done, for the report.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "as it is"
    # The bound for mapped blocks may not exceed half of a heap; 32 MiB is what glibc allows.
    done = mallopt(_M_MMAP_THRESHOLD, 32 << 20) and mallopt(_M_TRIM_THRESHOLD, _MOST)
    return "keeps blocks of up to 32 MiB" if done else "as it is"
