"""Whose turn it is: a connection belongs to one thread at a time, and only while it is open.

It may pass from one thread to another, but a call while another thread is
inside is refused.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import RLock
from typing import TYPE_CHECKING, Protocol

from perdure import native
from perdure.errors import ConnectionStateError

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Latch", "PureLatch", "Turn", "new_latch", "refuse_closed", "refuse_thread"]


class Latch(Protocol):
    """Lets one thread in, any number of times.

    `acquire(False)` returns whether it is let in, `acquire(True, timeout_s)`
    waits for that; each that was is followed by `release()`. `closed` says
    whether there is anything to be let into.
    """

    closed: bool

    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool: ...

    def release(self) -> None: ...


class PureLatch:
    """The latch without native code."""

    __slots__ = ("acquire", "closed", "release")

    def __init__(self) -> None:
        lock = RLock()  # a call may lead to another one
        self.acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release
        self.closed = True


def new_latch() -> Latch:
    """Return a latch that nobody has entered."""
    return native.jar.Latch() if native.jar else PureLatch()


class Turn:
    """Who is inside one connection; `with turn("do something with"):` is one call.

    What cannot afford an object for each call uses `latch` itself.
    """

    __slots__ = ("_connection", "latch")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.latch = new_latch()

    def often(self, what: str, even_if_closed: bool = False) -> AbstractContextManager[None]:
        """Return the same as by a call, to be kept and used again and again."""
        call = self(what, even_if_closed)
        return native.jar.Call(self.latch, call.__enter__) if native.jar else call

    def __call__(self, what: str, even_if_closed: bool = False) -> "_Call":
        """Return a context manager that refuses a second thread, and a closed connection."""
        return _Call(self._connection, self.latch, what, even_if_closed)


class _Call(AbstractContextManager[None]):
    __slots__ = ("_connection", "_even_if_closed", "_latch", "_what")

    def __init__(
        self, connection: "Connection", latch: Latch, what: str, even_if_closed: bool
    ) -> None:
        self._connection = connection
        self._latch = latch
        self._what = what
        self._even_if_closed = even_if_closed

    def __enter__(self) -> None:
        if not self._latch.acquire(False):
            refuse_thread(self._connection, self._what)
        if self._latch.closed and not self._even_if_closed:
            self._latch.release()
            refuse_closed(self._connection, self._what)

    def __exit__(self, *exc_info: object) -> None:
        self._latch.release()


def refuse_closed(connection: "Connection", what: str) -> None:
    raise ConnectionStateError(
        f"cannot {what} {connection!r}: it is closed; open another one with db.open()"
    )


def refuse_thread(connection: "Connection", what: str) -> None:
    raise ConnectionStateError(
        f"cannot {what} {connection!r}: another thread is using it; "
        "open a connection for each thread"
    )
