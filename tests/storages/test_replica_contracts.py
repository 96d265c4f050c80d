"""The storage contract, kept by a storage that is replicated; and the backups equal it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.samples.file_operations import Unsynced

from perdure.storages import FileStorage, MappingStorage, ReplicatingStorage, compressed, encrypted
from perdure.testing.contract import (
    BatchContract,
    BindingContract,
    BlobContract,
    BlobRestoreContract,
    ExternalGCContract,
    IterationContract,
    MeasuredContract,
    ReadVerifyingContract,
    RecordIterationContract,
    ReopenContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)


class Replicated(
    StorageContract,
    IterationContract,
    UndoContract,
    RestoreContract,
    ReadVerifyingContract,
    RecordIterationContract,
    ExternalGCContract,
    BindingContract,
    BlobContract,
    BlobRestoreContract,
):
    large_mb: ClassVar[int] = 10


class TestReplicatedMemory(Replicated):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: ReplicatingStorage(
            MappingStorage(name), MappingStorage("backup"), synchronous=True
        )


class TestReplicatedFile(Replicated, BatchContract, MeasuredContract, ReopenContract):
    """In the background: to a file that is opened by the function, and one that is encrypted."""

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        def make(name: str) -> Any:
            def opened(role: str) -> Any:
                path = tmp_path / f"{name}-{role}"
                return FileStorage(path, blob_dir=f"{path}.blobs", operations=Unsynced())

            return ReplicatingStorage(
                opened("main"),
                lambda: opened("backup"),
                encrypted(compressed(MappingStorage()), bytes(32)),
            )

        return make
