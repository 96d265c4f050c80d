"""Beginning a stage and going on with it."""

import os
from pathlib import Path

import pytest

import perdure
from perdure.errors import (
    AlreadyAppliedError,
    ReadOnlyError,
    SnapshotError,
    StagingError,
    StorageClosedError,
    Unsupported,
    WrongDatabaseError,
)
from perdure.ids import after, before
from perdure.storages import MappingStorage
from perdure.tools import copy, pack, stage
from samples.staging import Library, retitle, title


def test_production_goes_on_and_the_stage_stays_what_it_was(library: Library) -> None:
    with library.staged() as db:
        library.change(retitle(0, "new in production"))
        with db.transaction() as connection:
            assert title(0)(connection.root) == "Book 0"
            connection.root.books[1]["title"] = "new on the stage"
    assert library.read(title(1)) == "Book 1"
    with library.staged() as db, db.transaction() as connection:
        assert title(0)(connection.root) == "Book 0"
        assert title(1)(connection.root) == "new on the stage"


def test_production_is_not_written(library: Library) -> None:
    path = library.directory / "app.fs"
    contents = path.read_bytes()
    library.on_stage(retitle(0, "staged"))
    assert path.read_bytes() == contents


def test_a_stage_can_stand_on_an_earlier_moment(library: Library) -> None:
    library.change(retitle(0, "later"))
    with library.staged(library.tid) as db, db.transaction() as connection:
        assert title(0)(connection.root) == "Book 0"
    with library.opened_changes() as changes:
        assert stage.read_mark(changes).last == library.tid


def test_the_same_moment_may_be_given_again_and_another_is_refused(library: Library) -> None:
    later = library.change(retitle(0, "later"))
    library.staged(library.tid).__enter__().close()
    for same in (library.tid, before(later)):
        library.staged(same).__enter__().close()
    with (
        library.opened_changes() as changes,
        pytest.raises(StagingError, match="goes on from there"),
    ):
        stage.prepare(library.production, changes, later)


def test_a_moment_to_come_is_now(library: Library) -> None:
    with library.opened_changes() as changes:
        mark = stage.prepare(library.production, changes, b"\x7f" + b"\xff" * 7)
        assert mark.before == after(library.tid)


def test_a_moment_before_the_first_transaction_is_refused(library: Library) -> None:
    with library.opened_changes() as changes:
        with pytest.raises(SnapshotError, match="its first transaction is"):
            stage.prepare(library.production, changes, b"\0" * 7 + b"\x01")
        assert len(changes) == 0


def test_an_empty_database_is_refused(library: Library) -> None:
    with (
        library.opened_changes() as changes,
        pytest.raises(SnapshotError, match="has no transactions yet"),
    ):
        stage.prepare(MappingStorage(), changes)


def test_changes_that_are_somebodys_database_are_refused(library: Library) -> None:
    other = perdure.DB(library.directory / "other.fs", reserve_bytes=0)
    contents = (library.directory / "other.fs").read_bytes()
    with pytest.raises(StagingError, match="is a database, and holds no staged changes"):
        stage.prepare(library.production, other.storage)
    other.close()
    assert (library.directory / "other.fs").read_bytes() == contents


