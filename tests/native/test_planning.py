"""What a transaction stores, planned and encoded in C, compared with what Python does."""

import gc
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure.ids import ZERO, p64
from perdure.storages.file import FileStorage, encoding
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.reader import View
from perdure.storages.plan import Planned
from samples.transactions import write

planning = pytest.importorskip("perdure.native._planning", reason="it is not built")

TID = p64(77)

Batch = list[tuple[bytes, bytes, bytes]]


def as_records(batch: Batch) -> Any:
    records = planning.Records()
    for record in batch:
        records.append(record)
    return records


# Records


def test_records_are_a_sequence() -> None:
    batch = [(p64(n), p64(n + 1), b"x" * n) for n in range(1, 100)]
    records = as_records(batch)
    assert len(records) == 99
    assert list(records) == batch
    assert list(reversed(records)) == batch[::-1]
    assert (records[0], records[-1]) == (batch[0], batch[-1])
    for part in (slice(5), slice(90, 200), slice(None, None, -7), slice(50, 10), slice(3, -3, 2)):
        assert records[part] == batch[part]
    assert batch[7] in records
    assert records.oids() == [oid for oid, _, _ in batch]
    assert records.size_bytes == sum(range(1, 100))
    assert records.highest() == p64(99)
    assert as_records([(p64(n), ZERO, b"x") for n in (3, 1 << 60, 8)]).highest() == p64(1 << 60)
    assert planning.Records().highest() == ZERO
    for beyond in (99, -100):
        with pytest.raises(IndexError):
            records[beyond]
    with pytest.raises(TypeError):
        records["1"]


@pytest.mark.parametrize(
    "record",
    [
        (b"short", ZERO, b"x"),
        (p64(1), b"short", b"x"),
        (p64(1), ZERO, b""),
        (p64(1), ZERO, bytearray(b"x")),
        (p64(1), ZERO),
        None,
    ],
)
def test_what_is_no_record_is_refused(record: Any) -> None:
    records = planning.Records()
    with pytest.raises(ValueError, match="8 bytes"):
        records.append(record)
    assert len(records) == 0


# Plans


def random_plan(random: Random, largest: int) -> Planned[int]:
    previous = random.choice((None, 4, random.randrange(1, 1 << 47)))
    if random.random() < 0.2:
        return None, random.choice((None, random.randrange(1, 1 << 47))), previous
    return random.randbytes(random.randrange(1, largest)), None, previous


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_does_what_a_dictionary_does(seed: int) -> None:
    random = Random(seed)
    plan, pure = planning.Plan(), dict[bytes, Planned[int]]()
    oids = [p64(random.randrange(1 << random.choice((8, 63)))) for _ in range(300)]
    for _ in range(random.randrange(1, 1000)):
        oid = random.choice(oids)
        plan[oid] = pure[oid] = random_plan(random, 20)
        if random.random() < 0.002:
            plan.clear()
            pure.clear()
    more = {random.choice(oids): random_plan(random, 20) for _ in range(30)}
    plan.update(more)
    pure.update(more)
    other, more = planning.Plan(), {random.choice(oids): random_plan(random, 20) for _ in range(90)}
    other.update(more)
    plan.update(other)
    pure.update(more)
    assert list(plan) == plan.keys() == list(pure)
    assert dict(plan.items()) == dict(plan) == pure
    assert len(plan) == len(pure)
    for oid in oids:
        assert (oid in plan) == (oid in pure)
        assert plan.get(oid) == pure.get(oid)
        assert plan.get(oid, 5) == pure.get(oid, 5)
    assert [plan[oid] for oid in pure] == list(pure.values())
    for missing in (p64(1 << 63), b"short", None):
        assert missing not in plan
        with pytest.raises(KeyError):
            plan[missing]


