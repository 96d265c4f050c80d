"""Commits over a seam: what is written goes to the changes, what it relies on is on both sides.

A change of an object that only the base has yet conflicts here, for the changes know
nothing of it; so does what was only read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from perdure.errors import ReadConflictError, StorageError
from perdure.interfaces import HasMetaData
from perdure.storages.gate import Gate
from perdure.storages.plan import Resolve
from perdure.storages.seam import Seam

__all__ = ["SeamCommits", "SeamDraft"]


@dataclass(slots=True)
class SeamDraft:
    """What a transaction needs besides what the changes hold of it."""

    resolved: set[bytes] = field(default_factory=set)
    relied_on: dict[bytes, bytes] = field(default_factory=dict)  # oid -> serial
    needs_clock: bool = True  # whether it gets its tid from there
    undoes: Callable[[bytes], list[bytes]] | None = None  # how, once there was an undo


class SeamCommits:
    """The transactions that write to `changes`, from begin to finish or abort.

    `resolve` merges two changes, `newest` returns the tid of the current record, from
    whatever side of `seam` it is; it raises `POSKeyError`. `gate` says who may call.
    """

    def __init__(
        self, changes: Any, seam: Seam, resolve: Resolve, newest: Callable[[bytes], bytes]
    ) -> None:
        self.gate: Gate[SeamDraft] = Gate()
        self._changes = changes
        self._seam = seam
        self._resolve = resolve
        self._newest = newest

    def begin(self, transaction: HasMetaData, tid: bytes | None, status: str) -> None:
        """Let a transaction in; `BaseChangedError` if the base did not stay as it is."""
        self.gate.begin(transaction, SeamDraft(needs_clock=tid is None))
        try:
            self._seam.check_base()
            if tid is None:
                self._seam.make_room_for_changes()
                self._changes.tpc_begin(transaction)
            else:
                self._changes.tpc_begin(transaction, tid, status)
        except BaseException:
            with self.gate.aborting(transaction):
                raise

    def resolved(
        self, oid: bytes, serial: bytes, data: bytes, transaction: HasMetaData
    ) -> tuple[bytes, bytes]:
        """Return the record to store and its serial: after a conflict with the base, merged."""
        draft = self.gate.changes(transaction)
        if self._seam.newest_in_changes(oid) is None:
            committed = self._seam.newest_in_base(oid)
            if committed is not None and committed != serial:
                draft.resolved.add(oid)
                return self._resolve(oid, committed, serial, data, b""), committed
        return data, serial

    def rely_on(self, oid: bytes, serial: bytes, transaction: HasMetaData) -> None:
        """Depend on `serial` being current, till the vote; `ReadConflictError` if it is not."""
        draft = self.gate.changes(transaction)
        self._check_current(oid, serial)
        draft.relied_on[oid] = serial

    def _check_current(self, oid: bytes, serial: bytes) -> None:
        committed = self._newest(oid)
        if committed != serial:
            raise ReadConflictError(oid=oid, serials=(committed, serial))

    def vote(self, transaction: HasMetaData) -> list[bytes]:
        """Check once more, and have the changes vote; return the oids that were resolved."""
        with self.gate.voting(transaction) as draft:
            self._seam.check_base()
            if draft.needs_clock and self._seam.is_clock_behind():
                raise StorageError("the clock stepped back behind the base; commit again")
            for oid, serial in draft.relied_on.items():
                self._check_current(oid, serial)
            draft.resolved.update(self._changes.tpc_vote(transaction) or ())
        return sorted(draft.resolved)
