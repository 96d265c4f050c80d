"""The storage contract, kept by the storage in a file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract import (
    BatchContract,
    BindingContract,
    ExternalGCContract,
    IterationContract,
    MeasuredContract,
    ReadOnlyContract,
    ReadVerifyingContract,
    RecordIterationContract,
    ReopenContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)
from perdure.testing.contract.records import cell


class TestFileStorage(
    StorageContract,
    IterationContract,
    BindingContract,
    BatchContract,
    MeasuredContract,
    UndoContract,
    RestoreContract,
    RecordIterationContract,
    ReadVerifyingContract,
    ExternalGCContract,
    ReopenContract,
    ReadOnlyContract,
):
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"record_checking"})

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(tmp_path / name)

    @pytest.fixture
    def view(self, tmp_path: Path) -> Callable[[Any], Any]:
        def view(storage: Any) -> Any:
            storage.close()
            return FileStorage(tmp_path / "main", read_only=True)

        return view


def test_the_callback_of_tpc_finish_runs_when_the_file_has_the_transaction(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data.fs")
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.store(b"\0" * 7 + b"\x01", ZERO, cell(1), "", transaction)
    storage.tpc_vote(transaction)

    tid = storage.tpc_finish(
        transaction, lambda tid: shutil.copy(tmp_path / "data.fs", tmp_path / "copy.fs")
    )
    storage.close()

    copy = FileStorage(tmp_path / "copy.fs", read_only=True)
    assert copy.lastTransaction() == tid
    assert copy.loadBefore(b"\0" * 7 + b"\x01", MAX_TID) == (cell(1), tid, None)
    copy.close()