@pytest.mark.parametrize(
    ("oid", "planned"),
    [
        (p64(1), (b"x", None, -1)),
        (p64(1), (b"x", None, 1 << 64)),
        (p64(1), (b"x", "4", None)),
        (p64(1), (b"x", None)),
        (p64(1), [b"x", None, None]),
        (b"1", (b"x", None, None)),
    ],
)
def test_what_cannot_be_planned_is_refused(oid: bytes, planned: Any) -> None:
    plan = planning.Plan()
    with pytest.raises(ValueError, match="8 bytes"):
        plan[oid] = planned
    with pytest.raises(ValueError, match="8 bytes"):
        plan.update({oid: planned})
    with pytest.raises(ValueError, match="8 bytes"):
        del plan[oid]
    assert len(plan) == 0


# Encoding


@pytest.mark.parametrize("seed", range(30))
def test_records_are_encoded_to_the_same_bytes(seed: int) -> None:
    random = Random(seed)
    planned = {
        p64(random.randrange(1 << 63)): random_plan(random, 1000)
        for _ in range(random.randrange(1, 40))
    }
    plan, position, first = planning.Plan(), 1234, 1300
    plan.update(planned)
    records, positions = planning.encode_records(plan, TID, position, first, 1000, 1 << 20)
    pure = encoding._pure_body(TID, planned, position, first, True)
    pure_positions, end, kept, _ = pure
    assert [records] == kept
    assert positions == pure_positions
    assert list(positions) == list(pure_positions)
    assert first + len(records) == end
    assert encoding._pure_body(TID, plan, position, first, True) == pure


@pytest.mark.parametrize(
    "planned",
    [
        {},
        {p64(1): (b"x" * 1000, None, None)},  # too large
        {p64(1): (b"x" * 600, None, None), p64(2): (b"x" * 600, None, None)},  # together
        {p64(1): (bytearray(b"x"), None, None)},
        {p64(1): (b"", None, None)},
    ],
)
def test_what_is_not_usual_is_not_encoded(planned: dict[bytes, Planned[int]]) -> None:
    plan = planning.Plan()
    plan.update(planned)
    assert planning.encode_records(plan, TID, 4, 40, 1000, 1200) is None
    assert planning.encode_records(plan, b"short", 4, 40, 1000, 1200) is None


# Planning


def plan_unchanged(records: CommittedRecords, given: Any, number: int, plan: Any) -> int:
    """Do what `records.plan_unchanged` does where native code is in use, even if it is not."""
    positions, tids = records._recent.known
    descriptor = records._file.descriptor
    planned: int = planning.plan_unchanged(
        given, number, records._pages, plan, positions, tids, descriptor
    )
    return planned


def queue_of(view: View) -> CommitQueue:
    return CommitQueue(
        view.end, lambda kept: None, lambda: None, lambda written: None, lambda error: error
    )


@pytest.mark.parametrize("recent", [False, True])
def test_the_same_records_are_planned(storage: FileStorage, recent: bool) -> None:
    first = write(storage, {p64(n): b"first" for n in range(1, 30)})
    second = write(storage, {p64(n): b"second" for n in range(10, 20)})
    if recent:
        records = storage._committer._records  # type: ignore[union-attr]
    else:  # it has to look into the file
        records = CommittedRecords(storage._opened(), queue_of(storage._opened()))
    batches: list[Batch] = [
        [(p64(n), first if n < 10 else second, b"new") for n in range(1, 20)],
        [(p64(n), second if 10 <= n < 20 else first, b"new") for n in range(29, 0, -3)],
        [(p64(n), ZERO, b"made") for n in range(100, 120)],
        [(p64(n), first, b"too late") for n in range(5, 15)],
        [(p64(1), ZERO, b"there already")],
        [(p64(1), first, b"once"), (p64(1), first, b"twice")],
        [],
    ]
    for batch in batches:
        pure: dict[bytes, Planned[int]] = {}
        stopped = records.pure_plan_unchanged(batch, 0, pure)
        for given in (as_records(batch), tuple(batch)):
            plan = planning.Plan()
            assert plan_unchanged(records, given, 0, plan) == stopped
            assert dict(plan) == pure
            used = records.new_plan()
            assert records.plan_unchanged(given, 0, used) == stopped
            assert dict(used.items()) == pure
    assert plan_unchanged(records, ((b"odd", first, b""),), 0, planning.Plan()) == 0


