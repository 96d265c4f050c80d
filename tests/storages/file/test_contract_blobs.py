"""The contract of blobs, kept by the storage in a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure.storages.file import FileStorage
from perdure.testing.contract import BlobContract, BlobRestoreContract


class TestFileStorage(BlobContract, BlobRestoreContract):
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset(
        {
            "undo",
            "iteration",
            "record_iteration",
            "restore",
            "read_verification",
            "external_gc",
            "counting",
            "binding",
            "batches",
            "record_checking",
        }
    )

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(tmp_path / name, blob_dir=tmp_path / f"{name}.blobs")


class TestFileStorageInLawn(TestFileStorage):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        def make(name: str) -> FileStorage:
            directory = tmp_path / f"{name}.blobs"
            directory.mkdir()
            (directory / ".layout").write_text("lawn")
            return FileStorage(tmp_path / name, blob_dir=directory)

        return make


class TestFileStorageWithoutOldBlobs(TestFileStorage):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(
            tmp_path / name, blob_dir=tmp_path / f"{name}.blobs", pack_keep_old=False
        )