def test_another_database_is_refused(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with perdure.DB(None) as other, library.opened_changes() as changes:
        with other.transaction() as connection:
            connection.root.something = "newer than the stage"
        with pytest.raises(WrongDatabaseError, match="does not have the transaction") as caught:
            stage.prepare(other.storage, changes)
        assert caught.value.database == other.getName()


def test_a_database_that_was_set_back_is_refused(library: Library) -> None:
    copied = perdure.FileStorage(library.directory / "copy.fs", blob_dir=library.directory / "b")
    copy(library.production, copied)
    library.change(retitle(0, "later"))
    library.on_stage(retitle(1, "staged"))
    with (
        library.opened_changes() as changes,
        pytest.raises(WrongDatabaseError, match="it ends with"),
    ):
        stage.prepare(copied, changes)
    copied.close()


def test_a_copy_of_the_database_will_do(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    copied = perdure.FileStorage(library.directory / "copy.fs", blob_dir=library.directory / "b")
    copy(library.production, copied)
    with library.opened_changes() as changes:
        mark = stage.prepare(copied, changes, address="file:copy.fs")
        assert (mark.address, mark.last) == ("file:copy.fs", library.tid)
        assert stage.read_mark(changes) == mark
    copied.close()


def test_a_pack_up_to_the_snapshot_does_no_harm(library: Library) -> None:
    library.change(retitle(0, "newer"))
    library.on_stage(retitle(1, "staged"))
    pack(library.db, at=library.tid)
    with library.staged() as db, db.transaction() as connection:
        assert title(1)(connection.root) == "staged"


def test_a_pack_beyond_the_snapshot_is_noticed(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    library.change(retitle(0, "newer"))
    pack(library.db)
    with (
        library.opened_changes() as changes,
        pytest.raises(SnapshotError, match="was packed since"),
    ):
        stage.open_stage(library.production, changes)


def test_a_database_of_which_a_pack_left_nothing_cannot_be_told_from_another(
    tmp_path: Path,
) -> None:
    changes = MappingStorage()
    with perdure.DB(tmp_path / "app.fs") as db:
        stage.prepare(db.storage, changes)
        with db.transaction() as connection:
            connection.root.number = 1
        pack(db)
        with pytest.raises(WrongDatabaseError, match="or nothing is left of the snapshot"):
            stage.prepare(db.storage, changes)


def test_opening_the_changes_by_themselves_does_not_make_a_new_root(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    with perdure.DB(library.changes()) as db:
        db.open().close()
    assert [each.kind for each in library.status().objects] == ["changed"]
    library.apply()
    assert library.read(title(1)) == "staged"


def test_a_pack_of_the_stage_keeps_what_it_stands_on(library: Library) -> None:
    library.on_stage(retitle(1, "first"))
    library.on_stage(retitle(1, "second"))
    with library.staged() as db:
        pack(db)
    with library.staged() as db, db.transaction() as connection:
        assert title(1)(connection.root) == "second"
    assert library.status().mark.last == library.tid


def test_changes_are_not_packed_by_themselves(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    with (
        perdure.DB(library.changes()) as db,
        pytest.raises(StagingError, match="packing would drop them"),
    ):
        pack(db)
    assert len(library.status().objects) == 1


def test_the_changes_can_be_moved(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    elsewhere = library.directory / "elsewhere"
    elsewhere.mkdir()
    os.rename(library.directory / "staged.fs", elsewhere / "moved.fs")
    changes = perdure.FileStorage(elsewhere / "moved.fs")
    assert stage.status(changes, library.production).objects[0].class_name.endswith("Mapping")
    changes.close()


def test_changes_in_memory_will_do(library: Library) -> None:
    storage = stage.open_stage(library.production, MappingStorage(), close_production=False)
    with perdure.DB(storage) as db:
        with db.transaction() as connection:
            connection.root.books[1]["title"] = "staged"
        assert stage.apply(storage.changes, library.db).changed == 1
    assert library.read(title(1)) == "staged"


def test_changes_that_were_applied_are_no_stage_any_more(library: Library) -> None:
    library.on_stage(retitle(1, "staged"))
    library.apply()
    with (
        library.opened_changes() as changes,
        pytest.raises(AlreadyAppliedError, match="discard it"),
    ):
        stage.prepare(library.production, changes)


def test_a_storage_that_cannot_list_its_transactions_is_refused(library: Library) -> None:
    class Silent:
        def getName(self) -> str:
            return "silent"

    with (
        library.opened_changes() as changes,
        pytest.raises(Unsupported, match="silent cannot list"),
    ):
        stage.prepare(Silent(), changes)


def test_a_closed_production_and_changes_that_only_read_are_refused(library: Library) -> None:
    library.opened_changes().__enter__().close()
    with library.opened_changes(read_only=True) as changes, pytest.raises(ReadOnlyError):
        stage.prepare(library.production, changes)
    library.db.close()
    with library.opened_changes() as changes, pytest.raises(StorageClosedError):
        stage.prepare(library.production, changes)


def test_a_production_that_only_reads_will_do_while_another_writes(library: Library) -> None:
    path = library.directory / "app.fs"
    production = perdure.FileStorage(path, read_only=True)
    with perdure.DB(stage.open_stage(production, library.changes())) as db:
        library.change(retitle(0, "newer"))
        with db.transaction() as connection:
            assert title(0)(connection.root) == "Book 0"
    with pytest.raises(StorageClosedError):
        production.load(b"\0" * 8)