def test_a_plan_goes_on_behind_a_record_that_was_left_out(storage: FileStorage) -> None:
    read = write(storage, {p64(n): b"first" for n in range(1, 5)})
    later = write(storage, {p64(2): b"second"})
    records = storage._committer._records  # type: ignore[union-attr]
    batch = as_records([(p64(n), read, b"new") for n in range(1, 5)])
    plan = planning.Plan()
    assert plan_unchanged(records, batch, 0, plan) == 1
    assert plan_unchanged(records, batch, 2, plan) == 4
    assert list(plan) == [p64(1), p64(3), p64(4)]
    assert later > read


def test_records_that_wait_to_become_visible_are_planned_upon(storage: FileStorage) -> None:
    read = write(storage, {p64(1): b"one"})
    view = storage._opened()
    records = storage._committer._records  # type: ignore[union-attr]
    plan: Any = records.new_plan()
    assert records.plan_unchanged(((p64(1), read, b"two"),), 0, plan) == 1
    assert dict(plan) == {p64(1): (b"two", None, view.index.get(p64(1)))}


@pytest.mark.parametrize("oids", [(1, 2), (1, 1)])
def test_an_object_that_is_in_a_transaction_twice_is_looked_at(
    tmp_path: Path, oids: tuple[int, ...]
) -> None:
    records = [RECORD_HEADER.pack(p64(oid), TID, 0, 4, 0, 1) + b"x" for oid in oids]
    path = tmp_path / "data.fs"
    path.write_bytes(b"FS30" + b"".join(records))
    with path.open("rb") as file:
        plan = planning.plan_undone(file.fileno(), 4, 4, path.stat().st_size, None)
    if oids == (1, 2):
        assert dict(plan.items()) == {p64(1): (None, None, 4), p64(2): (None, None, 47)}
    else:
        assert plan is None


def test_wrong_arguments_are_refused() -> None:
    plan = planning.Plan()
    for function, arguments in (
        (planning.plan_unchanged, ([], 0, {}, plan, [], [], 0)),
        (planning.plan_unchanged, ((), 0, {}, {}, [], [], 0)),
        (planning.encode_records, ({}, TID, 0, 0, 0, 0)),
        (planning.encode_records, (plan, TID, 0, 0)),
        (planning.plan_undone, (0, 0, 0, 0, [])),
        (plan.update, ([],)),
    ):
        with pytest.raises(TypeError):
            function(*arguments)


def test_nothing_is_leaked(storage: FileStorage) -> None:
    read = write(storage, {p64(n): b"x" * 2000 for n in range(1, 50)})
    records = storage._committer._records  # type: ignore[union-attr]
    batch = [(p64(n), read, b"new" * n) for n in range(1, 50)]

    def all_of_it() -> None:
        given, plan = as_records(batch), planning.Plan()
        plan_unchanged(records, given, 0, plan)
        planning.encode_records(plan, TID, 4, 40, 1 << 20, 1 << 20)
        assert [len(given[:3]), len(dict(plan.items())), len(given.oids())] == [3, 49, 49]
        plan.clear()
        plan.update({p64(1): (b"x", None, None)})
        undone = records.plan_undone(storage.lastTransaction())
        plan.update(undone)
        assert len(plan) == len(undone) == 49

    all_of_it()
    tracemalloc.start()
    try:
        all_of_it()
        gc.collect()  # and what is kept for new tuples
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            all_of_it()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 1000
    finally:
        tracemalloc.stop()
