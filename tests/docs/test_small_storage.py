"""The storage that the guide shows keeps the contract."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.testing.contract import StorageContract

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "howto"


def small_storage() -> Any:
    spec = importlib.util.spec_from_file_location("small_storage", GUIDE / "small_storage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SmallStorage


class TestSmallStorage(StorageContract):
    collects_garbage = False
    large_mb = 1

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        storage: Callable[[str], Any] = small_storage()
        return storage
