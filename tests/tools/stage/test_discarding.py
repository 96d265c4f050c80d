"""Staged changes go, and nothing else does."""

import pytest

import perdure
from perdure.errors import FileLockedError, StagingError, Unsupported
from perdure.storages import MappingStorage
from perdure.tools import stage
from samples.staging import Library, retitle


def test_the_files_of_the_changes_go(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    assert (library.directory / "staged.fs.index").exists()
    assert stage.discard(library.changes()) == 1
    assert sorted(path.name for path in library.directory.iterdir()) == [
        "app.fs",
        "app.fs.lock",
        "blobs",
    ]


def test_a_database_is_not_discarded(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    with pytest.raises(StagingError, match="holds no staged changes"):
        stage.discard(library.production)
    assert (library.directory / "app.fs").exists()


def test_changes_in_use_are_not_discarded(library: Library) -> None:
    with library.staged(), pytest.raises(FileLockedError):
        stage.discard(library.changes())
    changes = library.changes(read_only=True)
    with pytest.raises(Unsupported, match="open for writing"):
        stage.discard(changes)
    changes.close()
    assert (library.directory / "staged.fs").exists()


def test_changes_elsewhere_are_not_discarded() -> None:
    with pytest.raises(Unsupported, match="only changes in a file"):
        stage.discard(MappingStorage())


def test_after_it_another_stage_can_be_begun(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    stage.discard(library.changes())
    library.change(retitle(1, "newer"))
    with library.staged() as db, db.transaction() as connection:
        assert connection.root.books[0]["title"] == "Book 0"
        assert connection.root.books[1]["title"] == "newer"


def test_changes_without_blobs_are_discarded_too(library: Library) -> None:
    changes = perdure.FileStorage(library.directory / "other.fs")
    stage.prepare(library.production, changes)
    assert stage.discard(changes) == 0
    assert not (library.directory / "other.fs").exists()


def test_blobs_that_are_not_of_the_stage_stay(library: Library) -> None:
    shared = library.directory / "shared"
    other = perdure.DB(perdure.FileStorage(library.directory / "other.fs", blob_dir=shared))
    with other.transaction() as connection:
        connection.root.cover = perdure.Blob(b"not of the stage")
    changes = library.changes(blob_dir=shared)
    storage = stage.open_stage(library.production, changes, close_production=False)
    with (
        perdure.DB(storage) as db,
        db.transaction() as connection,
        connection.root.cover.open("w") as file,
    ):
        file.write(b"staged")
    before = sum(path.suffix == ".blob" for path in shared.rglob("*"))
    stage.discard(library.changes(blob_dir=shared))
    assert sum(path.suffix == ".blob" for path in shared.rglob("*")) == before - 1
    with other.transaction() as connection, connection.root.cover.open() as file:
        assert file.read() == b"not of the stage"
    other.close()
