"""How busy a database was: loads, stores and closed connections over the last while."""

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Activity", "ActivityMonitor"]


class _Use(NamedTuple):
    end_s: float
    loads: int
    stores: int


class Activity(TypedDict):
    """What happened from `start` to `end`, in seconds since 1970."""

    start: float
    end: float
    loads: int
    stores: int
    connections: int


class ActivityMonitor:
    """Adds up what connections did, each time one is closed.

    `history_length` is how many seconds back it remembers.
    """

    def __init__(self, history_length: float = 3600) -> None:
        self.history_length = history_length
        self._uses: deque[_Use] = deque()
        self._lock = threading.Lock()

    def closedConnection(self, conn: "Connection") -> None:
        """Note what `conn` did since it was opened, and start it at zero."""
        now_s = time.time()
        loads, stores = conn.getTransferCounts(True)
        with self._lock:
            self._uses.append(_Use(now_s, loads, stores))
            self._forget(now_s)

    def getHistoryLength(self) -> float:
        return self.history_length

    def setHistoryLength(self, history_length: float) -> None:
        """Remember `history_length` seconds from now on."""
        with self._lock:
            self.history_length = history_length
            self._forget(time.time())

    def getActivityAnalysis(
        self, start: float = 0, end: float = 0, divisions: int = 10
    ) -> list[Activity]:
        """Return what happened between two times, in `divisions` equal parts, oldest first.

        Times are in seconds since 1970; 0 stands for as far back as is
        remembered, and for now.
        """
        now_s = time.time()
        end = end or now_s
        start = start or now_s - self.history_length
        length = (end - start) / divisions
        with self._lock:
            uses = [use for use in self._uses if start <= use.end_s <= end]
        parts = [
            Activity(
                start=start + number * length,
                end=start + (number + 1) * length,
                loads=0,
                stores=0,
                connections=0,
            )
            for number in range(divisions)
        ]
        for use in uses:
            part = parts[min(int((use.end_s - start) / length), divisions - 1)]
            part["loads"] += use.loads
            part["stores"] += use.stores
            part["connections"] += 1
        return parts

    def _forget(self, now_s: float) -> None:
        while self._uses and self._uses[0].end_s < now_s - self.history_length:
            self._uses.popleft()
