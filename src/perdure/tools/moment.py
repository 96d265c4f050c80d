"""A storage as it is, or was, at one moment: records by oid, and all of them.

Nothing is imported for a record and no object is made of it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.clock import time_of
from perdure.errors import (
    CorruptDataError,
    DamagedRecordError,
    MisplacedRecordError,
    POSKeyError,
    TransformError,
    Unsupported,
)
from perdure.ids import ZERO, after
from perdure.interfaces import Loaded
from perdure.tools.progress import Progress

__all__ = ["Moment", "datetime_of"]

Damaged = Callable[[CorruptDataError | TransformError], object]

_TELL_EVERY = 1000
"""Records between two calls of a progress callback."""


def datetime_of(tid: bytes) -> datetime:
    """Return the moment that a tid stands for, in UTC."""
    return datetime.fromtimestamp(time_of(tid), UTC)


class Moment:
    """The records of `storage` as of the tid `at`, that transaction included; by default now.

    Commits that come later are not seen.
    """

    def __init__(self, storage: Any, at: bytes | None = None) -> None:
        last = storage.lastTransaction()
        self.storage = storage
        self.tid: bytes = last if at is None else min(at, last)
        self.is_newest = self.tid == last

    def load(self, oid: bytes) -> Loaded:
        """Return an object's record and its tid; `POSKeyError` if there was none then."""
        found = self.storage.loadBefore(oid, after(self.tid))
        if found is None:
            raise POSKeyError(oid)
        return Loaded(found[0], found[1])

    def records(
        self, progress: Progress | None = None, damaged: Damaged | None = None
    ) -> Iterator[tuple[bytes, Loaded]]:
        """Yield the oid and the record of every object, in no particular order.

        `progress` counts objects. `damaged` is told of a record whose place in a data file is
        damaged, or that a layer cannot turn back, and the others follow; by default that is
        raised. Raises `Unsupported` if the storage cannot list what it has.
        """
        total = len(self.storage) if self.is_newest else None
        done = 0
        for oid, loaded in self._listed(damaged):
            yield oid, loaded
            done += 1
            if progress is not None and done % _TELL_EVERY == 0:
                progress(done, None if total is None else max(done, total))
        if progress is not None:
            progress(done, done)

    def _listed(self, damaged: Damaged | None) -> Iterator[tuple[bytes, Loaded]]:
        capabilities = capabilities_of(self.storage)
        if self.tid == ZERO:
            return
        if self.is_newest and capabilities.record_iteration:
            yield from self._by_oid(damaged)
        elif capabilities.iteration:
            yield from self._by_transaction()
        else:
            raise Unsupported(f"{self.storage.getName()} cannot list its records")

    def _by_oid(self, damaged: Damaged | None) -> Iterator[tuple[bytes, Loaded]]:
        following: bytes | None = None
        while True:
            try:
                oid, tid, data, following = self.storage.record_iternext(following)
            except ValueError:  # there is not even one
                return
            except (CorruptDataError, DamagedRecordError, MisplacedRecordError) as error:
                if damaged is None or error.oid is None:
                    raise
                damaged(error)
                following = after(error.oid)
                continue
            if tid <= self.tid:
                yield oid, Loaded(data, tid)
            else:  # changed, or created, since this moment
                yield from self._if_there(oid)
            if following is None:
                return

    def _by_transaction(self) -> Iterator[tuple[bytes, Loaded]]:
        for transaction in self.storage.iterator(None, self.tid):
            for record in transaction:
                if record.data is None:
                    continue
                for oid, loaded in self._if_there(record.oid):
                    if loaded.tid == transaction.tid:
                        yield oid, loaded

    def _if_there(self, oid: bytes) -> Iterator[tuple[bytes, Loaded]]:
        try:
            yield oid, self.load(oid)
        except POSKeyError:
            return  # not yet, or not any more
