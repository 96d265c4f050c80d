"""Replicating: backups that follow, are away, come back, or are of something else."""

import logging
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import (
    ReplicaAwayError,
    ReplicaDivergedError,
    StorageError,
    Unsupported,
)
from perdure.ids import ROOT_OID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages import (
    BeforeStorage,
    DemoStorage,
    FileStorage,
    MappingStorage,
    ReplicatingStorage,
    copy_transactions,
    encrypted,
)
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.suite import Clock
from perdure.testing.contract.threads import PATIENCE_S, at_once
from perdure.testing.contract.transactions import (
    commit,
    current,
    transactions,
    undo,
    undo_id,
    write,
)

A, B = p64(1), p64(2)
BLOB = b"\x80\x03cZODB.blob\nBlob\nq\x01.\x80\x03N."


class Away:
    """Opens a storage, except while it is away."""

    def __init__(self, storage: Any = None) -> None:
        self.storage = storage or MappingStorage("afar")
        self.is_away = True
        self.tried = threading.Event()

    def __call__(self) -> Any:
        self.tried.set()
        if self.is_away:
            raise StorageError("the line is dead")
        return self.storage


def store_blob(storage: Any, oid: bytes, content: bytes) -> bytes:
    path = Path(storage.temporaryDirectory(), content.decode())
    path.write_bytes(content)
    return commit(storage, lambda t: storage.storeBlob(oid, ZERO, BLOB, str(path), "", t)).tid


def test_every_backup_gets_everything_in_order() -> None:
    backups = MappingStorage("near"), encrypted(MappingStorage("far"), bytes(32))
    storage = ReplicatingStorage(MappingStorage("main"), *backups)
    metadata = TransactionMetaData("Zoë", "first", {"ticket": 1})
    write(storage, {A: cell(1), B: cell(1)}, metadata=metadata)
    write(storage, {A: cell(2)})
    undo(storage, undo_id(storage))
    write(storage, {B: cell(3)})
    undo(storage, undo_id(storage))
    tid = store_blob(storage, p64(9), b"content")

    assert storage.catch_up(PATIENCE_S)

    for backup in backups:
        assert transactions(backup) == transactions(storage)
        with backup.openCommittedBlobFile(p64(9), tid) as file:
            assert file.read() == b"content"
    assert [(lag.transactions, lag.seconds, lag.error) for lag in storage.lag()] == [
        (0, 0.0, "")
    ] * 2
    storage.close()


def test_synchronously_a_commit_returns_when_every_backup_has_it() -> None:
    backups = [MappingStorage(), MappingStorage()]
    storage = ReplicatingStorage(MappingStorage(), *backups, synchronous=True)

    for n in range(20):
        tid = write(storage, {A: cell(n)}).tid
        assert [backup.lastTransaction() for backup in backups] == [tid, tid]

    storage.close()


def test_threads_commit_while_backups_follow() -> None:
    backups = [MappingStorage(), MappingStorage()]
    storage = ReplicatingStorage(MappingStorage(), *backups)

    def change(oid: bytes) -> None:
        for n in range(25):
            write(storage, {oid: cell(n)})

    at_once(*(partial(change, p64(n)) for n in range(4)))

    assert storage.catch_up(PATIENCE_S)
    assert [transactions(backup) for backup in backups] == [transactions(storage)] * 2
    storage.close()


def test_a_backup_that_is_away_delays_no_commit_and_says_how_far_behind_it_is(
    clock: Clock,
) -> None:
    away = Away()
    storage = ReplicatingStorage(MappingStorage(), away)
    assert away.tried.wait(PATIENCE_S)
    write(storage, {A: cell(0)})
    clock.advance(60)
    for n in range(1, 5):
        write(storage, {A: cell(n)})
    clock.advance(30)
    assert not storage.catch_up(PATIENCE_S)

    [lag] = storage.lag()
    assert (lag.transactions, lag.tid) == (5, None)
    assert lag.seconds == pytest.approx(90, abs=0.01)
    assert "the line is dead" in lag.error

    away.is_away = False
    assert storage.catch_up(PATIENCE_S)
    assert transactions(away.storage) == transactions(storage)
    [lag] = storage.lag()
    assert (lag.transactions, lag.seconds, lag.error) == (0, 0.0, "")
    storage.close()


