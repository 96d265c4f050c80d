"""The storage contract, kept by the storage in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure.storages.memory import MappingStorage
from perdure.testing.contract import (
    BindingContract,
    BlobContract,
    BlobRestoreContract,
    ExternalGCContract,
    IterationContract,
    ReadVerifyingContract,
    RecordIterationContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)


class TestMappingStorage(
    StorageContract,
    BindingContract,
    IterationContract,
    UndoContract,
    RestoreContract,
    RecordIterationContract,
    ReadVerifyingContract,
    ExternalGCContract,
    BlobContract,
    BlobRestoreContract,
):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return MappingStorage
