"""Handing out oids: every one only once, and none that is in use."""

import threading

from perdure.ids import ZERO, after

__all__ = ["OidSource"]


class OidSource:
    """Counts up from the highest oid in use."""

    def __init__(self, highest: bytes = ZERO) -> None:
        self._lock = threading.Lock()
        self._highest = highest

    def next(self) -> bytes:
        """Return an oid that was neither handed out nor seen before."""
        with self._lock:
            self._highest = oid = after(self._highest)
            return oid

    def seen(self, oid: bytes) -> None:
        """Hand out only higher oids from now on: this one is in use."""
        if oid > self._highest:
            with self._lock:
                self._highest = max(self._highest, oid)
