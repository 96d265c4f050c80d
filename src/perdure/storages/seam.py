"""One history out of two storages: a base that stays, and changes that came later.

Every tid in the base is earlier than every tid in the changes; the line between
them is the seam:

    base      t1 t2 t3                <- never written, noticed if it changes
    changes            | t4 t5 t6
                       seam

What there is to know of an object, the changes know first and the base below
them. Committing is left to `seamcommits`.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from perdure.clock import next_tid
from perdure.errors import BaseChangedError, POSKeyError, StorageError
from perdure.ids import MAX_TID, ROOT_OID, ZERO, after, before
from perdure.interfaces import PlainRevision, StoredTransaction, TransactionMetaData

__all__ = ["Seam"]


class Seam:
    """Reads across `base` and `changes`; `base_tid` is the last tid of the base.

    `iterates` and `restores` say what the changes can do. Raises
    `BaseChangedError` if the changes began over an earlier state of the base,
    and whatever the base raises if it cannot be read.
    """

    def __init__(self, base: Any, changes: Any, *, iterates: bool, restores: bool) -> None:
        self._base = base
        self._changes = changes
        self._iterates = iterates
        self._restores = restores
        self._starting = threading.Lock()
        self.base_tid: bytes = base.lastTransaction()
        with suppress(POSKeyError):
            base.loadBefore(ROOT_OID, MAX_TID)  # it may be closed
        self._check_order()

    def _check_order(self) -> None:
        last = self._changes.lastTransaction()
        if last != ZERO:
            first = next(self._changes.iterator()).tid if self._iterates else last
            if first <= self.base_tid:
                raise BaseChangedError(self._base.getName(), before(first), self.base_tid)

    # Time

    def is_clock_behind(self) -> bool:
        """Return whether the first change would get a tid from before the base."""
        behind = self._changes.lastTransaction() == ZERO and next_tid(ZERO) <= self.base_tid
        return bool(behind)

    def make_room_for_changes(self) -> None:
        """Make sure that changes get tids after the base, though the clock is behind it.

        Raises `StorageError` where the changes cannot be told to.
        """
        with self._starting:
            if self.is_clock_behind():
                self._start_after_base()

    def _start_after_base(self) -> None:
        # An empty transaction tells the changes where time is; from there they go on.
        if not self._restores:
            raise StorageError(
                f"the clock is behind the last transaction of {self._base.getName()}, and "
                f"{self._changes.getName()} cannot be told to start later; correct the clock"
            )
        transaction = TransactionMetaData(description="start of changes")
        self._changes.tpc_begin(transaction, after(self.base_tid))
        self._changes.tpc_vote(transaction)
        self._changes.tpc_finish(transaction)

    # The base

    def check_base(self) -> None:
        """Raise `BaseChangedError` if there is something new in the base."""
        found = self._base.lastTransaction()
        if found != self.base_tid:
            raise BaseChangedError(self._base.getName(), self.base_tid, found)

    def load_from_base(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        """Return what the base had just before `tid`; errors as `loadBefore` has them."""
        self.check_base()
        revision: PlainRevision | None = self._base.loadBefore(oid, tid)
        if revision is not None and max(revision[1], revision[2] or ZERO) > self.base_tid:
            self.check_base()  # it changed since the check
        return revision

    def newest_in_base(self, oid: bytes) -> bytes | None:
        """Return the tid of the newest record in the base, gone or not; None if unknown."""
        self.check_base()
        return _newest_tid(self._base, oid)

    # The changes

    def newest_in_changes(self, oid: bytes) -> bytes | None:
        """Return the tid of the newest record in the changes, gone or not; None if unknown."""
        return _newest_tid(self._changes, oid)

    def first_in_changes(self, oid: bytes) -> bytes:
        """Return the tid of the oldest record in the changes; `POSKeyError` if there is none."""
        tid: bytes = self._changes.history(oid, sys.maxsize)[-1]["tid"]
        return tid

    def _was_packed(self, tid: bytes) -> bool:
        if not self._iterates:
            return False
        transaction = next(self._changes.iterator(tid, tid), None)
        return transaction is not None and transaction.status == "p"

    # Both

    def last_transaction(self) -> bytes:
        tid: bytes = self._changes.lastTransaction()
        return self.base_tid if tid == ZERO else tid

    def load_before(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        try:
            revision: PlainRevision | None = self._changes.loadBefore(oid, tid)
        except POSKeyError:
            if self.newest_in_changes(oid) is None:
                return self.load_from_base(oid, tid)
            # Gone by then, or first changed since the call above: the same again tells.
            revision = self._changes.loadBefore(oid, tid)
        return self._load_below_changes(oid, tid) if revision is None else revision

    def _load_below_changes(self, oid: bytes, tid: bytes) -> PlainRevision | None:
        """Return the revision of the base, for an object that was changed only later."""
        try:
            revision = self.load_from_base(oid, tid)
        except POSKeyError:
            return None
        if revision is None or revision[2] is not None:
            return revision
        first = self.first_in_changes(oid)
        if tid > after(self.base_tid) and self._was_packed(first):
            return None  # an earlier change may have been dropped
        return revision[0], revision[1], first

    def load_serial(self, oid: bytes, serial: bytes) -> bytes:
        storage = self._base if serial <= self.base_tid else self._changes
        data: bytes = storage.loadSerial(oid, serial)
        return data

    def history(self, oid: bytes, size: int) -> list[Mapping[str, Any]]:
        self.check_base()
        entries: list[Mapping[str, Any]] = []
        with suppress(POSKeyError):
            entries.extend(self._changes.history(oid, size))
        if len(entries) < size:
            try:
                entries.extend(self._base.history(oid, size - len(entries)))
            except POSKeyError:
                if not entries:
                    raise
        return entries

    def iterator(self, start: bytes | None, stop: bytes | None) -> Iterator[StoredTransaction]:
        if start is None or start <= self.base_tid:
            self.check_base()
            yield from self._base.iterator(start, stop)
            self.check_base()
        yield from self._changes.iterator(start, stop)


def _newest_tid(storage: Any, oid: bytes) -> bytes | None:
    try:
        tid: bytes = storage.history(oid)[0]["tid"]
    except POSKeyError:
        return None
    return tid
