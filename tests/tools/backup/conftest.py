from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdure.clock import tid_at
from perdure.ids import p64
from perdure.storages import FileStorage
from samples.transactions import write

START = 1_700_000_000


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    # Copies are compared with the file while it is open: a reserve would be the difference.
    storage = FileStorage(tmp_path / "app.fs", reserve_bytes=0)
    yield storage
    storage.close()


@pytest.fixture
def path(storage: FileStorage, tmp_path: Path) -> Path:
    return tmp_path / "app.fs"


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def commit(storage: FileStorage) -> Callable[[int], bytes]:
    """Return a function that commits at a given hour, and returns the tid."""

    def commit(hour: int) -> bytes:
        record = b"N.B\x00\x04\x00\x00" + hour.to_bytes(2, "big") * 512 + b"."
        return write(storage, {p64(hour % 3): record}, tid=tid_at(START + hour * 3600))

    return commit
