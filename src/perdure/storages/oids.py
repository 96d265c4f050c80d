"""Handing out oids: every one only once, and none that is in use."""

import threading
from struct import Struct
from typing import Final

from perdure import native
from perdure.ids import ZERO, after

__all__ = ["OidSource", "pure_oids_from"]

_pack: Final = Struct(">Q").pack


def pure_oids_from(first: int, count: int) -> list[bytes]:
    """Return `count` oids in a row; `first` is the first of them, as a number."""
    return list(map(_pack, range(first, first + count)))


oids_from = native.planning.oids_from if native.planning else pure_oids_from


class OidSource:
    """Counts up from the highest oid in use, or handed out."""

    def __init__(self, highest: bytes = ZERO) -> None:
        self._lock = threading.Lock()
        self.highest = highest

    def next(self) -> bytes:
        """Return an oid that was neither handed out nor seen before."""
        with self._lock:
            self.highest = oid = after(self.highest)
            return oid

    def next_of(self, count: int) -> list[bytes]:
        """Return `count` of them, in order."""
        with self._lock:
            first = int.from_bytes(self.highest, "big") + 1
            oids = oids_from(first, count)
            self.highest = oids[-1]
            return oids

    def seen(self, oid: bytes) -> None:
        """Hand out only higher oids from now on: this one is in use."""
        if oid > self.highest:
            with self._lock:
                self.highest = max(self.highest, oid)
