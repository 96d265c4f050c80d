"""Read-only layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.samples.suites import TESTED_BELOW

from perdure.capabilities import capabilities_of
from perdure.errors import ReadOnlyError
from perdure.ids import MAX_TID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.storages.readonly import ReadOnlyStorage
from perdure.testing.contract import ReadOnlyContract
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write

OID = b"\0" * 7 + b"\x01"


class TestReadOnlyOverMemory(ReadOnlyContract):
    tested_elsewhere: ClassVar[frozenset[str]] = TESTED_BELOW

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return MappingStorage

    @pytest.fixture
    def view(self) -> Callable[[Any], Any]:
        return ReadOnlyStorage


class TestReadOnlyOverFile(TestReadOnlyOverMemory):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(tmp_path / name)


class TestReadOnlyOverDemo(TestReadOnlyOverMemory):
    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: DemoStorage(name, base=MappingStorage(name))


def test_what_is_committed_below_shows_at_once() -> None:
    below = MappingStorage()
    storage = ReadOnlyStorage(below)

    tid = write(below, {OID: cell(1)}).tid

    assert storage.lastTransaction() == tid
    assert storage.loadBefore(OID, MAX_TID) == (cell(1), tid, None)
    assert storage.load(OID) == (cell(1), tid)


def test_writing_is_refused_before_anything_is_looked_at() -> None:
    storage = ReadOnlyStorage(MappingStorage())
    nonsense: Any = object()

    for call in (
        lambda: storage.store(nonsense, nonsense, nonsense, nonsense, nonsense),
        lambda: storage.tpc_vote(nonsense),
        lambda: storage.tpc_finish(nonsense),
    ):
        with pytest.raises(ReadOnlyError, match="only reads"):
            call()


def test_it_declares_what_reads_and_nothing_that_writes() -> None:
    capabilities = capabilities_of(ReadOnlyStorage(MappingStorage()))

    assert capabilities.iteration
    assert capabilities.record_iteration
    assert capabilities.undo  # for the log
    assert not capabilities.restore
    assert not capabilities.external_gc
    assert not capabilities.read_verification
    below_before = ReadOnlyStorage(ReadOnlyStorage(MappingStorage()))
    assert capabilities_of(below_before) == capabilities


def test_the_undo_log_and_the_records_can_be_walked() -> None:
    below = MappingStorage()
    tid = write(below, {OID: cell(1)}, metadata=TransactionMetaData("me", "first")).tid
    storage = ReadOnlyStorage(below)

    assert [entry["description"] for entry in storage.undoLog()] == [b"first"]
    assert [entry["description"] for entry in storage.undoInfo(0, 1)] == [b"first"]
    assert storage.record_iternext() == (OID, tid, cell(1), None)


@pytest.mark.parametrize("close_base", [True, False])
def test_closing_closes_the_storage_below_unless_told_not_to(close_base: bool) -> None:
    below = MappingStorage()
    storage = ReadOnlyStorage(below, close_base=close_base)

    storage.close()

    if close_base:
        with pytest.raises(Exception, match="closed"):
            below.loadBefore(OID, MAX_TID)
    else:
        write(below, {OID: cell(1)}, {OID: ZERO})
