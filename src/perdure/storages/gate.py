"""Who may commit: the order of the two-phase calls, one committer at a time, growing tids.

A storage holds one gate. What a transaction wants to change is the storage's
business; the gate keeps it (`changes`) between the calls:

    begin -> BEGUN --voting--> VOTED --leaving--> forgotten
               |                 |
               |          (voting fails)
               |                 v
               +--leaving--   FAILED --leaving--> forgotten

Any number of transactions may be BEGUN at once. The commit lock is taken by
`voting` and given back by `leaving`, or by a vote that fails. Databases vote in
the order of their sort keys, so votes alone cannot deadlock; one that took its
lock in an earlier phase, as an undo might, could wait for a vote that waits for
it. Who finishes calls `passed` with the tid: only then is the next one later.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from threading import get_ident
from typing import Any, Final, Generic, TypeVar

from perdure.clock import next_tid
from perdure.errors import StorageTransactionError
from perdure.ids import ZERO, tid_repr

__all__ = ["Gate", "Phase"]

Changes = TypeVar("Changes")


class Phase(Enum):
    """How far a transaction has come in this storage."""

    BEGUN = "begun"
    VOTED = "voted"
    FAILED = "failed its vote"


# Asked for with each object, and a class looks its members up slowly.
_BEGUN: Final = Phase.BEGUN
_VOTED: Final = Phase.VOTED
_FAILED: Final = Phase.FAILED


class _Visitor(Generic[Changes]):
    """One transaction and what it brought, and what it does next, as a context manager.

    That is its vote, and once it has voted its finish. (Not an object for each: every commit
    does both.)
    """

    __slots__ = ("_gate", "changes", "is_known", "phase", "thread", "transaction")

    def __init__(self, gate: "Gate[Changes]", transaction: Any, changes: Changes) -> None:
        self._gate = gate
        self.transaction = transaction  # held, so that its id stays its own
        self.changes = changes
        self.phase = _BEGUN
        self.is_known = True
        self.thread = 0  # the one that voted

    def __enter__(self) -> Changes:
        if self.phase is not _BEGUN:
            return self.changes
        gate, thread = self._gate, get_ident()
        voted = gate._voted
        if voted is not None and voted.thread == thread:
            raise StorageTransactionError(
                "this storage takes part twice in one transaction, through two connections "
                "or through a connection and an undo: it would wait for itself; "
                "give each a transaction of its own"
            )
        gate._commit_lock.acquire()
        try:
            # The wait may have been long.
            if gate._refusal is not None or not self.is_known or self.phase is not _BEGUN:
                gate._expect(self.transaction, _BEGUN)
            self.thread = thread
            gate._voted = self
        except BaseException:
            gate._commit_lock.release()
            raise
        return self.changes

    def __exit__(self, kind: object, *_: object) -> None:
        gate = self._gate
        if self.phase is _VOTED:
            gate._forget(self)
            return
        with gate._turning:
            self.phase = _VOTED if kind is None else _FAILED
            if kind is not None or not self.is_known:
                gate._give_back()


class Gate(Generic[Changes]):
    """The transactions of one storage, from begin to finish or abort.

    `last_tid` is the newest tid that the storage holds when it opens.
    """

    def __init__(self, last_tid: bytes = ZERO) -> None:
        self._visitors: dict[int, _Visitor[Changes]] = {}
        self._commit_lock = threading.Lock()
        self._turning = threading.Lock()  # for the moment in which a phase changes
        self._voted: _Visitor[Changes] | None = None
        self._last_tid = last_tid
        self._refusal: Callable[[], Exception] | None = None

    @property
    def transaction(self) -> Any:
        """The transaction that voted, else the oldest that began, else None."""
        if self._voted is not None:
            return self._voted.transaction
        for visitor in list(self._visitors.values()):
            return visitor.transaction
        return None

    def begin(self, transaction: Any, changes: Changes) -> None:
        """Let `transaction` in with its `changes`; `StorageTransactionError` if it is in."""
        if self._refusal is not None:
            raise self._refusal()
        visitor = _Visitor(self, transaction, changes)
        if self._visitors.setdefault(id(transaction), visitor) is not visitor:
            raise StorageTransactionError(f"tpc_begin was called before with {transaction!r}")

    def changes(self, transaction: Any) -> Changes:
        """Return the changes of a transaction that may still add to them.

        Raises `StorageTransactionError` if it never began here, or voted already.
        """
        visitor = self._visitors.get(id(transaction))
        if visitor is None or visitor.phase is not _BEGUN or self._refusal is not None:
            visitor = self._expect(transaction, _BEGUN)
        return visitor.changes

    def voting(self, transaction: Any) -> AbstractContextManager[Changes]:
        """Wait for the commit lock and hold it on; give it back if the body raises.

        Returns a context manager; its value are the changes. This, or entering, raises
        `StorageTransactionError` like `changes`.
        """
        return self._expect(transaction, _BEGUN)

    def finishing(self, transaction: Any) -> AbstractContextManager[Changes]:
        """Forget a transaction that voted, and give the commit lock back after the body.

        Returns a context manager; its value are the changes. Raises
        `StorageTransactionError` if the transaction did not vote.
        """
        return self._expect(transaction, _VOTED)

    @contextmanager
    def aborting(self, transaction: Any) -> Iterator[tuple[Changes, Phase] | None]:
        """Forget a transaction, whatever its phase; the body gets None for an unknown one."""
        visitor = self._visitors.get(id(transaction))
        if visitor is None:
            yield None
            return
        try:
            yield visitor.changes, visitor.phase
        finally:
            self._forget(visitor)
            if self._voted is visitor and visitor.thread == get_ident():
                # An interrupt kept its vote from saying how it ended: it is at an end, here.
                self._give_back()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the commit lock for something that is not a transaction."""
        with self._commit_lock:
            if self._refusal is not None:
                raise self._refusal()
            yield

    def next_tid(self, wanted: bytes = b"") -> bytes:
        """Return the tid of the transaction that holds the commit lock: `wanted`, or one for now.

        Raises `StorageTransactionError` if `wanted` is not later than all that finished.
        """
        if wanted:
            self.check_tid(wanted)
        return wanted or next_tid(self._last_tid)

    def passed(self, tid: bytes) -> None:
        """Take note of the tid of a transaction that finished: the next ones are later."""
        self._last_tid = tid

    def check_tid(self, wanted: bytes) -> None:
        """Raise `StorageTransactionError` unless `wanted` is later than every tid so far."""
        if len(wanted) != 8 or wanted <= self._last_tid:
            raise StorageTransactionError(
                f"found tid {tid_repr(wanted)}, expected one later than "
                f"{tid_repr(self._last_tid)}, the newest here: tids must grow"
            )

    def expel(self) -> None:
        """Forget the transaction that voted, if there is one; who waits for its lock goes on."""
        voted = self._voted
        if voted is not None:
            self._forget(voted)

    def shut(self, refusal: Callable[[], Exception]) -> None:
        """Refuse everything but aborting from now on, with the error that `refusal` makes."""
        self._refusal = refusal

    def _expect(self, transaction: Any, phase: Phase) -> _Visitor[Changes]:
        visitor = self._visitors.get(id(transaction))
        if self._refusal is not None:
            raise self._refusal()
        if visitor is None:
            raise StorageTransactionError(
                f"this storage is in no transaction {transaction!r}; call tpc_begin with it first"
            )
        if visitor.phase is not phase:
            raise StorageTransactionError(
                f"transaction {transaction!r} has {visitor.phase.value}, "
                f"this call expects that it has {phase.value}"
            )
        return visitor

    def _forget(self, visitor: _Visitor[Changes]) -> None:
        with self._turning:
            # Whoever takes it out gives the lock back: it may be expelled meanwhile.
            if visitor.is_known:
                visitor.is_known = False
                del self._visitors[id(visitor.transaction)]
                if visitor.phase is _VOTED:
                    self._give_back()

    def _give_back(self) -> None:
        self._voted = None
        self._commit_lock.release()
