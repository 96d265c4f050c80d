"""The past of an object: the same from native code as without it, whatever stands in the file."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import native
from perdure.clock import time_of
from perdure.errors import CorruptDataError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.transactions import undo, undo_id, write
from samples.file_operations import Unsynced

pytestmark = pytest.mark.native

A, B = p64(1), p64(2)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "data.fs", operations=Unsynced())
    yield storage
    storage.close()


def commit(
    storage: FileStorage,
    records: dict[bytes, bytes],
    metadata: TransactionMetaData,
    tid: bytes | None = None,
) -> None:
    storage.tpc_begin(metadata, tid)
    for oid, data in records.items():
        storage.restore(oid, ZERO, data, "", None, metadata)
    storage.tpc_vote(metadata)
    storage.tpc_finish(metadata)


def pure_history(storage: FileStorage, oid: bytes, size: int) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "reads", None)
        return storage.history(oid, size)


@pytest.mark.parametrize("seed", range(6))
def test_a_history_is_the_same_natively(storage: FileStorage, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        metadata = TransactionMetaData(
            "u" * chance.choice([0, 5, 400]),
            "note" * chance.choice([0, 1, 200]),
            chance.choice([None, None, {"time": 7, "extra": "x"}, {"long": "y" * 900}]),
        )
        first = {B: b"b" * chance.choice([10, 3_000, 70_000])} if chance.random() < 0.4 else {}
        commit(storage, {**first, A: b"a" * chance.choice([1, 50, 9_000])}, metadata)
        if chance.random() < 0.2:
            undo(storage, undo_id(storage))
    for oid in (A, B):
        whole = pure_history(storage, oid, 1_000)
        for size in (-3, 0, 1, 2, 20, 99, 100, 101, 1_000):
            found = storage.history(oid, size)
            assert found == whole[: abs(size)]
            assert [list(entry) for entry in found] == [list(entry) for entry in whole[: abs(size)]]


def test_a_filter_gets_as_many_as_it_takes(storage: FileStorage) -> None:
    for number in range(50):
        commit(storage, {A: b"%d" % number}, TransactionMetaData(description=f"{number}"))
    found = storage.history(A, 5, lambda entry: int(entry["description"]) % 10 == 3)
    assert [entry["description"] for entry in found] == [b"43", b"33", b"23", b"13", b"3"]


def test_times_are_those_of_the_tids_to_the_last_bit(storage: FileStorage) -> None:
    chance = random.Random(5)
    tids = sorted(
        p64(chance.choice([chance.getrandbits(63), chance.getrandbits(40), (0x3F << 56) + n]))
        for n in range(400)
    )
    # Months of 31 days are counted in a tid; those that a month has not are no moments.
    for tid in tids:
        commit(storage, {A: b"x"}, TransactionMetaData(), tid)
    found = storage.history(A, 1_000)
    assert [entry["tid"] for entry in reversed(found)] == tids
    assert [entry["time"] for entry in reversed(found)] == [time_of(tid) for tid in tids]


def test_damage_in_the_past_says_so(storage: FileStorage, tmp_path: Path) -> None:
    write(storage, {A: b"one"})
    position = storage._opened().index.get(A)
    for _ in range(3):
        write(storage, {A: b"more"})
    for at, data in (
        (position, b"\xff"),
        (position + 16, b"\xff" * 8),
        (position + 24, b"\xff" * 8),
    ):
        with (tmp_path / "data.fs").open("r+b") as file:
            file.seek(at)
            before = file.read(len(data))
            file.seek(at)
            file.write(data)
        outcomes = []
        for look in (storage.history, lambda oid, size: pure_history(storage, oid, size)):
            with pytest.raises(CorruptDataError) as caught:
                look(A, 10)
            outcomes.append(str(caught.value))
        assert outcomes[0] == outcomes[1]
        with (tmp_path / "data.fs").open("r+b") as file:
            file.seek(at)
            file.write(before)
    assert len(storage.history(A, 10)) == 4


def test_every_damaged_byte_in_the_past_has_the_same_outcome(
    storage: FileStorage, tmp_path: Path
) -> None:
    for number in range(3):
        commit(storage, {A: b"data"}, TransactionMetaData("me", f"note {number}"))
    descriptor = os.open(tmp_path / "data.fs", os.O_RDWR)
    try:
        whole = os.pread(descriptor, 1 << 20, 0)
        for at in range(4, len(whole)):
            os.pwrite(descriptor, bytes([whole[at] ^ 0xFF]), at)
            assert outcome(storage.history) == outcome(
                lambda oid, size: pure_history(storage, oid, size)
            )
            os.pwrite(descriptor, whole[at : at + 1], at)
    finally:
        os.close(descriptor)


def outcome(look: Any) -> object:
    try:
        return look(A, 10)
    except Exception as error:
        return type(error), str(error)
