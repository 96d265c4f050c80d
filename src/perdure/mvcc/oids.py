"""Oids for new objects, a number of them at a time: the storage is asked less and less often."""

from collections.abc import Callable
from typing import Any, Final

from perdure import native

__all__ = ["PureOids", "source_of_oids"]

_MOST: Final = 128
"""At a time: those that a connection does not come to use are lost."""


class PureOids:
    """Hands out what `give(count)` returns, up to `most` at a time. Not for several threads."""

    def __init__(self, give: Callable[[int], list[bytes]], most: int) -> None:
        self._give = give
        self._most = most
        self._count = 1
        self._left: list[bytes] = []  # the next one at the end

    def next(self) -> bytes:
        """Return an oid that was never used."""
        if not self._left:
            self._left = self._give(self._count)[::-1]
            self._count = min(2 * self._count, self._most)
        return self._left.pop()


def source_of_oids(storage: Any, batches: bool) -> Callable[[], bytes]:
    """Return what gives oids of `storage` to one connection."""
    if not batches:
        one: Callable[[], bytes] = storage.new_oid
        return one
    oids = native.storing.Oids if native.storing else PureOids
    return oids(storage.new_oids, _MOST).next
