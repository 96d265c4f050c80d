"""The storage contract, kept by a storage that is replicated; and the backups equal it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure.fileops import FileOperations
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


class Unsynced(FileOperations):
    """What is tested here is what layers do; no crash will be asked about the files."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


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
