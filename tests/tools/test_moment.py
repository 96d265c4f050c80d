from collections.abc import Iterator
from typing import Any

import pytest
from zope.interface import directlyProvides

import perdure
from perdure.errors import POSKeyError, Unsupported
from perdure.ids import ROOT_OID, p64
from perdure.interfaces import INTERFACES, IterableStorage
from perdure.storages.memory import MappingStorage
from perdure.tools import Moment
from samples.transactions import write

ONE, TWO = p64(1), p64(2)


class OnlyIterated:
    """A storage that can be iterated, and cannot be walked by oid."""

    def __init__(self, storage: MappingStorage) -> None:
        self._storage = storage
        directlyProvides(self, INTERFACES[IterableStorage])

    def getName(self) -> str:
        return "iterated"

    def lastTransaction(self) -> bytes:
        return self._storage.lastTransaction()

    def __len__(self) -> int:
        return len(self._storage)

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        return self._storage.loadBefore(oid, tid)

    def iterator(self, start: bytes | None = None, stop: bytes | None = None) -> Iterator[Any]:
        return self._storage.iterator(start, stop)


def records(storage: Any, at: bytes | None = None) -> dict[bytes, bytes]:
    found = list(Moment(storage, at).records())
    assert len(found) == len(dict(found)), "an object was told twice"
    return {oid: loaded.data for oid, loaded in found}


@pytest.fixture
def storage() -> MappingStorage:
    return MappingStorage()


def test_every_object_is_told_once_as_it_is(storage: MappingStorage) -> None:
    write(storage, {ONE: b"a", TWO: b"b"})
    write(storage, {ONE: b"c"})
    assert records(storage) == {ONE: b"c", TWO: b"b"}
    assert records(OnlyIterated(storage)) == {ONE: b"c", TWO: b"b"}


def test_every_object_is_told_as_it_was(storage: MappingStorage) -> None:
    first = write(storage, {ONE: b"a"})
    write(storage, {ONE: b"c", TWO: b"b"})
    assert records(storage, first) == {ONE: b"a"}
    assert Moment(storage, first).load(ONE).data == b"a"
    with pytest.raises(POSKeyError):
        Moment(storage, first).load(TWO)


def test_later_commits_are_not_seen(storage: MappingStorage) -> None:
    write(storage, {ONE: b"a"})
    moment = Moment(storage)
    write(storage, {ONE: b"c", TWO: b"b"})
    assert {oid: loaded.data for oid, loaded in moment.records()} == {ONE: b"a"}
    assert moment.load(ONE).data == b"a"


def test_an_object_that_is_gone_is_not_told(storage: MappingStorage) -> None:
    tid = write(storage, {ONE: b"a", TWO: b"b"})
    transaction = perdure.interfaces.TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.deleteObject(ONE, tid, transaction)
    storage.tpc_vote(transaction)
    storage.tpc_finish(transaction)
    assert records(storage) == {TWO: b"b"}
    assert records(OnlyIterated(storage)) == {TWO: b"b"}
    assert records(storage, tid) == {ONE: b"a", TWO: b"b"}


def test_an_empty_storage_has_no_records(storage: MappingStorage) -> None:
    assert records(storage) == {}


def test_a_moment_in_the_future_is_now(storage: MappingStorage) -> None:
    tid = write(storage, {ROOT_OID: b"a"})
    assert Moment(storage, b"\x7f" * 8).tid == tid


def test_progress_ends_with_the_number_of_objects(storage: MappingStorage) -> None:
    write(storage, {p64(number): b"x" for number in range(2500)})
    told: list[tuple[int, int | None]] = []
    list(Moment(storage).records(lambda done, total: told.append((done, total))))
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]


def test_a_storage_that_lists_nothing_is_told_so() -> None:
    storage = OnlyIterated(MappingStorage("x"))
    write(storage._storage, {ONE: b"a"})
    directlyProvides(storage)
    with pytest.raises(Unsupported, match="iterated cannot list"):
        records(storage)
