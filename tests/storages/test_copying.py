"""Copying between storages."""

from pathlib import Path
from typing import Any

import pytest

from perdure.errors import StorageError, StorageTransactionError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.before import BeforeStorage
from perdure.storages.copying import CopyProgress, copy_transactions
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import (
    commit,
    revisions,
    transactions,
    undo,
    undo_id,
    write,
)

A, B, C = p64(1), p64(2), p64(3)


def filled(storage: Any) -> Any:
    write(storage, {A: cell(1), B: cell(1)}, metadata=TransactionMetaData("Zoë", "日本", {"n": 1}))
    write(storage, {A: cell(2)})
    undo(storage, undo_id(storage))
    write(storage, {C: cell(3)})
    undo(storage, undo_id(storage))
    commit(storage, lambda transaction: None)
    return storage


@pytest.fixture(params=["memory", "file", "demo"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    storage: Any = {
        "memory": MappingStorage,
        "file": lambda: FileStorage(tmp_path / "target.fs"),
        "demo": DemoStorage,
    }[request.param]()
    yield storage
    storage.close()


def test_a_copy_equals_its_source(target: Any) -> None:
    source = filled(MappingStorage())

    copied = copy_transactions(source, target)

    assert transactions(target) == transactions(source)
    assert [revisions(target, oid) for oid in (A, B, C)] == [
        revisions(source, oid) for oid in (A, B, C)
    ]
    assert copied.transactions == 6
    assert copied.records == 6
    assert copied.tid == source.lastTransaction()
    assert copied.size_bytes == sum(len(cell(n)) for n in (1, 1, 2, 1, 3))


def test_progress_is_told_after_each_transaction(target: Any) -> None:
    source = filled(MappingStorage())
    told: list[CopyProgress] = []

    copied = copy_transactions(source, target, told.append)

    assert [progress.tid for progress in told] == [t.tid for t in source.iterator()]
    assert [progress.transactions for progress in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1] == copied


def test_an_interrupted_copy_goes_on_where_it_stopped(target: Any) -> None:
    source = filled(MappingStorage())

    def stop(progress: CopyProgress) -> None:
        if progress.transactions == 2:
            raise KeyboardInterrupt

    for remaining in (4, 2):
        with pytest.raises(KeyboardInterrupt):
            copy_transactions(source, target, stop)
        assert len(list(target.iterator())) == 6 - remaining
    copied = copy_transactions(source, target)

    assert copied.transactions == 2
    assert transactions(target) == transactions(source)


def test_a_copy_of_what_is_copied_does_nothing(target: Any) -> None:
    source = filled(MappingStorage())
    copy_transactions(source, target)

    assert copy_transactions(source, target) == CopyProgress(tid=source.lastTransaction())
    write(source, {A: cell(9)})
    assert copy_transactions(source, target).transactions == 1
    assert transactions(target) == transactions(source)


def test_an_empty_source_copies_nothing(target: Any) -> None:
    assert copy_transactions(MappingStorage(), target) == CopyProgress()
    assert target.lastTransaction() == ZERO


def test_a_target_with_something_else_is_refused(target: Any) -> None:
    source = filled(MappingStorage())
    tid = write(target, {A: cell("other")}).tid

    with pytest.raises(StorageError, match="the source does not have"):
        copy_transactions(source, target)

    assert target.lastTransaction() == tid


def test_an_error_within_a_transaction_leaves_the_target_free(target: Any) -> None:
    source = MappingStorage()
    write(source, {A: cell(1)})

    class Breaks(MappingStorage):
        def iterator(self, start: Any = None, stop: Any = None) -> Any:
            for transaction in source.iterator(start, stop):
                transaction._records = broken
                yield transaction

    def broken() -> Any:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        copy_transactions(Breaks(), target)

    assert target.lastTransaction() == ZERO
    write(target, {A: cell(1)})


def test_a_copy_from_a_view_and_through_a_layer(tmp_path: Path) -> None:
    base = filled(MappingStorage())
    layer = DemoStorage(base=BeforeStorage(base))
    write(layer, {A: cell("layer")})
    write(base, {A: cell("base")})
    target = FileStorage(tmp_path / "target.fs")

    copy_transactions(layer, target)

    assert transactions(target) == transactions(layer)
    target.close()


def test_transactions_out_of_order_are_refused() -> None:
    source, target = MappingStorage(), MappingStorage()
    write(source, {A: cell(1)})

    class Backwards(MappingStorage):
        def iterator(self, start: Any = None, stop: Any = None) -> Any:
            yield from list(source.iterator(start, stop)) * 2

    with pytest.raises(StorageTransactionError):
        copy_transactions(Backwards(), target)

    assert transactions(target) == transactions(source)
