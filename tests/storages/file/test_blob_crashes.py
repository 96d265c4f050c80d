"""Crashes while blobs are committed, undone and packed: no transaction without its blobs."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from perdure.blobs import open_blob_directory
from perdure.errors import StorageClosedError
from perdure.ids import ROOT_OID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.records.exporting import is_blob
from perdure.storages.file import FileStorage
from perdure.testing.contract.blobs import RECORD
from perdure.testing.contract.records import holder
from perdure.testing.faults import Killed, Recording, crash_states
from perdure.testing.faults.operations import Mark
from samples.file_operations import Unsynced

SEED = int(os.environ.get("PERDURE_CRASH_SEED", "1"))
LIMIT = int(os.environ.get("PERDURE_CRASH_LIMIT", "10"))

A, B, C = p64(1), p64(2), p64(0x100)


@dataclass(frozen=True)
class Returned:
    """A commit has returned."""

    tid: bytes


@dataclass(frozen=True)
class Packed:
    """A pack has begun: revisions from before `stop` may be gone."""

    stop: bytes


class Work:
    """A storage with blobs in a recorded directory, and what its transactions say."""

    def __init__(self, root: Path) -> None:
        self.recording = Recording(root)
        self.blobs: dict[tuple[bytes, bytes], bytes] = {}
        self._tid = p64(1 << 58)
        self.storage = opened(root, self.recording)

    def commit(self, **blobs: bytes) -> bytes:
        """Commit blobs by the name of their object."""
        oids = {"a": A, "b": B, "c": C}
        by_oid = {oids[name]: content for name, content in blobs.items()}
        return self._finish(self._vote(by_oid), by_oid)

    def abort(self, content: bytes) -> None:
        """Vote for a blob, and abort."""
        self.storage.tpc_abort(self._vote({A: content}))

    def undo(self, expected: dict[bytes, bytes]) -> None:
        """Undo the last transaction, after which there is this."""
        transaction = self._begin()
        self.storage.undo(self.storage.undoLog(0, 1)[0]["id"], transaction)
        self.storage.tpc_vote(transaction)
        self._finish(transaction, expected)

    def link(self, *oids: bytes) -> None:
        """Commit a root that refers to these objects."""
        transaction = self._begin()
        serial = self.storage.lastTid(ROOT_OID) or ZERO
        self.storage.store(ROOT_OID, serial, holder(*oids), "", transaction)
        self.storage.tpc_vote(transaction)
        self._finish(transaction, {})

    def pack(self) -> None:
        self.recording.mark(Packed(self.storage.lastTransaction()))
        self.storage.pack(4e9, references)

    def _begin(self) -> TransactionMetaData:
        transaction = TransactionMetaData()
        self._tid = after(self._tid)
        self.storage.tpc_begin(transaction, self._tid)
        return transaction

    def _vote(self, blobs: dict[bytes, bytes]) -> TransactionMetaData:
        transaction = self._begin()
        for oid, content in blobs.items():
            path = Path(self.storage.temporaryDirectory(), "source")
            path.write_bytes(content)
            serial = self.storage.lastTid(oid) or ZERO
            self.storage.storeBlob(oid, serial, RECORD, str(path), "", transaction)
        self.storage.tpc_vote(transaction)
        return transaction

    def _finish(self, transaction: TransactionMetaData, blobs: dict[bytes, bytes]) -> bytes:
        self.blobs.update({(oid, self._tid): content for oid, content in blobs.items()})
        tid = self.storage.tpc_finish(transaction)
        self.recording.mark(Returned(tid))
        return tid


def opened(directory: Path, operations: Unsynced | Recording | None = None) -> FileStorage:
    return FileStorage(
        directory / "data.fs",
        blob_dir=directory / "blobs",
        operations=operations or Unsynced(),
    )


def history(work: Work) -> None:
    """What is crashed: new blobs, new revisions, several at once, an abort, undos, a pack."""
    work.link(A, B)
    work.commit(a=b"a one" * 300)
    work.commit(a=b"a two", b=b"b one")
    work.abort(b"never")
    work.undo({A: b"a one" * 300})
    work.undo({A: b"a two", B: b"b one"})
    work.commit(c=b"garbage", b=b"")
    work.link(A)
    work.pack()
    work.commit(a=b"a three" * 200)
    work.storage.close()


def check(directory: Path, work: Work, marks: tuple[object, ...]) -> None:
    """Open what the crash left; every transaction that is there is there with its blobs."""
    storage = opened(directory)
    there = set()
    for transaction in storage.iterator():
        there.add(transaction.tid)
        for record in transaction:
            if record.data is not None and is_blob(record.data):
                with storage.openCommittedBlobFile(record.oid, record.tid) as file:
                    assert file.read() == work.blobs[record.oid, record.tid]
    packed = [mark.stop for mark in marks if isinstance(mark, Packed)]
    for mark in marks:
        if isinstance(mark, Returned) and not (packed and mark.tid <= packed[-1]):
            assert mark.tid in there
    # What was in flight is gone from `tmp`, and blobs of no transaction wherever it was noticed.
    assert not [name for name in os.listdir(directory / "blobs" / "tmp") if "staged" in name]

    tid = _commit_blob(storage)
    with storage.openCommittedBlobFile(A, tid) as file:
        assert file.read() == b"after the crash"
    storage.close()


def _commit_blob(storage: FileStorage) -> bytes:
    path = Path(storage.temporaryDirectory(), "after")
    path.write_bytes(b"after the crash")
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    serial = storage.lastTid(A) or ZERO
    storage.storeBlob(A, serial, RECORD, str(path), "", transaction)
    storage.tpc_vote(transaction)
    return storage.tpc_finish(transaction)


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)  # thousands of storages that say what they set aside
    yield
    logging.disable(logging.NOTSET)


def test_a_crash_at_any_call_leaves_no_transaction_without_its_blobs(
    tmp_path: Path, quiet: None
) -> None:
    (tmp_path / "work").mkdir()
    work = Work(tmp_path / "work")
    history(work)
    number = 0
    for number, state in enumerate(crash_states(work.recording, SEED, LIMIT), 1):
        crashed = tmp_path / f"crashed{number}"
        crashed.mkdir()
        state.write_to(crashed)
        try:
            check(crashed, work, state.marks)
        except BaseException as error:
            error.add_note(str(state))
            raise
        remove(crashed)
    assert number > 500


def test_a_process_killed_at_any_call_leaves_only_what_opening_removes(
    tmp_path: Path, quiet: None
) -> None:
    calls = 0
    finished = False
    while not finished:
        calls += 1
        directory = tmp_path / f"killed{calls}"
        directory.mkdir()
        work = Work(directory)
        work.recording.kill_at(calls)
        try:
            history(work)
            finished = True
        except (Killed, StorageClosedError):
            pass
        marks = tuple(each.value for each in work.recording.log if isinstance(each, Mark))
        work.storage._release_lock()  # as the system does; closing would be another end
        check(directory, work, marks)
        orphans = blobs_in(directory) - {(r.oid, r.tid) for r in records_in(directory)}
        assert not orphans or any(isinstance(mark, Packed) for mark in marks)
        remove(directory)
    assert calls > 100


def blobs_in(directory: Path) -> set[tuple[bytes, bytes]]:
    blobs = open_blob_directory(directory / "blobs", Unsynced(), read_only=True)
    return {(oid, tid) for oid in blobs.objects() for tid in blobs.revisions(oid)}


def records_in(directory: Path) -> list[Any]:
    storage = FileStorage(directory / "data.fs", read_only=True)
    records = [record for transaction in storage.iterator() for record in transaction]
    storage.close()
    return records


def remove(directory: Path) -> None:
    for where, _, names in os.walk(directory, topdown=False):
        for name in names:
            Path(where, name).unlink()
        Path(where).rmdir()
