"""Readers give way to commits.

One thread at a time runs Python. A thread that loads one object after the other
lets go of that right at each read, and has taken it back before a thread that
waits for it is awake: so a commit, which calls the system several times, would
wait for milliseconds after each call. While one is under way, a thread that
loads steps aside now and then, for long enough. One that has just committed
need not: it was away itself, and waiting threads had their turn.

Native code knows more: its calls of the system say that they are back, and a thread
that loads in C steps aside as soon as one waits.
"""

import os
import threading
import time
from contextlib import AbstractContextManager
from typing import Final

from perdure import native

__all__ = ["Pacing", "PureCommitting", "committing"]

_TURN_S: Final = 0.00003
"""Between two times that a reader gives way: three loads or so."""

_ASIDE_S: Final = 0.00002
"""For how long, at least: where the system is not told to hurry, it is 70 us."""

_RETURNED_S: Final = 0.0001
"""For how long who has committed need not."""


class _Returned(threading.local):
    """When a part of a commit ended in this thread."""

    at_s = 0.0


_returned: Final = _Returned()


class _UnderWay:
    """How many commits are, in this process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def begins(self) -> None:
        self.count += 1

    def ends(self) -> None:
        # It may have begun before a fork, and been forgotten.
        self.count = max(self.count - 1, 0)
        _returned.at_s = time.perf_counter()

    def forget(self) -> None:
        self.count = 0


_under_way: Final = _UnderWay()
if hasattr(os, "register_at_fork"):  # a forked process has none of the other threads
    os.register_at_fork(after_in_child=_under_way.forget)


class PureCommitting:
    """What `committing` is without native code."""

    __slots__ = ()

    def __enter__(self) -> None:
        _under_way.begins()

    def __exit__(self, *exc_info: object) -> None:
        _under_way.ends()


committing: Final[AbstractContextManager[None]] = (
    native.courtesy.Committing() if native.courtesy else PureCommitting()
)
"""The body is a part of a commit that calls the system."""


class Pacing:
    """Has one thread that loads give way; native loading does it by itself, for all at once."""

    __slots__ = ("_last_s", "under_way")

    def __init__(self) -> None:
        self.under_way = _under_way
        self._last_s = 0.0

    def give_way(self) -> None:
        """Step aside, if that was not done a moment ago, nor a commit of this thread."""
        now_s = time.perf_counter()
        if now_s - self._last_s >= _TURN_S and now_s - _returned.at_s >= _RETURNED_S:
            time.sleep(_ASIDE_S)
            self._last_s = time.perf_counter()
