"""All tests in here compare native code with what it repeats."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.storages.file import FileStorage
from samples.file_operations import Unsynced


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    """Return a file storage that does not wait for the disk."""
    storage = FileStorage(tmp_path / "data.fs", operations=Unsynced())
    yield storage
    storage.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.native)
