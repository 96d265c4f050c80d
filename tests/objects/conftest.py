from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import transaction

from perdure.objects import Connection, Database
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage

MakeDatabase = Callable[..., Database]


@pytest.fixture(params=["memory", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty storage; its database closes it."""
    if request.param == "memory":
        return MappingStorage()
    return FileStorage(str(tmp_path / "test.fs"))


@pytest.fixture
def make_db() -> Iterator[MakeDatabase]:
    """Make databases, in memory unless given a storage; they are closed after the test."""
    made = []

    def make(storage: Any = None, **options: Any) -> Database:
        database = Database(MappingStorage() if storage is None else storage, **options)
        made.append(database)
        return database

    yield make
    transaction.abort()
    for database in made:
        database.close()


@pytest.fixture
def db(storage: Any, make_db: MakeDatabase) -> Database:
    """A database on each kind of storage."""
    return make_db(storage)


@pytest.fixture
def connect(db: Database) -> Callable[[], Connection]:
    """Open connections with a transaction manager each: as different users have."""

    def open_one() -> Connection:
        return db.open(transaction.TransactionManager())

    return open_one


@pytest.fixture
def one(connect: Callable[[], Connection]) -> Connection:
    """A connection with a transaction manager of its own."""
    return connect()


@pytest.fixture
def two(connect: Callable[[], Connection]) -> Connection:
    """Another connection to the same database, with another transaction manager."""
    return connect()
