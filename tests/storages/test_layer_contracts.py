"""The storage contract, kept by the transforming layers, alone and in the stacks people build."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.samples.file_operations import Unsynced
from tests.samples.suites import TESTED_BELOW

from perdure.ids import p64
from perdure.storages import (
    BeforeStorage,
    DemoStorage,
    FileStorage,
    MappingStorage,
    compressed,
    encrypted,
)
from perdure.testing.contract import (
    BatchContract,
    BindingContract,
    BlobContract,
    BlobRestoreContract,
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
from perdure.testing.contract.transactions import write

KEY = bytes(range(32))
UNRELATED = {p64(n): cell(n) for n in range(0xBA5E, 0xBA5E + 5)}

# Encrypted blobs are other files than those that were handed over.
ENCRYPTED = {
    "test_the_file_is_taken_over_not_copied": "it is encrypted on its way, which makes another",
    "test_history_is_newest_first_and_as_long_as_asked": "sizes are those of encrypted records",
}


class Layer(
    StorageContract,
    IterationContract,
    UndoContract,
    RestoreContract,
    ReadVerifyingContract,
    BlobContract,
    BlobRestoreContract,
):
    """What all layers here can do; what is large is tested by the storages themselves."""

    large_mb: ClassVar[int] = 10


class TestCompressedMemory(Layer, RecordIterationContract, ExternalGCContract, BindingContract):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: compressed(MappingStorage(name))


class TestEncryptedMemory(Layer, RecordIterationContract, ExternalGCContract):
    differences: ClassVar[dict[str, str]] = ENCRYPTED
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"sealed_blobs"})

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: encrypted(MappingStorage(name), KEY, metadata=True, plain=False)


class TestCompressedOverDemo(Layer, BindingContract):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: compressed(DemoStorage(name), "zlib")


class TestEncryptedOverDemo(Layer):
    differences: ClassVar[dict[str, str]] = ENCRYPTED
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"sealed_blobs"})
    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        def make(name: str) -> Any:
            base = MappingStorage()
            write(encrypted(base, KEY), UNRELATED)
            return encrypted(DemoStorage(name, base), KEY)

        return make


class InFile(
    Layer,
    BatchContract,
    RecordIterationContract,
    ExternalGCContract,
    MeasuredContract,
    ReopenContract,
    ReadOnlyContract,
):
    @pytest.fixture
    def layered(self) -> Callable[[Any], Any]:
        raise NotImplementedError

    @pytest.fixture
    def make_storage(self, tmp_path: Path, layered: Callable[[Any], Any]) -> Callable[[str], Any]:
        def make(name: str) -> Any:
            blobs = tmp_path / f"{name}.blobs"
            return layered(FileStorage(tmp_path / name, blob_dir=blobs, operations=Unsynced()))

        return make

    @pytest.fixture
    def view(self, tmp_path: Path, layered: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def view(storage: Any) -> Any:
            storage.close()
            path = tmp_path / "main"
            return layered(FileStorage(path, read_only=True, blob_dir=tmp_path / "main.blobs"))

        return view


class TestZlibOverFile(InFile, BindingContract):
    @pytest.fixture
    def layered(self) -> Callable[[Any], Any]:
        return lambda storage: compressed(storage, "zlib")


class TestEncryptedOverCompressedOverFile(InFile):
    differences: ClassVar[dict[str, str]] = ENCRYPTED
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"sealed_blobs"})

    @pytest.fixture
    def layered(self) -> Callable[[Any], Any]:
        return lambda storage: encrypted(compressed(storage), KEY)


class TestCompressedOverEncryptedOverFile(InFile):
    differences: ClassVar[dict[str, str]] = ENCRYPTED
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"sealed_blobs"})

    @pytest.fixture
    def layered(self) -> Callable[[Any], Any]:
        return lambda storage: compressed(encrypted(storage, KEY, metadata=True))


class TestDemoOverDemoOverBeforeOverCompressedOverFile(Layer, BindingContract):
    starts_empty: ClassVar[bool] = False
    collects_garbage: ClassVar[bool] = False

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        def make(name: str) -> Any:
            live = compressed(FileStorage(tmp_path / f"{name}.fs", operations=Unsynced()))
            write(live, UNRELATED)
            below = DemoStorage(base=BeforeStorage(live))
            write(live, {p64(0xBEEF): cell("later" * 20)})  # out of sight
            write(below, {p64(0xD0D0): cell("below" * 20)})
            return DemoStorage(name, below)

        return make


class TestBeforeOverEncrypted(ReadOnlyContract):
    tested_elsewhere: ClassVar[frozenset[str]] = TESTED_BELOW

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: encrypted(MappingStorage(name), KEY)

    @pytest.fixture
    def view(self) -> Callable[[Any], Any]:
        return BeforeStorage
