"""Crashes while blobs are committed, undone and packed: no transaction without its blobs."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crash.crashing import SEED, quiet
from crash.verdict import emptied, fast_directory
from perdure.blobs import open_blob_directory
from perdure.errors import POSError, POSKeyError, StorageClosedError
from perdure.fileops import FileOperations
from perdure.ids import ROOT_OID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.records.exporting import is_blob
from perdure.storages.file import FileStorage
from perdure.testing.contract.blobs import RECORD
from perdure.testing.contract.records import holder
from perdure.testing.faults import SHORT, CrashState, Failing, Killed, Recording, crash_states
from perdure.testing.faults.operations import Mark
from perdure.tools import check_file
from samples.file_operations import Unsynced

A, B, C = p64(1), p64(2), p64(0x100)
OIDS = {"a": A, "b": B, "c": C}
DISKS = 700
PACKS = 20
KINDS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "short write": SHORT}


@dataclass(frozen=True)
class Finishing:
    """A commit has voted, and may be there from now on."""

    tid: bytes


@dataclass(frozen=True)
class Returned:
    """A commit has returned."""

    tid: bytes


@dataclass(frozen=True)
class Packed:
    """A pack has begun: what it does not keep of the transactions up to `stop` may be gone."""

    stop: bytes


class Work:
    """A storage with blobs in a recorded directory, and what its transactions say.

    After an error it goes on, with `tolerant`, and counts it in `errors`.
    """

    def __init__(
        self, recording: Recording, operations: FileOperations | None = None, tolerant: bool = False
    ) -> None:
        self.recording = recording
        self.blobs: dict[tuple[bytes, bytes], bytes] = {}
        self.errors = 0
        self.storage: FileStorage | None = None
        self._allowed = POSError if tolerant else ()
        self._tid = p64(1 << 58)
        try:
            self.storage = opened(recording.root, operations or recording)
        except self._allowed:
            self.errors += 1

    @property
    def marks(self) -> tuple[object, ...]:
        return tuple(each.value for each in self.recording.log if isinstance(each, Mark))

    def commit(self, **blobs: bytes) -> None:
        """Commit blobs by the name of their object."""
        by_oid = {OIDS[name]: content for name, content in blobs.items()}
        self._run(lambda storage, transaction: _store(storage, transaction, by_oid), by_oid)

    def abort(self, content: bytes) -> None:
        """Vote for a blob, and abort."""
        blobs = {A: content}
        self._run(lambda storage, transaction: _store(storage, transaction, blobs), None)

    def undo(self) -> None:
        """Undo the last transaction."""
        blobs: dict[bytes, bytes] = {}

        def work(storage: FileStorage, transaction: TransactionMetaData) -> None:
            undone = storage.lastTransaction()
            for transaction_undone in storage.iterator(undone):
                for record in transaction_undone:
                    with suppress(POSKeyError):
                        before = storage.loadBefore(record.oid, undone)
                        if before is not None and is_blob(before[0]):
                            blobs[record.oid] = self.blobs[record.oid, before[1]]
            storage.undo(storage.undoLog(0, 1)[0]["id"], transaction)

        self._run(work, blobs)

    def link(self, *oids: bytes) -> None:
        """Commit a root that refers to these objects."""

        def work(storage: FileStorage, transaction: TransactionMetaData) -> None:
            serial = storage.lastTid(ROOT_OID) or ZERO
            storage.store(ROOT_OID, serial, holder(*oids), "", transaction)

        self._run(work, {})

    def pack(self) -> None:
        if self.storage is not None:
            try:
                self.recording.mark(Packed(self.storage.lastTransaction()))
                self.storage.pack(4e9, references)
            except self._allowed:
                self.errors += 1

    def close(self) -> None:
        if self.storage is not None:
            try:
                self.storage.close()
            except self._allowed:
                self.errors += 1

    def drop(self) -> None:
        """Leave the storage as a process does that dies: the system lets go of the lock."""
        if self.storage is not None:
            self.storage._release_lock()

    def _run(self, work: Any, blobs: dict[bytes, bytes] | None) -> None:
        """Commit what `work` does, or abort if it leaves no `blobs`."""
        storage = self.storage
        if storage is None:
            return
        transaction = TransactionMetaData()
        self._tid = after(self._tid)
        try:
            storage.tpc_begin(transaction, self._tid)
            work(storage, transaction)
            storage.tpc_vote(transaction)
            if blobs is None:
                storage.tpc_abort(transaction)
                return
            self.blobs.update({(oid, self._tid): content for oid, content in blobs.items()})
            self.recording.mark(Finishing(self._tid))
            self.recording.mark(Returned(storage.tpc_finish(transaction)))
        except self._allowed:
            self.errors += 1
            storage.tpc_abort(transaction)


def opened(directory: Path, operations: FileOperations | None = None) -> FileStorage:
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
    work.undo()
    work.undo()
    work.commit(c=b"garbage", b=b"")
    work.link(A)
    work.pack()
    work.commit(a=b"a three" * 200)
    work.close()


def _store(
    storage: FileStorage, transaction: TransactionMetaData, blobs: dict[bytes, bytes]
) -> None:
    for oid, content in blobs.items():
        path = Path(storage.temporaryDirectory(), "source")
        path.write_bytes(content)
        serial = storage.lastTid(oid) or ZERO
        storage.storeBlob(oid, serial, RECORD, str(path), "", transaction)


@dataclass(frozen=True)
class Found:
    """The transactions that are there, with their blobs, and blobs that no transaction has."""

    tids: set[bytes]
    orphans: set[tuple[bytes, bytes]]


def look(directory: Path, work: Work) -> Found:
    """Open what a crash left, and commit."""
    there = set()
    with closing(opened(directory)) as storage:
        for transaction in storage.iterator():
            there.add(transaction.tid)
            for record in transaction:
                if record.data is not None and is_blob(record.data):
                    with storage.openCommittedBlobFile(record.oid, record.tid) as file:
                        assert file.read() == work.blobs[record.oid, record.tid]
        # What was in flight is gone from `tmp`, and blobs of no transaction wherever noticed.
        assert not [name for name in os.listdir(directory / "blobs" / "tmp") if "staged" in name]
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction)
        _store(storage, transaction, {A: b"after the crash"})
        storage.tpc_vote(transaction)
        tid = storage.tpc_finish(transaction)
    # Not its references: the root refers to objects before they are there.
    checked = check_file(
        directory / "data.fs", blob_dir=directory / "blobs", follow_references=False
    )
    orphans = blobs_in(directory) - {(r.oid, r.tid) for r in records_in(directory)}
    assert [f for f in checked.findings if f.damage or (f.oid, f.tid) not in orphans] == []
    with closing(opened(directory)) as storage:
        assert {transaction.tid for transaction in storage.iterator()} == {*there, tid}
        with storage.openCommittedBlobFile(A, tid) as file:
            assert file.read() == b"after the crash"
    return Found(there, orphans)


def compare(found: Found, marks: tuple[object, ...], kept: set[bytes]) -> None:
    """Raise `AssertionError` unless there is what was acknowledged, and nothing that failed.

    `kept` are the transactions that the pack leaves.
    """
    begun = {mark.tid for mark in marks if isinstance(mark, Finishing)}
    needed = {mark.tid for mark in marks if isinstance(mark, Returned)}
    for mark in marks:
        if isinstance(mark, Packed):
            needed = {tid for tid in needed if tid > mark.stop or tid in kept}
    assert needed <= found.tids <= begun


def pack_away(directory: Path, orphans: set[tuple[bytes, bytes]]) -> None:
    """Raise `AssertionError` unless the next pack removes the blobs that no transaction has."""
    with closing(opened(directory)) as storage:
        storage.pack(4e9, references)
    assert not blobs_in(directory) & orphans


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with quiet(), fast_directory(tmp_path) as root:
        (root / "work").mkdir()
        (root / "crashed").mkdir()
        yield root


@pytest.fixture
def kept(root: Path) -> set[bytes]:
    """The transactions that are there when nothing goes wrong."""
    history(Work(Recording(root / "work")))
    with closing(opened(root / "work")) as storage:
        found = {transaction.tid for transaction in storage.iterator()}
    emptied(root / "work")
    return found


def test_a_crash_at_any_call_leaves_no_transaction_without_its_blobs(
    root: Path, kept: set[bytes]
) -> None:
    work = Work(Recording(root / "work"))
    history(work)
    found: dict[object, Found] = {}
    packed: list[CrashState] = []
    for state in crash_states(work.recording, SEED, limit=20):
        try:
            if key(state) not in found:
                state.write_to(emptied(root / "crashed"))
                found[key(state)] = look(root / "crashed", work)
                # The name in `tmp` that tells of a blob may be lost, and the blob's own not.
                if found[key(state)].orphans and len(packed) < PACKS:
                    packed.append(state)
                    pack_away(root / "crashed", found[key(state)].orphans)
            compare(found[key(state)], state.marks, kept)
        except BaseException as error:
            error.add_note(str(state))
            raise
    assert len(found) >= DISKS
    assert len(packed) == PACKS


def key(state: CrashState) -> object:
    return tuple(sorted(state.contents.files.items())), state.contents.directories


def test_a_process_killed_at_any_call_leaves_only_what_opening_removes(
    root: Path, kept: set[bytes]
) -> None:
    calls = packed = 0
    finished = False
    while not finished:
        calls += 1
        directory = emptied(root / "work")
        recording = Recording(directory)
        recording.kill_at(calls)
        work = None
        with suppress(Killed, StorageClosedError):
            work = Work(recording)
            history(work)
            finished = True
        if work is None:
            emptied(directory)
            continue
        work.drop()
        found = look(directory, work)
        compare(found, work.marks, kept)
        if found.orphans:
            packed += 1
            assert any(isinstance(mark, Packed) for mark in work.marks)
            pack_away(directory, found.orphans)
    assert calls > 100
    assert packed > 2


def blobs_in(directory: Path) -> set[tuple[bytes, bytes]]:
    blobs = open_blob_directory(directory / "blobs", Unsynced(), read_only=True)
    return {(oid, tid) for oid in blobs.objects() for tid in blobs.revisions(oid)}


def records_in(directory: Path) -> list[Any]:
    with closing(FileStorage(directory / "data.fs", read_only=True)) as storage:
        return [record for transaction in storage.iterator() for record in transaction]


@pytest.mark.parametrize("kind", KINDS)
def test_whichever_call_fails_no_transaction_is_left_without_its_blobs(
    kind: str, root: Path, kept: set[bytes]
) -> None:
    """The error is typed: any other would end the test."""
    call = errors = 0
    while True:
        call += 1
        recording = Recording(emptied(root / "work"))
        failing = Failing(call, KINDS[kind], operations=recording)
        work = Work(recording, failing, tolerant=True)
        try:
            history(work)
        finally:
            work.drop()
        if failing.failed is None:
            break
        errors += work.errors
        try:
            compare(look(recording.root, work), work.marks, kept)
        except BaseException as error:
            error.add_note(f"call {call} failed, {failing.failed}, with {kind}")
            raise
    assert call > 10
    assert errors > 10 or kind == "short write"
