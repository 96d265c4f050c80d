"""What a file storage does in C is what the pure functions do, or is left to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.index import PositionIndex
from samples.file_operations import Unsynced

reads = pytest.importorskip("perdure.native._reads", reason="it is not built")

TID = p64(77)


def commit(storage: FileStorage, records: dict[bytes, bytes]) -> bytes:
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    for oid, data in records.items():
        storage.store(oid, storage.lastTid(oid) or ZERO, data, "", transaction)
    storage.tpc_vote(transaction)
    return storage.tpc_finish(transaction)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "data.fs", operations=Unsynced())
    yield storage
    storage.close()


def test_wrong_arguments_are_refused() -> None:
    for function, arguments in (
        (reads.plan_undone, (0, 0, 0, 0, [])),
        (reads.history, (0, 1, 0, 0)),
    ):
        with pytest.raises(TypeError):
            function(*arguments)


def test_nothing_is_leaked(storage: FileStorage) -> None:
    import tracemalloc

    read = commit(storage, {p64(n): b"x" * 2000 for n in range(1, 50)})
    view = storage._opened()
    positions = {p64(n): n for n in range(1, 50)}

    def all_of_it() -> None:
        PositionIndex().update(positions)
        for oid in positions:
            view.native_load_before(oid, after(read))

    all_of_it()
    tracemalloc.start()
    try:
        all_of_it()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            all_of_it()
        assert tracemalloc.get_traced_memory()[0] - before < 5_000
    finally:
        tracemalloc.stop()
