"""Threads that commit for as long as they live, and what must be there when they are dead.

Each worker has a counter, and a ring of objects. Its commit n writes into the
counter and into the object n modulo the size of the ring, both times n and
something that only n has. So the current records tell whether anything of the last
commits was lost, also after a pack; and where there was no pack, the
transactions tell it of every commit.
"""

from collections.abc import Callable, Mapping
from typing import Final

from perdure.errors import POSKeyError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell, state_of

__all__ = ["RING", "check_transactions", "check_workers", "work"]

RING: Final = 8
"""How many commits back the current records can tell."""

_LARGE_BYTES: Final = 2_500
"""Commits are up to so large, twice: from less than a sector to more than a page."""


def work(
    storage: FileStorage, worker: int, acknowledge: Callable[[int, int], object], count: int = 0
) -> None:
    """Commit, and tell of each commit the worker and the number; for ever, or `count` times."""
    number = first = _last_commit(storage, worker)
    serials: dict[bytes, bytes] = {}
    while not count or number < first + count:
        number += 1
        metadata = TransactionMetaData(description=f"{worker} {number}")
        storage.tpc_begin(metadata)
        try:
            for key, record in _written(worker, number).items():
                serial = serials.get(key) or storage.lastTid(key) or ZERO
                storage.store(key, serial, record, "", metadata)
            storage.tpc_vote(metadata)
            tid = storage.tpc_finish(metadata)
        except BaseException:
            storage.tpc_abort(metadata)
            raise
        serials.update(dict.fromkeys(_written(worker, number), tid))
        acknowledge(worker, number)


def check_workers(
    storage: FileStorage, acknowledged: Mapping[int, int], begun: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Raise `AssertionError` unless each worker's commits are there, perhaps with one more.

    `acknowledged` has the number of each worker's last commit that must be there, `begun`,
    where more than one may be, that of the last but one that may. Returns that of the last
    one that is there: from now on it has to stay.
    """
    found = {}
    for worker, number in acknowledged.items():
        last = found[worker] = _last_commit(storage, worker)
        latest = (begun or acknowledged)[worker] + 1
        assert number <= last <= latest, (
            f"worker {worker}: found commit {last} as the last, expected {number} to {latest}"
        )
        for current in range(max(last - RING, 0) + 1, last + 1):
            key = _slot(worker, current)
            assert storage.load(key).data == _record(current), (
                f"worker {worker}: commit {current} is not whole"
            )
    return found


def check_transactions(storage: FileStorage, last: Mapping[int, int]) -> dict[int, int]:
    """Raise `AssertionError` unless all transactions are whole, and none is missing.

    `last` has the numbers of the last ones. Returns of each worker the first number
    that was not packed: all those after it are there.
    """
    found: dict[int, list[int]] = {worker: [] for worker in last}
    for transaction in storage.iterator():
        worker, number = map(int, transaction.description.split())
        records = {record.oid: record.data for record in transaction}
        written = _written(worker, number)
        if transaction.status == "p":
            assert records.items() <= written.items(), f"worker {worker}: {number} is damaged"
        else:
            assert records == written, f"worker {worker}: commit {number} is not whole"
            found[worker].append(number)
    firsts = {worker: (numbers or [last[worker] + 1])[0] for worker, numbers in found.items()}
    for worker, numbers in found.items():
        expected = list(range(firsts[worker], last[worker] + 1))
        assert numbers == expected, f"worker {worker}: found {numbers}, expected {expected}"
    return firsts


def _written(worker: int, number: int) -> dict[bytes, bytes]:
    return dict.fromkeys((_counter(worker), _slot(worker, number)), _record(number))


def _counter(worker: int) -> bytes:
    return p64(worker * 100 + RING + 1)


def _slot(worker: int, number: int) -> bytes:
    return p64(worker * 100 + number % RING + 1)


def _record(number: int) -> bytes:
    return cell((number, "x" * (number * 617 % _LARGE_BYTES)))


def _last_commit(storage: FileStorage, worker: int) -> int:
    """Return the number of a worker's last commit, 0 if there is none; it must be whole."""
    try:
        record = storage.load(_counter(worker)).data
    except POSKeyError:
        return 0
    number: int = state_of(record)["value"][0]
    assert record == _record(number), f"worker {worker}: the counter is not whole"
    return number
