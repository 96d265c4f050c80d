"""What a file storage does in C is what the pure functions do, or is left to them."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.changes import Planned
from perdure.storages.file import FileStorage, encoding
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.reader import View
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


def planned_by(seed: int, largest: int) -> dict[bytes, Planned[int]]:
    random = Random(seed)

    def plan() -> Planned[int]:
        previous = random.choice((None, 0, 4, random.randrange(1 << 47)))
        if random.random() < 0.2:
            return None, random.choice((None, 0, random.randrange(1 << 47))), previous
        return random.randbytes(random.randrange(1, largest)), None, previous

    return {p64(random.randrange(1 << 63)): plan() for _ in range(random.randrange(1, 40))}


@pytest.mark.parametrize("seed", range(30))
def test_records_are_encoded_to_the_same_bytes(seed: int) -> None:
    planned, position, first = planned_by(seed, 1000), 1234, 1300
    records, positions = reads.encode_records(planned, TID, position, first, 1000, 1 << 20)
    pure = encoding._pure_body(TID, planned, position, first, True)
    assert [records] == pure.kept
    assert positions == pure.positions
    assert list(positions) == list(pure.positions)
    assert first + len(records) == pure.end


@pytest.mark.parametrize(
    "planned",
    [
        {},
        {p64(1): (b"x" * 1000, None, None)},  # too large
        {p64(1): (b"x" * 600, None, None), p64(2): (b"x" * 600, None, None)},  # together
        {p64(1): (bytearray(b"x"), None, None)},
        {p64(1): (b"", None, None)},
        {p64(1): (b"x", None, -1)},
        {p64(1): (b"x", None, 1 << 64)},
        {p64(1): (b"x", None, "4")},
        {p64(1): (b"x", None)},
        {b"1": (b"x", None, None)},
    ],
)
def test_what_is_not_usual_is_not_encoded(planned: dict[bytes, Planned[int]]) -> None:
    assert reads.encode_records(planned, TID, 4, 40, 1000, 1200) is None


def queue_of(view: View) -> CommitQueue:
    return CommitQueue(view.end, lambda: None, lambda written: None, lambda error: error)


@pytest.mark.parametrize("recent", [False, True])
def test_the_same_records_are_planned(storage: FileStorage, recent: bool) -> None:
    first = commit(storage, {p64(n): b"first" for n in range(1, 30)})
    second = commit(storage, {p64(n): b"second" for n in range(10, 20)})
    if recent:
        records = storage._committer._records  # type: ignore[union-attr]
    else:  # it has to look into the file
        records = CommittedRecords(storage._opened(), queue_of(storage._opened()))
    batches = [
        [(p64(n), first if n < 10 else second, b"new") for n in range(1, 20)],
        [(p64(n), ZERO, b"made") for n in range(100, 120)],
        [(p64(n), first, b"too late") for n in range(5, 15)],
        [(p64(1), ZERO, b"there already")],
        [(p64(1), first, b"once"), (p64(1), first, b"twice")],
        [(b"odd", first, b"")],
        [],
    ]
    for batch in map(tuple, batches):
        native: dict[bytes, Planned[int]] = {}
        pure: dict[bytes, Planned[int]] = {}
        stopped = records.pure_plan_unchanged(batch, 0, pure)
        assert records.plan_unchanged(batch, 0, native) in (stopped, 0)
        if batch and len(batch[0][0]) == 8:
            assert native == pure
            assert records.plan_unchanged(batch, 0, {}) == stopped


def test_records_that_wait_to_become_visible_are_planned_upon(storage: FileStorage) -> None:
    read = commit(storage, {p64(1): b"one"})
    view = storage._opened()
    records = storage._committer._records  # type: ignore[union-attr]
    native: dict[bytes, Planned[int]] = {}
    assert records.plan_unchanged(((p64(1), read, b"two"),), 0, native) == 1
    assert native == {p64(1): (b"two", None, view.index.get(p64(1)))}


def test_wrong_arguments_are_refused() -> None:
    for function, arguments in (
        (reads.plan_unchanged, ([], 0, {}, {}, [], [], 0)),
        (reads.encode_records, ([], TID, 0, 0, 0, 0)),
    ):
        with pytest.raises(TypeError):
            function(*arguments)


def test_nothing_is_leaked(storage: FileStorage) -> None:
    import tracemalloc

    read = commit(storage, {p64(n): b"x" * 2000 for n in range(1, 50)})
    view = storage._opened()
    records = storage._committer._records  # type: ignore[union-attr]
    batch = tuple((p64(n), read, b"new") for n in range(1, 50))

    def all_of_it() -> None:
        planned: dict[bytes, Planned[int]] = {}
        records.plan_unchanged(batch, 0, planned)
        _, positions = reads.encode_records(planned, TID, 4, 40, 1 << 20, 1 << 20)
        PositionIndex().update(positions)
        for oid, _, _ in batch:
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
