"""What staged changes stand on is written among them."""

import pickle

import pytest
from persistent.mapping import PersistentMapping

import perdure
from perdure.errors import StagingError
from perdure.ids import ROOT_OID, ZERO
from perdure.interfaces import TransactionMetaData
from perdure.records import plain_record
from perdure.storages import DemoStorage, MappingStorage
from perdure.tools.stage.mark import (
    FIRST_NEW_OID,
    MARK_OID,
    Mark,
    holds_mark,
    read_mark,
    write_mark,
)

MARK = Mark(
    before=b"\x03\xf1" + b"\0" * 5 + b"\x02",
    last=b"\x03\xf1" + b"\0" * 5 + b"\x01",
    landmarks=(b"\x03\xf1" + b"\0" * 5 + b"\x01",),
    database="app.fs",
    address="file:app.fs",
)


def test_the_oids_of_a_stage_are_those_of_a_demo_storage() -> None:
    assert DemoStorage().new_oid() >= FIRST_NEW_OID > MARK_OID


def test_a_mark_is_read_as_it_was_written() -> None:
    changes = MappingStorage()
    assert not holds_mark(changes)
    write_mark(changes, MARK, "staged")
    assert holds_mark(changes)
    assert read_mark(changes) == MARK
    applied = Mark(MARK.before, MARK.last, (), "app.fs", "", MARK.last, "elsewhere", MARK.id)
    write_mark(changes, applied, "applied")
    assert read_mark(changes) == applied


def test_each_stage_has_a_name_of_its_own() -> None:
    names = {Mark(MARK.before, MARK.last, (), "app.fs").id for _ in range(100)}
    assert len(names) == 100


def test_a_mark_is_later_than_the_snapshot_whatever_the_clock_says() -> None:
    changes = MappingStorage()
    ahead = b"\x7f" + b"\0" * 7
    write_mark(changes, Mark(ahead, ahead, (), "app.fs"), "staged")
    assert changes.lastTransaction() >= ahead


def test_the_root_of_the_snapshot_goes_with_it() -> None:
    changes = MappingStorage()
    root = pickle.dumps(PersistentMapping, 3) + pickle.dumps({"data": {"kept": 1}}, 3)
    write_mark(changes, MARK, "staged", root)
    with perdure.DB(changes) as db, db.transaction() as connection:
        assert connection.root.kept == 1
        assert plain_record(changes.load(ROOT_OID)[0])["state"] == {"data": {"kept": 1}}


def test_a_mark_is_a_mapping_that_anybody_can_read() -> None:
    changes = MappingStorage()
    write_mark(changes, MARK, "staged")
    with perdure.DB(changes) as db, db.transaction() as connection:
        assert connection.get(MARK_OID)["database"] == "app.fs"


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"\x80\x03cm\nC\n.}.",
        pickle.dumps(PersistentMapping, 3) + pickle.dumps({"data": {"format": 99}}, 3),
        pickle.dumps(PersistentMapping, 3) + pickle.dumps({"data": {"format": 1}}, 3),
    ],
)
def test_a_mark_that_cannot_be_read_is_named(data: bytes) -> None:
    changes = MappingStorage("changes")
    metadata = TransactionMetaData()
    changes.tpc_begin(metadata)
    changes.store(MARK_OID, ZERO, data, "", metadata)
    changes.tpc_vote(metadata)
    changes.tpc_finish(metadata)
    with pytest.raises(StagingError, match=r"changes: the record that says .* cannot be read"):
        read_mark(changes)


def test_without_a_mark_there_is_no_stage() -> None:
    with pytest.raises(StagingError, match="changes: it holds no staged changes"):
        read_mark(MappingStorage("changes"))
