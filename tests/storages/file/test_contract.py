"""The storage contract, kept by the storage in a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.storages.file import FileStorage
from perdure.testing.contract import (
    ExternalGCContract,
    IterationContract,
    ReadOnlyContract,
    ReadVerifyingContract,
    RecordIterationContract,
    ReopenContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)


class TestFileStorage(
    StorageContract,
    IterationContract,
    UndoContract,
    RestoreContract,
    RecordIterationContract,
    ReadVerifyingContract,
    ExternalGCContract,
    ReopenContract,
    ReadOnlyContract,
):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(tmp_path / f"{name}.fs")

    @pytest.fixture
    def view(self) -> Callable[[Any], Any]:
        def view(storage: FileStorage) -> FileStorage:
            storage.close()
            return FileStorage(storage.getName(), read_only=True)

        return view
