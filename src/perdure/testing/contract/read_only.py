"""Read-only: every writing call is refused, and reading is as in the storage written."""

from collections.abc import Callable

import pytest

from perdure.capabilities import capabilities_of
from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.testing.contract.records import cell, references
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, contents, write

__all__ = ["ReadOnlyContract"]

A, B = (b"\0" * 7 + bytes([n]) for n in (1, 2))


class ReadOnlyContract(Suite):
    """A storage that can be opened read-only, or that never writes.

    Needs a second fixture, `view`: a function that takes the storage that
    `make_storage` made, filled by now, and returns the read-only one on the same
    data. It may close the first, which is not used afterwards.
    """

    @pytest.fixture
    def view(self) -> Callable[[AnyStorage], AnyStorage]:
        pytest.fail(
            f"{type(self).__name__} has no fixture `view`: define one that returns "
            "a function from a storage to a read-only storage on the same data"
        )

    @pytest.fixture
    def filled(self, storage: AnyStorage) -> AnyStorage:
        write(storage, {A: cell(1), B: cell(1)}, metadata=TransactionMetaData("me", "first"))
        write(storage, {A: cell(2)}, metadata=TransactionMetaData("me", "second"))
        return storage

    def test_a_read_only_storage_says_so(
        self, filled: AnyStorage, view: Callable[[AnyStorage], AnyStorage]
    ) -> None:
        with _closing(view(filled)) as read_only:
            assert read_only.isReadOnly() is True

    def test_everything_can_be_read(
        self, filled: AnyStorage, view: Callable[[AnyStorage], AnyStorage]
    ) -> None:
        before = contents(filled, [A, B])
        with _closing(view(filled)) as read_only:
            after = contents(read_only, [A, B])
            same = len(before) if capabilities_of(read_only).iteration else len(before) - 1
            assert after[:same] == before[:same]

    def test_every_writing_call_is_refused_and_changes_nothing(
        self, filled: AnyStorage, view: Callable[[AnyStorage], AnyStorage]
    ) -> None:
        with _closing(view(filled)) as read_only:
            before = contents(read_only, [A, B])
            revision = read_only.loadBefore(A, MAX_TID)
            assert revision is not None
            for call in _writing_calls(read_only, revision[1]):
                with pytest.raises(self.errors.ReadOnlyError):
                    call()
            assert contents(read_only, [A, B]) == before

    def test_tpc_abort_stays_harmless(
        self, filled: AnyStorage, view: Callable[[AnyStorage], AnyStorage]
    ) -> None:
        with _closing(view(filled)) as read_only:
            read_only.tpc_abort(TransactionMetaData())


def _writing_calls(storage: AnyStorage, serial: bytes) -> list[Callable[[], object]]:
    transaction = TransactionMetaData()
    capabilities = capabilities_of(storage)
    calls: list[Callable[[], object]] = [
        storage.new_oid,
        lambda: storage.tpc_begin(transaction),
        lambda: storage.store(A, serial, cell(3), "", transaction),
        lambda: storage.store(B, ZERO, cell(3), "", transaction),
        lambda: storage.pack(4e9, references),
    ]
    if capabilities.undo:
        calls.append(lambda: storage.undo(b"AAAAAAAAAAA=", transaction))
    if capabilities.restore:
        calls.append(lambda: storage.restore(A, serial, cell(3), "", None, transaction))
    if capabilities.external_gc:
        calls.append(lambda: storage.deleteObject(A, serial, transaction))
    return calls


class _closing:  # noqa: N801  reads as contextlib's, whose argument must be more than a protocol
    def __init__(self, storage: AnyStorage) -> None:
        self._storage = storage

    def __enter__(self) -> AnyStorage:
        return self._storage

    def __exit__(self, *exception: object) -> None:
        self._storage.close()