def test_a_backup_that_fails_amid_a_transaction_gets_it_again() -> None:
    backup = MappingStorage()
    vote, failures = backup.tpc_vote, []

    def fail_first(transaction: Any) -> Any:
        if len(failures) < 2:
            failures.append(transaction)
            raise OSError("no space")
        return vote(transaction)

    backup.tpc_vote = fail_first  # type: ignore[method-assign]
    storage = ReplicatingStorage(MappingStorage(), backup)
    write(storage, {A: cell(1)})
    write(storage, {A: cell(2)})

    for _ in range(5):
        if storage.catch_up(PATIENCE_S):
            break

    assert len(failures) == 2
    assert transactions(backup) == transactions(storage)
    storage.close()


def test_synchronously_a_backup_that_is_away_refuses_commits_at_the_vote() -> None:
    away = Away()
    primary = MappingStorage()
    storage = ReplicatingStorage(primary, away, synchronous=True, timeout_s=PATIENCE_S)

    with pytest.raises(ReplicaAwayError, match="the line is dead; nothing was committed"):
        write(storage, {A: cell(1)})
    assert primary.lastTransaction() == ZERO

    away.is_away = False
    tid = write(storage, {A: cell(1)}).tid
    assert away.storage.lastTransaction() == tid
    storage.close()


def test_what_a_killed_process_left_behind_is_caught_up_by_the_next(tmp_path: Path) -> None:
    program = """
import os, sys
from perdure.storages import FileStorage, ReplicatingStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from perdure.ids import p64

main, backup = sys.argv[1:]
storage = ReplicatingStorage(FileStorage(main), FileStorage(backup))
for n in range(5):
    write(storage, {p64(1): cell(n)})
assert storage.catch_up(30)
storage.close()

def away():
    raise OSError("away")

storage = ReplicatingStorage(FileStorage(main), away)
for n in range(5, 12):
    write(storage, {p64(1): cell(n)})
os._exit(7)
"""
    paths = tmp_path / "main.fs", tmp_path / "backup.fs"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)], timeout=120, check=False
    )
    assert done.returncode == 7
    primary, backup = map(FileStorage, paths)
    assert len(transactions(backup)) == 5

    storage = ReplicatingStorage(primary, backup)

    assert storage.catch_up(PATIENCE_S)
    assert len(transactions(backup)) == 12
    assert transactions(backup) == transactions(primary)
    storage.close()


def test_a_backup_of_another_database_is_refused_and_stays_as_it_was() -> None:
    primary, backup = MappingStorage("main"), MappingStorage("stranger")
    write(backup, {A: cell("theirs")})
    write(primary, {A: cell("ours")})
    before = transactions(backup)

    with pytest.raises(ReplicaDivergedError, match="stranger is no copy of main"):
        ReplicatingStorage(primary, backup)

    assert transactions(backup) == before


def test_a_backup_that_goes_on_where_the_primary_ends_is_refused() -> None:
    primary, backup = MappingStorage("main"), MappingStorage("ahead")
    write(primary, {A: cell(1)})
    copy_transactions(primary, backup)
    write(backup, {A: cell(2)})

    with pytest.raises(ReplicaDivergedError, match="it goes on to transaction"):
        ReplicatingStorage(primary, backup)


def test_a_backup_with_other_data_in_the_same_transaction_is_refused() -> None:
    primary, backup = MappingStorage("main"), MappingStorage("other")
    tid = write(primary, {A: cell(1)}).tid
    transaction = TransactionMetaData()
    backup.tpc_begin(transaction, tid)
    backup.restore(A, tid, cell(2), "", None, transaction)
    backup.tpc_vote(transaction)
    backup.tpc_finish(transaction)

    with pytest.raises(ReplicaDivergedError, match="do not have the same"):
        ReplicatingStorage(primary, backup)


