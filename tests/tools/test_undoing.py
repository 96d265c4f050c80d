from pathlib import Path

import pytest
import ZODB.MappingStorage

import perdure
from perdure.errors import MultipleUndoErrors, UndoError, Unsupported
from perdure.ids import p64
from perdure.tools import transactions, undo
from samples.objects import Counter


def counted(db: perdure.DB, number: int) -> bytes:
    """Add to a counter, and set a name of its own, in one transaction."""
    with db.transaction(f"number {number}") as connection:
        root = connection.root()
        root.setdefault("counter", Counter()).value += number
    return db.lastTransaction()


def value(db: perdure.DB) -> int:
    with db.transaction() as connection:
        return int(connection.root.counter.value)


def test_a_transaction_is_undone_by_a_new_one(db: perdure.DB) -> None:
    counted(db, 1)
    tid = counted(db, 10)
    undone_by = undo(db, [tid], user="ada")
    assert value(db) == 1
    (newest,) = transactions(db.storage, limit=1)
    assert (newest.tid, newest.user) == (undone_by, "ada")
    assert newest.description == f"undo 0x{tid.hex()}"


def test_several_are_undone_in_one(db: perdure.DB) -> None:
    counted(db, 1)
    tids = [counted(db, 10), counted(db, 100)]
    undo(db, tids, note="both")
    assert value(db) == 1
    (newest,) = transactions(db.storage, limit=1)
    assert newest.description == "both"


def test_later_changes_are_kept_where_the_class_can_merge(db: perdure.DB) -> None:
    counted(db, 1)
    tid = counted(db, 10)
    counted(db, 100)
    undo(db, [tid])
    assert value(db) == 101


def test_what_cannot_be_undone_changes_nothing(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.a = 1
    tid = db.lastTransaction()
    with db.transaction() as connection:
        connection.root.a = 2
    last = db.lastTransaction()
    for tids in ([tid], [p64(77)], [last, p64(77)]):
        with pytest.raises((UndoError, MultipleUndoErrors)):
            undo(db, tids)
    assert db.lastTransaction() == last


def test_a_storage_that_cannot_undo_is_told_so() -> None:
    db = perdure.DB(ZODB.MappingStorage.MappingStorage())
    with pytest.raises(Unsupported, match="cannot undo"):
        undo(db, [db.lastTransaction()])


def test_without_their_directory_blobs_are_not_undone(tmp_path: Path) -> None:
    """The undone blob would be a record without its file."""
    path, blob_dir = tmp_path / "app.fs", tmp_path / "blobs"
    with perdure.DB(path, blob_dir=blob_dir) as db:
        with db.transaction() as connection:
            connection.root.photo = perdure.Blob(b"first")
        with db.transaction() as connection, connection.root.photo.open("w") as file:
            file.write(b"second")
        tid = db.lastTransaction()
    with perdure.DB(path) as db:
        with pytest.raises(Unsupported, match="oid 0x1 is one; open it with its blob_dir"):
            undo(db, [tid])
        assert db.lastTransaction() == tid
        with db.transaction() as connection:
            connection.root.name = "no blob"
        undo(db, [db.lastTransaction()])
    with perdure.DB(path, blob_dir=blob_dir) as db:
        undo(db, [tid])
        with db.transaction() as connection, connection.root.photo.open() as file:
            assert file.read() == b"first"
