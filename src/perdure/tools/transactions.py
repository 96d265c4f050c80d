"""The log of a storage: its transactions, newest first.

Storages iterate oldest first. So the log is read in spans of time that go back
from the end, each twice as long as the one before: the newest transactions of
a large file are found without reading all of it.
"""

import base64
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from perdure.capabilities import capabilities_of
from perdure.errors import POSKeyError, StateLoadError, Unsupported
from perdure.ids import ZERO, p64, u64
from perdure.interfaces import StoredTransaction
from perdure.records import plain_record
from perdure.tools.moment import datetime_of

__all__ = ["LoggedTransaction", "transactions"]

_FIRST_SPAN: Final = 1 << 32  # a minute, in steps of a tid
_AT_ONCE: Final = 10_000
"""Transactions whose description is in memory at once."""

_ALL_REVISIONS: Final = 1 << 31

_Accept = Callable[[StoredTransaction], bool]


@dataclass(frozen=True, slots=True)
class LoggedTransaction:
    """What one transaction did, and says of itself.

    `status` is "p" for one that packing took records from, else " ". `oids` are
    the objects that it wrote, `size_bytes` what their records take. `extension`
    is plain data, made without importing anything.
    """

    tid: bytes
    status: str
    user: str
    description: str
    extension: Any
    oids: tuple[bytes, ...]
    size_bytes: int

    @property
    def time(self) -> datetime:
        """When it was committed, in UTC."""
        return datetime_of(self.tid)


def transactions(
    storage: Any,
    *,
    since: bytes | None = None,
    until: bytes | None = None,
    user: str | None = None,
    oid: bytes | None = None,
    limit: int | None = None,
) -> Iterator[LoggedTransaction]:
    """Yield the transactions from tid `since` to `until`, both included, newest first.

    `user` is a pattern (``*`` and ``?``) for the whole name; with `oid` only
    transactions that wrote this object are told, `POSKeyError` is raised if there
    is no such object. At most `limit` are yielded.

    Raises `Unsupported` if the storage cannot be iterated.
    """
    if not capabilities_of(storage).iteration:
        raise Unsupported(f"{storage.getName()} cannot list its transactions")
    last = storage.lastTransaction()
    first = since or ZERO
    last = last if until is None else min(until, last)
    accept: _Accept = _anyone if user is None else _by(user)
    if oid is None:
        found = _newest_first(storage, first, last, accept, limit)
    else:
        found = _of_object(storage, oid, first, last, accept)
    for number, transaction in enumerate(found):
        if number == limit:
            return
        yield transaction


def _anyone(transaction: StoredTransaction) -> bool:
    return True


def _by(pattern: str) -> _Accept:
    return lambda transaction: fnmatchcase(_text(transaction.user), pattern)


def _of_object(
    storage: Any, oid: bytes, first: bytes, last: bytes, accept: _Accept
) -> Iterator[LoggedTransaction]:
    tids = [entry["tid"] for entry in storage.history(oid, size=_ALL_REVISIONS)]
    if not tids:
        raise POSKeyError(oid)
    for tid in tids:
        if first <= tid <= last:
            yield from (_logged(t) for t in storage.iterator(tid, tid) if accept(t))


def _newest_first(
    storage: Any, first: bytes, last: bytes, accept: _Accept, limit: int | None
) -> Iterator[LoggedTransaction]:
    left = limit
    for start, stop in _spans(first, last):
        # Their tids first, which are small: only the newest of a span may be wanted.
        accepted = (t.tid for t in storage.iterator(start, stop) if accept(t))
        wanted = list(deque(accepted, maxlen=left))
        for end in range(len(wanted), 0, -_AT_ONCE):
            yield from _described(storage, wanted[max(end - _AT_ONCE, 0) : end])
        if left is not None:
            left -= len(wanted)
            if left <= 0:
                return


def _described(storage: Any, tids: list[bytes]) -> Iterable[LoggedTransaction]:
    """Return what is to be told of the transactions `tids`, given oldest first, newest first."""
    wanted = set(tids)
    found = [_logged(t) for t in storage.iterator(tids[0], tids[-1]) if t.tid in wanted]
    return reversed(found)


def _spans(first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield spans of tids, both ends included, that cover `first` to `last` from the end."""
    lowest, stop, size = u64(first), u64(last), _FIRST_SPAN
    while stop >= lowest:
        start = max(stop - size, lowest)
        yield p64(start), p64(stop)
        if start == 0:
            return
        stop, size = start - 1, size * 2


def _logged(transaction: StoredTransaction) -> LoggedTransaction:
    oids = []
    size_bytes = 0
    for record in transaction:
        oids.append(record.oid)
        size_bytes += len(record.data or b"")
    return LoggedTransaction(
        tid=transaction.tid,
        status=transaction.status,
        user=_text(transaction.user),
        description=_text(transaction.description),
        extension=_plain_extension(transaction.extension_bytes),
        oids=tuple(oids),
        size_bytes=size_bytes,
    )


def _plain_extension(extension: bytes) -> Any:
    if not extension:
        return {}
    try:
        # It is one pickle where a record is two: a pickle of None takes the first's place.
        return plain_record(b"N." + extension)["state"]
    except StateLoadError:
        return {"$bytes": base64.b64encode(extension).decode("ascii")}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
