"""What was committed, as a stream: to read from any point, or to be told about.

The stream is the storage's own iteration, so nothing is missed and nothing
comes twice, whoever committed it. Subscribers are called on one thread of the
feed, which starts with the first of them and ends with the last.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.clock import time_of
from perdure.errors import StorageClosedError, Unsupported
from perdure.ids import ZERO, after

__all__ = ["Change", "Feed", "Subscription", "changes"]

logger = logging.getLogger("perdure.objects.feed")


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction: its tid, the oids it wrote, and what it says of itself."""

    tid: bytes
    oids: tuple[bytes, ...]
    user: str
    description: str

    @property
    def time(self) -> datetime:
        """When it was committed, in UTC."""
        return datetime.fromtimestamp(time_of(self.tid), UTC)


def changes(storage: Any, since: bytes = ZERO) -> Iterator[Change]:
    """Yield the transactions later than the tid `since`, oldest first, up to now.

    Raises `Unsupported` if the storage cannot be iterated.
    """
    if not capabilities_of(storage).iteration:
        raise Unsupported(f"{storage.getName()} cannot list its transactions")
    last = storage.lastTransaction()
    return _changes(storage, since, last)


def _changes(storage: Any, since: bytes, last: bytes) -> Iterator[Change]:
    if last <= since:
        return
    for transaction in storage.iterator(after(since), last):
        yield Change(
            tid=transaction.tid,
            oids=tuple(record.oid for record in transaction),
            user=transaction.user.decode("utf-8", "replace"),
            description=transaction.description.decode("utf-8", "replace"),
        )


class Subscription:
    """A callback that is called for each change until `unsubscribe`."""

    def __init__(self, feed: "Feed", callback: Callable[[Change], object], since: bytes) -> None:
        self._feed = feed
        self.callback = callback
        self.since = since  # the feed may be behind: older changes are not for this one

    def unsubscribe(self) -> None:
        """Call no more; a call that is under way in another thread may still end after this."""
        self._feed.remove(self)


class Feed:
    """Tells subscribers of the commits to one storage, in order."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._subscriptions: list[Subscription] = []
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._news = False
        self._closed = False

    def subscribe(self, callback: Callable[[Change], object]) -> Subscription:
        """Call `callback` with each `Change` from now on, on the feed's thread.

        Raises `Unsupported` if the storage cannot be iterated.
        """
        if not capabilities_of(self._storage).iteration:
            raise Unsupported(f"{self._storage.getName()} cannot list its transactions")
        with self._condition:
            if self._closed:
                raise StorageClosedError(f"{self._storage.getName()} is closed")
            subscription = Subscription(self, callback, self._storage.lastTransaction())
            self._subscriptions.append(subscription)
            if self._thread is None:
                # A commit may come before the thread can be told of it: look once.
                self._news = True
                self._thread = threading.Thread(
                    target=self._run,
                    args=(subscription.since,),
                    name="perdure-feed",
                    daemon=True,
                )
                self._thread.start()
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """End a subscription; harmless when done twice."""
        with self._condition:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self._condition.notify_all()

    def changed(self) -> None:
        """Something was committed; costs next to nothing where nobody listens."""
        if self._thread is not None:
            with self._condition:
                self._news = True
                self._condition.notify_all()

    def close(self) -> None:
        """Deliver what was committed, then end; waits for a callback that is under way."""
        with self._condition:
            self._closed = True
            thread = self._thread
            self._condition.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, since: bytes) -> None:
        while True:
            with self._condition:
                while not self._news and self._subscriptions and not self._closed:
                    self._condition.wait()
                self._news = False
                closing = self._closed
                if not self._subscriptions:
                    self._thread = None
                    return
            since = self._deliver(since)
            if closing:
                return

    def _deliver(self, since: bytes) -> bytes:
        try:
            for change in changes(self._storage, since):
                for subscription in list(self._subscriptions):
                    if change.tid > subscription.since:
                        self._call(subscription, change)
                since = change.tid
        except Exception:
            # The next commit tries again from the same place.
            logger.exception("cannot read the changes since 0x%s", since.hex())
        return since

    def _call(self, subscription: Subscription, change: Change) -> None:
        try:
            subscription.callback(change)
        except Exception:
            logger.exception(
                "subscriber %r failed on 0x%s", subscription.callback, change.tid.hex()
            )