def test_a_backup_that_turns_out_to_be_of_another_database_is_not_written() -> None:
    away = Away()
    away.is_away = False
    write(away.storage, {B: cell("theirs")})
    before = transactions(away.storage)
    primary = MappingStorage()
    write(primary, {A: cell(1)})
    storage = ReplicatingStorage(primary, away, synchronous=True)

    with pytest.raises(ReplicaDivergedError):
        write(storage, {A: cell(2)})

    assert "is no copy" in storage.lag()[0].error
    assert transactions(away.storage) == before
    storage.close()


def test_packing_leaves_what_a_backup_does_not_have_yet(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away()
    storage = ReplicatingStorage(MappingStorage(), away)
    for n in range(3):
        clock.advance(1)
        write(storage, {ROOT_OID: cell(n)})
    before = transactions(storage)

    storage.pack(clock.advance(1), references)

    assert transactions(storage) == before
    assert "packing no further" in caplog.text
    away.is_away = False
    storage.pack(clock.advance(1), references)
    assert len(transactions(storage)) == 1
    assert transactions(away.storage) == before
    storage.close()


def test_a_backup_goes_on_though_its_last_transaction_was_packed_away(clock: Clock) -> None:
    primary, backup = MappingStorage(), MappingStorage()
    clock.advance(1)
    write(primary, {ROOT_OID: holder(A), A: cell(1)})
    clock.advance(1)
    write(primary, {B: cell("garbage")})
    copy_transactions(primary, backup)
    clock.advance(1)
    primary.pack(clock.advance(1), references)
    assert len(transactions(primary)) == 1
    clock.advance(1)
    write(primary, {A: cell(2)})

    storage = ReplicatingStorage(primary, backup)

    assert storage.catch_up(PATIENCE_S)
    assert len(transactions(backup)) == 3
    assert current(backup, A) == current(primary, A)
    storage.close()


def test_closing_waits_for_a_backup_no_longer_than_it_was_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backup, going_on = MappingStorage("slow"), threading.Event()
    vote, reached = backup.tpc_vote, threading.Event()

    def wait_first(transaction: Any) -> Any:
        reached.set()
        assert going_on.wait(PATIENCE_S)
        return vote(transaction)

    backup.tpc_vote = wait_first  # type: ignore[method-assign]
    storage = ReplicatingStorage(MappingStorage(), backup, timeout_s=0.1)
    write(storage, {A: cell(1)})
    assert reached.wait(PATIENCE_S)
    started = time.monotonic()

    storage.close()

    assert time.monotonic() - started < PATIENCE_S / 2
    assert "slow is still being written to" in caplog.text
    going_on.set()


def test_closing_lets_the_backups_catch_up() -> None:
    backup = DemoStorage()
    closed = []
    backup.close = lambda: closed.append(backup.lastTransaction())  # type: ignore[method-assign]
    storage = ReplicatingStorage(MappingStorage(), backup)
    tids = [write(storage, {A: cell(n)}).tid for n in range(50)]

    storage.close()

    assert closed == [tids[-1]]


def test_what_cannot_be_a_backup_is_refused() -> None:
    primary = MappingStorage()
    with pytest.raises(Unsupported, match="cannot take transactions"):
        ReplicatingStorage(primary, BeforeStorage(MappingStorage()))
    with pytest.raises(ValueError, match="at least one"):
        ReplicatingStorage(primary)


def test_a_backup_without_room_for_blobs_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "perdure")
    storage = ReplicatingStorage(MappingStorage(), FileStorage(tmp_path / "backup.fs"))
    write(storage, {A: cell(1)})
    store_blob(storage, B, b"content")

    assert not storage.catch_up(PATIENCE_S)

    [lag] = storage.lag()
    assert lag.transactions == 1
    assert "does not keep blobs" in lag.error
    storage.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(float(int(time.time())))
    monkeypatch.setattr(time, "time", clock)
    return clock
