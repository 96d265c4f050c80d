"""Staged changes become one transaction of production: once, or not at all."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from BTrees.OOBTree import OOBTree
from persistent.wref import WeakRef

import perdure
from perdure.errors import (
    AlreadyAppliedError,
    ConflictError,
    FileLockedError,
    ReadOnlyError,
    StagedConflictsError,
    StagingError,
    StorageClosedError,
    Unsupported,
    WrongDatabaseError,
)
from perdure.ids import ROOT_OID, p64, tid_repr
from perdure.interfaces import TransactionMetaData
from perdure.storages import MappingStorage
from perdure.storages.file.storage import FileStorage
from perdure.tools import check, copy, pack, stage, transactions
from perdure.tools.stage.mark import FIRST_NEW_OID
from samples.staging import Library, retitle, title


def contents(library: Library) -> bytes:
    return (library.directory / "app.fs").read_bytes()


def add_author(root: Any) -> None:
    root.books[1]["author"] = author = perdure.PersistentMapping(name="Ada")
    author["works"] = OOBTree({"first": root.books[1]})
    author["pen_name"] = WeakRef(perdure.PersistentMapping(name="Augusta"))
    author["kept"] = author["pen_name"]()
    root.authors = perdure.PersistentList([author])


def test_all_that_was_staged_is_one_transaction(library: Library) -> None:
    library.on_stage(retitle(0, "first"))
    library.on_stage(retitle(1, "second"))
    before = sum(1 for _ in library.production.iterator())
    applied = library.apply(user="ada", note="new titles")
    assert applied.changed == 2
    assert sum(1 for _ in library.production.iterator()) == before + 1
    (logged,) = transactions(library.production, limit=1)
    assert (logged.tid, logged.user, logged.description) == (applied.tid, "ada", "new titles")
    assert [library.read(title(number)) for number in range(2)] == ["first", "second"]


def test_connections_that_are_open_see_it_from_their_next_transaction_on(library: Library) -> None:
    connection = library.db.open()
    assert title(0)(connection.root) == "Book 0"
    library.on_stage(retitle(0, "staged"))
    library.apply()
    assert title(0)(connection.root) == "Book 0"
    connection.transaction_manager.begin()
    assert title(0)(connection.root) == "staged"
    connection.transaction_manager.abort()
    connection.close()


def test_new_objects_get_oids_of_production_and_references_follow(library: Library) -> None:
    library.on_stage(add_author)
    highest = max(oid for oid in oids(library))
    applied = library.apply()
    assert all(oid >= FIRST_NEW_OID for oid in applied.new_oids)
    assert max(oids(library)) < p64(1000)
    assert min(applied.new_oids.values()) > highest
    assert len(applied.new_oids) == 4

    def read(root: Any) -> None:
        author = root.books[1]["author"]
        assert author["name"] == "Ada"
        assert author["works"]["first"] is root.books[1]
        assert root.authors[0] is author
        assert author["pen_name"]() is author["kept"]
        assert author["kept"]["name"] == "Augusta"

    library.read(read)
    library.db.cacheMinimize()
    library.read(read)
    assert not list(check(library.production).findings)


def oids(library: Library) -> set[bytes]:
    return {record.oid for each in library.production.iterator() for record in each}


def test_what_others_committed_elsewhere_stays(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    library.change(retitle(1, "in production"))
    library.apply()
    assert [library.read(title(number)) for number in range(2)] == ["staged", "in production"]


def test_a_conflict_is_resolved_where_the_class_can(library: Library) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    library.on_stage(lambda root: root.books.update({10: perdure.PersistentMapping(title="ten")}))
    library.change(lambda root: root.visits.change(5))
    library.change(lambda root: root.books.update({11: perdure.PersistentMapping(title="eleven")}))
    applied = library.apply()
    assert len(applied.resolved) == 2
    assert library.read(lambda root: root.visits()) == 7
    assert library.read(title(10)) == "ten"
    assert library.read(title(11)) == "eleven"


def test_conflicts_are_listed_and_nothing_is_applied(library: Library) -> None:
    for number in range(3):
        library.on_stage(retitle(number, "staged"))
    tid = library.change(retitle(0, "in production"))
    library.change(retitle(2, "in production"))
    before = contents(library)
    with pytest.raises(StagedConflictsError) as caught:
        library.apply()
    assert contents(library) == before
    first, second = caught.value.conflicts
    assert first.class_name == "persistent.mapping.PersistentMapping"
    assert first.reason == f"was changed by transaction {tid_repr(tid)}"
    assert first.oid != second.oid
    assert "nothing was applied" in str(caught.value)
    with pytest.raises(StagedConflictsError):  # it can be tried again, and says the same
        library.apply()


def test_a_commit_that_comes_in_between_is_a_conflict_of_the_vote(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.on_stage(retitle(0, "staged"))
    vote = FileStorage.tpc_vote
    overtaken: list[bytes] = []

    def overtaking(storage: Any, transaction: Any) -> Any:
        monkeypatch.setattr(FileStorage, "tpc_vote", vote)
        overtaken.append(library.change(retitle(0, "in production")))
        return vote(storage, transaction)

    monkeypatch.setattr(FileStorage, "tpc_vote", overtaking)
    with pytest.raises(StagedConflictsError) as caught:
        library.apply()
    (conflict,) = caught.value.conflicts
    assert conflict.reason == f"was changed by transaction {tid_repr(overtaken[0])}"
    assert library.read(title(0)) == "in production"


def test_a_commit_that_comes_in_between_elsewhere_changes_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    vote = FileStorage.tpc_vote

    def overtaking(storage: Any, transaction: Any) -> Any:
        monkeypatch.setattr(FileStorage, "tpc_vote", vote)
        library.change(lambda root: root.visits.change(5))
        return vote(storage, transaction)

    monkeypatch.setattr(FileStorage, "tpc_vote", overtaking)
    assert len(library.apply().resolved) == 1
    assert library.read(lambda root: root.visits()) == 7


def test_others_go_on_committing_while_it_is_applied(library: Library) -> None:
    def change(root: Any) -> None:
        root.visits.change(1000)
        for key in range(100, 300):
            root.books[key] = perdure.PersistentMapping(title=str(key))

    library.on_stage(change)
    begun, done = threading.Event(), threading.Event()
    committed = 0

    def commit() -> None:
        nonlocal committed
        while not done.is_set() and committed < 500:
            library.change(lambda root: root.visits.change(1))
            committed += 1
            if committed == 5:
                begun.set()

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        assert begun.wait(60)
        applied = library.apply()
    finally:
        done.set()
        thread.join(60)
    assert len(applied.new_oids) >= 200
    assert library.read(lambda root: root.visits()) == 1000 + committed
    assert library.read(title(299)) == "299"


def test_whoever_is_always_overtaken_gives_up(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vote(storage: Any, transaction: Any) -> Any:
        raise ConflictError(oid=ROOT_OID)

    library.on_stage(retitle(0, "staged"))
    before = contents(library)
    with library.opened_changes() as changes:
        monkeypatch.setattr(FileStorage, "tpc_vote", vote)
        with pytest.raises(StagedConflictsError, match="is changed all the time"):
            stage.apply(changes, library.db)
        monkeypatch.undo()
    assert contents(library) == before


def test_an_object_that_was_deleted_meanwhile_is_a_conflict(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    library.change(lambda root: root.books.pop(0))
    pack(library.db)
    with pytest.raises(StagedConflictsError, match="it was deleted, or packed away"):
        library.apply()


def test_what_was_not_touched_can_be_applied_after_a_pack(library: Library) -> None:
    library.on_stage(add_author)
    library.change(retitle(0, "in production"))
    pack(library.db)
    library.apply()
    assert library.read(lambda root: root.authors[0]["name"]) == "Ada"
    assert library.read(title(0)) == "in production"


def test_an_object_that_was_deleted_on_the_stage_is_deleted(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with library.opened_changes() as changes:
        oid = next(iter(library.status_of(changes).objects)).oid
        delete(changes, oid)
        (removed,) = library.status_of(changes).objects
        assert (removed.kind, removed.class_name) == (
            "removed",
            "persistent.mapping.PersistentMapping",
        )
        assert "-" in stage.difference(changes, library.production, oid)[1]
        applied = stage.apply(changes, library.db)
    assert (applied.changed, applied.removed) == (0, 1)
    with pytest.raises(KeyError):
        library.production.load(oid)


def delete(storage: Any, oid: bytes) -> None:
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.deleteObject(oid, storage.getTid(oid), metadata)
    storage.tpc_vote(metadata)
    storage.tpc_finish(metadata)


def test_blobs_come_along(library: Library) -> None:
    def change(root: Any) -> None:
        with root.cover.open("w") as file:
            file.write(b"colourful")
        root.back = perdure.Blob(b"blurb")

    library.on_stage(change)
    library.apply()

    def read(root: Any) -> tuple[bytes, bytes]:
        with root.cover.open() as cover, root.back.open() as back:
            return cover.read(), back.read()

    assert library.read(read) == (b"colourful", b"blurb")
    assert not [
        path for path in Path(library.production.temporaryDirectory()).iterdir() if path.is_file()
    ]


def test_a_conflict_of_blobs_leaves_no_copies_behind(library: Library) -> None:
    def rewrite(root: Any) -> None:
        with root.cover.open("w") as file:
            file.write(b"colourful")

    library.on_stage(rewrite)
    library.change(rewrite)
    with pytest.raises(StagedConflictsError):
        library.apply()
    temporary = Path(library.production.temporaryDirectory())
    assert not [path for path in temporary.iterdir() if path.is_file()]


def test_blobs_need_a_place_in_production(library: Library, tmp_path: Path) -> None:
    def add(root: Any) -> None:
        root.back = perdure.Blob(b"blurb")

    library.on_stage(add)
    library.db.close()
    with (
        perdure.DB(tmp_path / "app.fs") as db,
        library.opened_changes() as changes,
        pytest.raises(Unsupported, match="open it with its blob directory"),
    ):
        stage.apply(changes, db)


def test_applying_twice_is_noticed(library: Library) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    applied = library.apply()
    with pytest.raises(AlreadyAppliedError) as caught:
        library.apply()
    assert caught.value.tid == applied.tid
    assert library.read(lambda root: root.visits()) == 2
    assert library.status().mark.applied == applied.tid


def test_applying_twice_is_noticed_though_the_changes_do_not_know(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    size = (library.directory / "staged.fs").stat().st_size
    with library.opened_changes(quota=size) as changes:
        applied = stage.apply(changes, library.db)
    assert "cannot take note of it" in caplog.text
    assert library.status().mark.applied is None
    with pytest.raises(AlreadyAppliedError) as caught:
        library.apply()
    assert caught.value.tid == applied.tid
    assert library.read(lambda root: root.visits()) == 2
    assert library.status().mark.applied == applied.tid  # noted at last


def test_a_copy_of_the_changes_that_was_made_before_is_noticed(library: Library) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    copied = MappingStorage()
    with library.opened_changes(blob_dir=None) as changes:
        copy(changes, copied)
    library.apply()
    with pytest.raises(AlreadyAppliedError):
        stage.apply(copied, library.db)


def test_only_one_of_many_threads_applies(library: Library) -> None:
    library.on_stage(lambda root: root.visits.change(2))
    outcomes: list[object] = []

    def apply() -> None:
        try:
            outcomes.append(stage.apply(changes, library.db))
        except AlreadyAppliedError as error:
            outcomes.append(error)

    with library.opened_changes() as changes:
        threads = [threading.Thread(target=apply) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(type(each).__name__ for each in outcomes) == [
        *["AlreadyAppliedError"] * 3,
        "Applied",
    ]
    assert library.read(lambda root: root.visits()) == 2


def test_the_wrong_database_is_left_alone(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with perdure.DB(None) as other, library.opened_changes() as changes:
        last = other.lastTransaction()
        with pytest.raises(WrongDatabaseError, match=r"staged\.fs was not staged over"):
            stage.apply(changes, other)
        assert other.lastTransaction() == last


def test_a_stage_cannot_be_applied_to_itself(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with library.staged() as db, pytest.raises(WrongDatabaseError, match="it is the stage itself"):
        stage.apply(db.storage.changes, db)


def test_a_stage_over_a_stage_is_applied_to_that(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with library.staged() as db:
        second = MappingStorage("second")
        upper = perdure.DB(stage.open_stage(db.storage, second, close_production=False))
        with upper.transaction() as connection:
            connection.root.books[1]["title"] = "staged twice"
            connection.root.extra = perdure.PersistentMapping(n=1)
        stage.apply(second, db)
        upper.close()
        with db.transaction() as connection:
            assert title(1)(connection.root) == "staged twice"
    library.apply()
    assert [library.read(title(n)) for n in range(2)] == ["staged", "staged twice"]
    assert library.read(lambda root: root.extra["n"]) == 1
    assert max(oids(library)) < p64(1000)


def test_what_is_no_stage_cannot_be_applied(library: Library) -> None:
    with pytest.raises(StagingError, match="holds no staged changes"):
        stage.apply(MappingStorage(), library.db)


def test_what_only_reads_cannot_take_part(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with (
        library.opened_changes(read_only=True) as changes,
        pytest.raises(ReadOnlyError, match=r"staged\.fs is open for reading only"),
    ):
        stage.apply(changes, library.db)
    library.db.close()
    with (
        perdure.DB(library.directory / "app.fs", read_only=True) as db,
        library.opened_changes() as changes,
        pytest.raises(ReadOnlyError, match=r"app\.fs is open for reading only"),
    ):
        stage.apply(changes, db)


def test_what_is_closed_cannot_take_part(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    changes = library.changes()
    changes.close()
    with pytest.raises(StorageClosedError):
        stage.apply(changes, library.db)
    library.db.close()
    with library.opened_changes() as changes, pytest.raises(StorageClosedError):
        stage.apply(changes, library.db)


def test_changes_that_are_in_use_name_their_holder(library: Library) -> None:
    with library.staged(), pytest.raises(FileLockedError, match=r"staged\.fs is open for writing"):
        library.apply()


def test_progress_is_told(library: Library) -> None:
    library.on_stage(add_author)
    told: list[tuple[int, int | None]] = []
    library.apply(progress=lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1] == len(told) == 6


def test_a_stage_without_changes_can_be_applied(library: Library) -> None:
    with library.staged():
        pass
    assert library.apply().changed == 0
    with pytest.raises(AlreadyAppliedError):
        library.apply()


CRASHES = """
import os, shutil, sys
from pathlib import Path
import perdure
from perdure.fileops import FileOperations
from perdure.errors import AlreadyAppliedError
from perdure.tools import stage

