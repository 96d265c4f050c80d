"""Blobs: the file of each revision, taken over as a whole, and gone with its revision."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from perdure.capabilities import capabilities_of
from perdure.ids import ROOT_OID, ZERO, after, p64
from perdure.interfaces import BlobRestoreableStorage, TransactionMetaData
from perdure.records import references
from perdure.testing.contract.records import holder
from perdure.testing.contract.suite import Clock, Suite
from perdure.testing.contract.transactions import (
    AnyStorage,
    Outcome,
    commit,
    serial_of,
    undo,
    undo_id,
    write,
)

__all__ = ["BlobContract", "BlobRestoreContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))

RECORD = b"\x80\x03cZODB.blob\nBlob\nq\x01.\x80\x03N."
"""The record of every blob object: its class, and no state."""


class AnyBlobStorage(AnyStorage, BlobRestoreableStorage, Protocol):
    """Every call there is, blobs included."""


class _Opened:
    """Keeps account of its files, as a blob does."""

    def __init__(self) -> None:
        self.closed_files: list[Any] = []

    def closed(self, f: object) -> None:
        self.closed_files.append(f)


def _file(storage: AnyBlobStorage, content: bytes) -> str:
    path = Path(storage.temporaryDirectory(), f"test-{os.urandom(6).hex()}")
    path.write_bytes(content)
    return str(path)


def _write(
    storage: AnyBlobStorage, oid: bytes, content: bytes, serial: bytes | None = None
) -> Outcome:
    read = serial_of(storage, oid) if serial is None else serial
    path = _file(storage, content)

    def work(transaction: TransactionMetaData) -> None:
        storage.storeBlob(oid, read, RECORD, path, "", transaction)

    return commit(storage, work)


def _read(storage: AnyBlobStorage, oid: bytes, tid: bytes) -> bytes:
    with storage.openCommittedBlobFile(oid, tid) as file:
        content: bytes = file.read()
    assert Path(storage.loadBlob(oid, tid)).read_bytes() == content
    return content


def _files(storage: AnyBlobStorage) -> list[str]:
    """Return the names of all files in the blob directory but those that it is made of."""
    return sorted(
        name
        for _, _, names in os.walk(Path(storage.temporaryDirectory()).parent)
        for name in names
        if name[0] != "."
    )


def _check_abort(storage: AnyBlobStorage, vote: bool) -> None:
    first = _write(storage, A, b"first").tid
    before = _files(storage)
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.storeBlob(A, first, RECORD, _file(storage, b"second"), "", transaction)
    storage.storeBlob(B, ZERO, RECORD, _file(storage, b"new"), "", transaction)
    if vote:
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)

    assert _files(storage) == before
    assert _read(storage, A, first) == b"first"


class BlobContract(Suite):
    """Each revision of a blob object has a file, which never changes."""

    capability = "blobs"

    def test_a_stored_blob_is_found_by_oid_and_tid(self, storage: AnyBlobStorage) -> None:
        tid = _write(storage, A, b"content").tid

        assert _read(storage, A, tid) == b"content"
        assert storage.loadSerial(A, tid) == RECORD

    def test_each_revision_has_its_own_blob(self, storage: AnyBlobStorage) -> None:
        tids = [_write(storage, A, content).tid for content in (b"one", b"two", b"")]

        assert [_read(storage, A, tid) for tid in tids] == [b"one", b"two", b""]

    def test_the_file_is_taken_over_not_copied(self, storage: AnyBlobStorage) -> None:
        path = _file(storage, b"")
        os.truncate(path, 64 << 20)

        def work(transaction: TransactionMetaData) -> None:
            storage.storeBlob(A, ZERO, RECORD, path, "", transaction)

        with open(path, "rb") as file:  # while it is open, no other file gets its inode
            inode = os.fstat(file.fileno()).st_ino
            tid = commit(storage, work).tid

            assert not os.path.exists(path)
            assert os.stat(storage.loadBlob(A, tid)).st_ino == inode

    def test_a_file_from_elsewhere_is_taken_over_too(
        self, storage: AnyBlobStorage, tmp_path: Path
    ) -> None:
        path = tmp_path / "elsewhere"
        path.write_bytes(b"from elsewhere")

        def work(transaction: TransactionMetaData) -> None:
            storage.storeBlob(A, ZERO, RECORD, str(path), "", transaction)

        tid = commit(storage, work).tid

        assert _read(storage, A, tid) == b"from elsewhere"
        assert not path.exists()

    def test_nobody_may_write_to_a_committed_blob(self, storage: AnyBlobStorage) -> None:
        tid = _write(storage, A, b"content").tid

        mode = os.stat(storage.loadBlob(A, tid)).st_mode

        assert mode & 0o777 & ~0o444 == 0
        assert mode & 0o400

    def test_a_blob_opened_for_an_object_tells_it_when_it_is_closed(
        self, storage: AnyBlobStorage
    ) -> None:
        tid = _write(storage, A, b"content").tid
        opened = _Opened()

        file = storage.openCommittedBlobFile(A, tid, opened)
        assert file.read() == b"content"
        assert opened.closed_files == []
        file.close()

        assert opened.closed_files == [file]

    def test_a_revision_without_a_blob_is_a_pos_key_error(self, storage: AnyBlobStorage) -> None:
        tid = _write(storage, A, b"content").tid

        for oid, serial in ((A, after(tid)), (B, tid)):
            with pytest.raises(self.errors.POSKeyError):
                storage.loadBlob(oid, serial)
            with pytest.raises(self.errors.POSKeyError):
                storage.openCommittedBlobFile(oid, serial)

    def test_the_last_of_several_files_for_one_object_counts(self, storage: AnyBlobStorage) -> None:
        def work(transaction: TransactionMetaData) -> None:
            for content in (b"first", b"second", b"third"):
                path = _file(storage, content)
                storage.storeBlob(A, ZERO, RECORD, path, "", transaction)

        tid = commit(storage, work).tid

        assert _read(storage, A, tid) == b"third"
        assert len(_files(storage)) == 1

    def test_several_blobs_in_one_transaction(self, storage: AnyBlobStorage) -> None:
        def work(transaction: TransactionMetaData) -> None:
            for oid in (A, B):
                storage.storeBlob(oid, ZERO, RECORD, _file(storage, oid), "", transaction)

        tid = commit(storage, work).tid

        assert [_read(storage, oid, tid) for oid in (A, B)] == [A, B]

    def test_a_blob_aborted_before_the_vote_leaves_nothing(self, storage: AnyBlobStorage) -> None:
        _check_abort(storage, vote=False)

    def test_a_blob_aborted_after_the_vote_leaves_nothing(self, storage: AnyBlobStorage) -> None:
        _check_abort(storage, vote=True)

    def test_of_two_that_change_one_blob_the_second_fails(self, storage: AnyBlobStorage) -> None:
        first = _write(storage, A, b"first").tid
        second = _write(storage, A, b"second").tid

        with pytest.raises(self.errors.ConflictError):
            _write(storage, A, b"third", serial=first)

        assert _read(storage, A, second) == b"second"
        assert _read(storage, A, _write(storage, A, b"fourth").tid) == b"fourth"

    def test_a_blob_in_another_transaction_is_refused_and_its_file_stays(
        self, storage: AnyBlobStorage
    ) -> None:
        path = _file(storage, b"content")

        with pytest.raises(self.errors.StorageTransactionError):
            storage.storeBlob(A, ZERO, RECORD, path, "", TransactionMetaData())

        assert Path(path).read_bytes() == b"content"

    def test_undo_brings_the_blob_back_as_a_new_revision(self, storage: AnyBlobStorage) -> None:
        _skip_without_undo(storage)
        tids = [_write(storage, A, content).tid for content in (b"one", b"two")]

        tids.append(undo(storage, undo_id(storage)).tid)
        tids.append(undo(storage, undo_id(storage)).tid)

        assert [_read(storage, A, tid) for tid in tids] == [b"one", b"two", b"one", b"two"]

    def test_undone_creation_of_a_blob_can_be_redone(self, storage: AnyBlobStorage) -> None:
        _skip_without_undo(storage)
        _write(storage, A, b"content")

        gone = undo(storage, undo_id(storage)).tid
        with pytest.raises(self.errors.POSKeyError):
            storage.loadBlob(A, gone)
        tid = undo(storage, undo_id(storage)).tid

        assert _read(storage, A, tid) == b"content"

    def test_undo_is_refused_where_the_blob_changed_later(self, storage: AnyBlobStorage) -> None:
        _skip_without_undo(storage)
        _write(storage, A, b"one")
        _write(storage, A, b"two")
        identity = undo_id(storage)
        last = _write(storage, A, b"three").tid

        with pytest.raises(self.errors.UndoError):
            undo(storage, identity)

        assert serial_of(storage, A) == last
        assert _read(storage, A, last) == b"three"

    def test_undo_is_possible_where_the_later_change_of_a_blob_was_undone(
        self, storage: AnyBlobStorage
    ) -> None:
        _skip_without_undo(storage)
        _write(storage, A, b"one")
        _write(storage, A, b"two")
        second = undo_id(storage)
        _write(storage, A, b"three")
        undo(storage, undo_id(storage))

        tid = undo(storage, second).tid

        assert _read(storage, A, tid) == b"one"

    def test_packing_drops_the_blobs_of_old_revisions(
        self, storage: AnyBlobStorage, clock: Clock
    ) -> None:
        clock.advance(1)
        write(storage, {ROOT_OID: holder(A)})
        tids = []
        for content in (b"one", b"two", b"three"):
            clock.advance(1)
            tids.append(_write(storage, A, content).tid)
        packed_at = clock.advance(1)
        clock.advance(1)
        tids.append(_write(storage, A, b"four").tid)

        storage.pack(packed_at, references)

        assert [_read(storage, A, tid) for tid in tids[2:]] == [b"three", b"four"]
        for tid in tids[:2]:
            with pytest.raises(self.errors.POSKeyError):
                storage.loadBlob(A, tid)

    def test_packing_drops_the_blobs_of_garbage(
        self, storage: AnyBlobStorage, clock: Clock
    ) -> None:
        clock.advance(1)
        write(storage, {ROOT_OID: holder(A, B)})
        tids = [_write(storage, oid, oid).tid for oid in (A, B)]
        clock.advance(1)
        write(storage, {ROOT_OID: holder(A)})

        storage.pack(clock.advance(1), references)

        assert _read(storage, A, tids[0]) == A
        if self.collects_garbage:
            with pytest.raises(self.errors.POSKeyError):
                storage.loadBlob(B, tids[1])

    def test_blobs_are_stored_after_a_pack(self, storage: AnyBlobStorage, clock: Clock) -> None:
        clock.advance(1)
        write(storage, {ROOT_OID: holder(A)})
        _write(storage, A, b"one")
        clock.advance(1)
        _write(storage, A, b"two")
        storage.pack(clock.advance(1), references)
        clock.advance(1)

        tid = _write(storage, A, b"three").tid

        assert _read(storage, A, tid) == b"three"


class BlobRestoreContract(Suite):
    """The blobs of another storage come in with their tids."""

    capability = "blob_restore"

    def test_a_restored_blob_keeps_its_tid(self, storage: AnyBlobStorage) -> None:
        tid = after(storage.lastTransaction() or p64(1 << 56))

        _restore(storage, tid, {A: b"content", B: b"another"})

        assert storage.lastTransaction() == tid
        assert _read(storage, A, tid) == b"content"
        assert _read(storage, B, tid) == b"another"

    def test_an_undone_change_of_a_blob_is_restored_with_its_blob(
        self, storage: AnyBlobStorage, open_storage: Callable[[str], AnyBlobStorage]
    ) -> None:
        tids = [after(storage.lastTransaction() or p64(1 << 56))]
        tids += [p64(int.from_bytes(tids[0], "big") + n) for n in (1, 2)]
        _restore(storage, tids[0], {A: b"one"})
        _restore(storage, tids[1], {A: b"two"})

        _restore(storage, tids[2], {A: b"one"}, source=tids[0])

        assert [_read(storage, A, tid) for tid in tids] == [b"one", b"two", b"one"]

    def test_an_aborted_restore_of_a_blob_leaves_nothing(self, storage: AnyBlobStorage) -> None:
        before = _files(storage)
        tid = p64(1 << 61)
        transaction = TransactionMetaData()
        storage.tpc_begin(transaction, tid)
        path = _file(storage, b"content")
        storage.restoreBlob(A, tid, RECORD, path, None, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_abort(transaction)

        assert _files(storage) == before


def _restore(
    storage: AnyBlobStorage, tid: bytes, blobs: dict[bytes, bytes], source: bytes | None = None
) -> None:
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction, tid)
    try:
        for oid, content in blobs.items():
            path = _file(storage, content)
            storage.restoreBlob(oid, tid, RECORD, path, source, transaction)
        storage.tpc_vote(transaction)
        storage.tpc_finish(transaction)
    except BaseException:
        storage.tpc_abort(transaction)
        raise


def _skip_without_undo(storage: AnyBlobStorage) -> None:
    if not capabilities_of(storage).undo:
        pytest.skip("this storage has no undo")
