from pathlib import Path
from typing import Any

import pytest
from zope.interface import directlyProvides

import perdure
from perdure.errors import StorageError, Unsupported
from perdure.ids import p64
from perdure.storages import FileStorage, MappingStorage
from perdure.tools import copy
from samples.transactions import write

RECORD = b"N.N."


def filled(storage: Any, count: int) -> Any:
    for number in range(count):
        write(storage, {p64(number % 3): RECORD}, user="ada", extension={"number": number})
    return storage


def content(storage: Any) -> list[tuple[Any, ...]]:
    return [
        (t.tid, t.status, t.user, t.description, t.extension, list(t)) for t in storage.iterator()
    ]


def test_a_copy_has_every_transaction_with_its_tid(tmp_path: Path) -> None:
    source = filled(MappingStorage(), 10)
    target = FileStorage(tmp_path / "copy.fs")
    done = copy(source, target)
    assert content(target) == content(source)
    assert (done.transactions, done.records, done.size_bytes) == (10, 10, 40)
    target.close()


def test_a_copy_that_was_interrupted_goes_on() -> None:
    source, target = filled(MappingStorage(), 10), MappingStorage()

    def interrupt(done: int, total: int | None) -> None:
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, interrupt)
    assert len(content(target)) == 3
    assert copy(source, target).transactions == 7
    assert content(target) == content(source)
    filled(source, 2)
    assert copy(source, target).transactions == 2
    assert copy(source, target).transactions == 0


def test_progress_counts_bytes_and_ends_with_all() -> None:
    told: list[tuple[int, int | None]] = []
    copy(filled(MappingStorage(), 3), MappingStorage(), lambda *facts: told.append(facts))
    assert told == [(4, 12), (8, 12), (12, 12), (12, 12)]


def test_a_target_with_something_else_is_refused() -> None:
    target = filled(MappingStorage("other"), 1)
    with pytest.raises(StorageError, match="copy into an empty storage"):
        copy(filled(MappingStorage(), 2), target)
    assert len(content(target)) == 1


def test_storages_that_cannot_are_told_so() -> None:
    mute = MappingStorage("mute")
    directlyProvides(mute)

    class Mute:
        def getName(self) -> str:
            return "mute"

    with pytest.raises(Unsupported, match="mute cannot list"):
        copy(Mute(), MappingStorage())
    with pytest.raises(Unsupported, match="mute cannot take"):
        copy(MappingStorage(), Mute())


def test_a_database_s_copy_opens_as_a_database(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        with db.transaction() as connection:
            connection.root.greeting = "hello"
        target = MappingStorage()
        copy(db.storage, target)
    with perdure.DB(target) as copied, copied.transaction() as connection:
        assert connection.root.greeting == "hello"