class Dying(FileOperations):
    # Ends the process at the call with number `left`.
    left = -1
    def count(self):
        Dying.left -= 1
        if Dying.left == 0:
            os._exit(9)
    def write(self, *args):
        self.count()
        return super().write(*args)
    def sync(self, *args):
        self.count()
        return super().sync(*args)

here = Path(sys.argv[1])
applied = crashed = 0
for number in range(1, 200):
    work = here / str(number)
    work.mkdir()
    for name in ("app.fs", "staged.fs"):
        shutil.copy(here / name, work / name)
    child = os.fork()
    if child == 0:
        operations = Dying()
        changes = perdure.FileStorage(work / "staged.fs", operations=operations)
        db = perdure.DB(perdure.FileStorage(work / "app.fs", operations=operations))
        Dying.left = number
        stage.apply(changes, db)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    with perdure.DB(work / "app.fs") as db:
        with db.transaction() as connection:
            before = connection.root.visits()
            both = connection.root.books[0]["title"] == "staged"
        assert (before, both) in ((0, False), (2, True)), (number, before, both)
        changes = perdure.FileStorage(work / "staged.fs")
        try:
            stage.apply(changes, db)
        except AlreadyAppliedError:
            assert before == 2
            applied += 1
        else:
            assert before == 0
            crashed += 1
        assert stage.read_mark(changes).applied is not None
        changes.close()
        with db.transaction() as connection:
            assert connection.root.visits() == 2
    if status == 0:
        break
print("completed" if status == 0 else "never done", applied > 1, crashed > 1)
"""


def test_a_crash_at_any_moment_leaves_it_applied_once_or_not_at_all(library: Library) -> None:
    def change(root: Any) -> None:
        root.visits.change(2)
        root.books[0]["title"] = "staged"

    library.on_stage(change)
    library.db.close()
    result = subprocess.run(
        [sys.executable, "-c", CRASHES, str(library.directory)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "completed True True\n", result.stderr
