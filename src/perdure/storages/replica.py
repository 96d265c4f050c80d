"""One backup that follows a primary storage, and the thread that has it catch up.

The queue of what is still to be written is the primary itself: what is later there
than the last transaction of the backup. So nothing is lost when either of them is
away, when a process ends, or when it is killed; and nothing is written twice.

    FOLLOWING --an error--> AWAY --a retry succeeds--> FOLLOWING
        |                     |
        +---- it is no copy --+--> REFUSED
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.clock import time_of
from perdure.errors import (
    ReplicaAwayError,
    ReplicaDivergedError,
    StorageClosedError,
    Unsupported,
)
from perdure.ids import ZERO, after
from perdure.storages.copying import CopyProgress, copy_later
from perdure.storages.kinship import check_kinship

__all__ = ["Lag", "Replica", "check_backup"]

log = logging.getLogger("perdure.storages.replicating")

_FIRST_RETRY_S: Final = 0.25
_LAST_RETRY_S: Final = 30.0
_GRACE_S: Final = 1.0
_LOOK_EVERY_S: Final = 5.0
"""How often the primary is looked at, for commits that did not come through its layer."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a backup is behind its primary.

    `transactions` are those that it does not have, `seconds` the age of the oldest of
    them. `tid` is the last one that it has, `ZERO` for none, and None while it
    could not be asked. `error` says why it does not catch up, "" if it does.
    """

    name: str
    transactions: int
    seconds: float
    tid: bytes | None
    error: str


def check_backup(primary: Any, backup: Any) -> None:
    """Raise `ReplicaDivergedError` or `Unsupported` unless `backup` can follow `primary`."""
    if not capabilities_of(backup).restore:
        raise Unsupported(f"{backup.getName()} cannot take transactions with their tids")
    if not capabilities_of(backup).iteration:
        raise Unsupported(f"{backup.getName()} cannot list its transactions")
    check_kinship(primary, backup)


class _Enough(Exception):
    """Raised to leave a copy between two transactions."""


class Replica:
    """Has `backup`, a storage or a function that opens one, follow `primary`.

    Raises `ReplicaDivergedError` if a storage that is given is no copy of the
    primary, and `Unsupported` if it cannot take transactions with their tids.
    """

    def __init__(self, primary: Any, backup: Any, number: int) -> None:
        self._primary = primary
        self._open: Callable[[], Any] | None = None
        self._backup: Any = None
        self.name = f"backup {number}"
        self._changed = threading.Condition()  # guards what follows
        self._tid: bytes | None = None
        self._error: Exception | None = None
        self._attempts = 0
        self._asked = False
        self._deadline: float | None = None  # set when it is to end
        if callable(backup):
            self._open = backup
        else:
            self._use(backup)
        self._thread = threading.Thread(target=self._run, name=f"perdure {self.name}", daemon=True)
        self._thread.start()

    def _use(self, backup: Any) -> None:
        check_backup(self._primary, backup)
        with self._changed:
            self._backup, self._tid = backup, backup.lastTransaction()
            self.name = backup.getName()

    # Asked from outside

    def wake(self) -> None:
        """Say that there is something new in the primary, or that it is worth another try."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def wait_for(self, tid: bytes, timeout_s: float) -> bool:
        """Return whether the backup has the transaction `tid`, after a while at the latest.

        The while ends early when an attempt fails.
        """
        with self._changed:
            attempts = self._attempts
            self._asked = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._has(tid) or self._attempts > attempts or self._is_over(), timeout_s
            )
            return self._has(tid)

    def check(self, tid: bytes, timeout_s: float) -> None:
        """Raise `ReplicaAwayError`, or `ReplicaDivergedError`, unless the backup has `tid` soon."""
        if self.wait_for(tid, timeout_s):
            return
        with self._changed:
            if isinstance(self._error, ReplicaDivergedError):
                raise self._error
            reason = str(self._error or f"it did not catch up within {timeout_s:g} seconds")
        raise ReplicaAwayError(self.name, reason)

    def has(self, tid: bytes) -> bool:
        """Return whether the backup has everything up to the transaction `tid`."""
        with self._changed:
            return self._has(tid)

    @property
    def tid(self) -> bytes:
        """The last transaction that the backup is known to have."""
        with self._changed:
            return self._tid or ZERO

    def _has(self, tid: bytes) -> bool:
        return self._tid is not None and self._tid >= tid

    def _is_over(self) -> bool:
        return not self._thread.is_alive()

    def lag(self) -> Lag:
        """Return how far behind the backup is; takes as long as listing what it lacks."""
        with self._changed:
            tid, error = self._tid, self._error
        missing = 0
        seconds = 0.0
        if tid is None or tid < self._primary.lastTransaction():
            for transaction in self._primary.iterator(after(tid or ZERO)):
                if not missing:
                    seconds = max(time.time() - time_of(transaction.tid), 0.0)
                missing += 1
        return Lag(self.name, missing, seconds, tid, "" if error is None else str(error))

    def end(self, timeout_s: float) -> None:
        """Have the thread end when the backup has caught up, or after `timeout_s` at most."""
        with self._changed:
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until the thread ends, a second more at most, and close the backup."""
        deadline = self._deadline or time.monotonic()
        self._thread.join(max(deadline - time.monotonic(), 0.0) + _GRACE_S)
        if self._thread.is_alive():
            log.warning("%s is still being written to; it is not closed", self.name)
            return
        if not self.has(self._primary.lastTransaction()):
            log.warning("%s is behind; it catches up when it is used again", self.name)
        if self._backup is not None:
            self._backup.close()

    # The thread

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                self._catch_up()
            except _Enough:
                return
            except ReplicaDivergedError as error:
                log.critical("%s", error)
                self._failed(error)
                return
            except Exception as error:  # whatever a storage raises that is away
                log.warning("%s cannot be written, it will be tried again: %s", self.name, error)
                self._failed(error)
                self._close_what_was_opened()
                if not self._rest(retry_s):
                    return
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            else:
                retry_s = _FIRST_RETRY_S
                if not self._rest_until_asked():
                    return

    def _catch_up(self) -> None:
        with self._changed:
            self._asked = False
        if self._backup is None:
            assert self._open is not None  # noqa: S101  one of the two was given
            self._use(self._open())
        done = copy_later(self._primary, self._backup, self._copied)
        with self._changed:
            self._tid, self._error = done.tid, None
            self._changed.notify_all()

    def _copied(self, done: CopyProgress) -> None:
        with self._changed:
            self._tid = done.tid
            self._changed.notify_all()
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise _Enough

    def _failed(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._attempts += 1
            self._changed.notify_all()

    def _close_what_was_opened(self) -> None:
        if self._open is None or self._backup is None:
            return
        backup, self._backup = self._backup, None
        try:
            backup.close()
        except Exception:  # it failed before, so it may again
            log.warning("%s could not be closed", self.name, exc_info=True)

    def _rest(self, seconds: float) -> bool:
        """Wait, unless asked not to; return whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._deadline is not None, seconds)
            return self._deadline is None

    def _rest_until_asked(self) -> bool:
        """Wait until there is something to do; return whether to go on."""
        while True:
            try:
                if not self.has(self._primary.lastTransaction()):
                    return True
            except StorageClosedError:
                return False  # somebody closed it without its layer
            with self._changed:
                if self._deadline is not None:
                    return False
                self._changed.wait_for(
                    lambda: self._asked or self._deadline is not None, _LOOK_EVERY_S
                )
                self._asked = False
