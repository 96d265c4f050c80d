from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.clock import tid_at
from perdure.errors import POSKeyError, Unsupported
from perdure.ids import ROOT_OID, after, before, p64
from perdure.storages.memory import MappingStorage
from perdure.tools import transactions
from samples.transactions import write

RECORD = b"N.N."


def storage_with(count: int, step_s: float = 3600) -> MappingStorage:
    """Return a storage of `count` transactions, so many seconds apart, by two users."""
    storage = MappingStorage()
    for number in range(count):
        write(
            storage,
            {p64(number % 3): RECORD},
            tid=tid_at(1_000_000_000 + number * step_s),
            user=f"user {number % 2}",
            description=f"number {number}",
        )
    return storage


def descriptions(storage: Any, **options: Any) -> list[int]:
    return [int(t.description.split()[1]) for t in transactions(storage, **options)]


@pytest.mark.parametrize("step_s", [0.001, 1, 3600, 86400 * 200])
def test_transactions_come_newest_first_and_none_is_missing(step_s: float) -> None:
    assert descriptions(storage_with(50, step_s)) == list(range(49, -1, -1))


def test_a_limit_takes_the_newest() -> None:
    assert descriptions(storage_with(20), limit=3) == [19, 18, 17]
    assert descriptions(storage_with(2), limit=3) == [1, 0]


def test_a_limit_is_kept_behind_a_long_silence() -> None:
    storage = storage_with(20, step_s=0.001)
    write(storage, {ROOT_OID: RECORD}, tid=tid_at(1_500_000_000), description="number 20")
    assert descriptions(storage, limit=3) == [20, 19, 18]


def test_since_and_until_are_included() -> None:
    storage = storage_with(10)
    tids = [t.tid for t in storage.iterator()]
    assert descriptions(storage, since=tids[3], until=tids[5]) == [5, 4, 3]
    assert descriptions(storage, since=after(tids[3]), until=before(tids[5])) == [4]
    assert descriptions(storage, since=after(tids[9])) == []
    assert descriptions(storage, until=before(tids[0])) == []


def test_a_user_is_matched_as_a_pattern() -> None:
    storage = storage_with(5)
    assert descriptions(storage, user="user 1") == [3, 1]
    assert descriptions(storage, user="user ?", limit=2) == [4, 3]
    assert descriptions(storage, user="user") == []


def test_an_oid_leaves_only_what_wrote_it() -> None:
    storage = storage_with(9)
    assert descriptions(storage, oid=p64(2)) == [8, 5, 2]
    assert descriptions(storage, oid=p64(2), user="user 1") == [5]
    assert descriptions(storage, oid=p64(2), limit=1) == [8]
    with pytest.raises(POSKeyError):
        list(transactions(storage, oid=p64(77)))


def test_an_empty_storage_has_no_transactions() -> None:
    assert list(transactions(MappingStorage())) == []


def test_what_a_transaction_wrote_is_told() -> None:
    storage = MappingStorage()
    extension = {"place": "desk", "pair": (1, 2)}
    write(storage, {p64(1): RECORD, p64(2): RECORD}, extension=extension)
    (transaction,) = transactions(storage)
    assert sorted(transaction.oids) == [p64(1), p64(2)]
    assert transaction.size_bytes == 2 * len(RECORD)
    assert transaction.status == " "
    assert transaction.extension == {"place": "desk", "pair": {"$tuple": [1, 2]}}


def test_classes_in_an_extension_are_not_imported() -> None:
    storage = MappingStorage()
    extension = b"}(X\x01\x00\x00\x00acno.such.module\nThing\n)\x81u."
    write(storage, {ROOT_OID: RECORD}, extension=extension)
    (transaction,) = transactions(storage)
    assert transaction.extension == {"a": {"$object": "no.such.module.Thing"}}


def test_an_extension_that_is_damaged_is_shown_as_bytes() -> None:
    storage = MappingStorage()
    write(storage, {ROOT_OID: RECORD}, extension=b"no pickle")
    (transaction,) = transactions(storage)
    assert transaction.extension == {"$bytes": "bm8gcGlja2xl"}


def test_files_are_read_like_memory(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        for number in range(30):
            with db.transaction(f"number {number}") as connection:
                connection.root.number = number
        notes = [t.description for t in transactions(db.storage, limit=30)]
    assert notes == [f"number {number}" for number in range(29, -1, -1)]


def test_a_storage_that_cannot_be_iterated_is_told_so() -> None:
    class Mute:
        def getName(self) -> str:
            return "mute"

    with pytest.raises(Unsupported, match="mute cannot list"):
        next(transactions(Mute()))
