"""What staged changes would change."""

import sys
from types import ModuleType
from typing import Any

import pytest
import transaction

import perdure
from perdure.errors import POSKeyError, StagingError, WrongDatabaseError
from perdure.ids import p64
from perdure.tools import pack, stage
from samples.staging import Library, retitle


def add_author(root: Any) -> None:
    root.books[1]["author"] = perdure.PersistentMapping(name="Ada")


def test_objects_that_changed_and_new_ones_are_told_by_class(library: Library) -> None:
    library.on_stage(add_author)
    library.on_stage(lambda root: root.visits.change(2))
    status = library.status()
    assert status.transactions == 2
    assert status.classes == (
        stage.StagedClass("BTrees.Length.Length", 1, 0, 0),
        stage.StagedClass("persistent.mapping.PersistentMapping", 1, 1, 0),
    )
    changed = {each.class_name: each for each in status.objects if each.kind == "changed"}
    assert changed["BTrees.Length.Length"].base_tid == library.tid
    assert [each.kind for each in status.objects] == ["changed", "changed", "new"]
    assert status.objects[2].base_tid is None
    assert status.contested == ()


def test_the_difference_is_told_line_by_line(library: Library) -> None:
    library.on_stage(add_author)
    changed, new = library.status().objects
    with library.opened_changes() as changes:
        lines = stage.difference(changes, library.production, changed.oid)
        assert '+      "author": {' in lines
        assert '       "title": "Book 1",' in lines or '+      "title": "Book 1",' in lines
        lines = stage.difference(changes, library.production, new.oid)
        assert '+      "name": "Ada"' in lines
        assert not any(line.startswith("-") for line in lines)
        with pytest.raises(POSKeyError):
            stage.difference(changes, library.production, p64(2))


def test_a_class_that_is_gone_is_named_all_the_same(library: Library) -> None:
    module = ModuleType("vanished_models")
    sys.modules[module.__name__] = module
    try:
        Thing = type("Thing", (perdure.Persistent,), {"__module__": module.__name__})  # noqa: N806
        module.Thing = Thing

        def add(root: Any) -> None:
            root.thing = thing = Thing()
            thing.colour = "blue"

        library.on_stage(add)
    finally:
        del sys.modules[module.__name__]
    new = library.status().objects[-1]
    assert new.class_name == "vanished_models.Thing"
    with library.opened_changes() as changes:
        lines = stage.difference(changes, library.production, new.oid)
    assert '+    "colour": "blue"' in lines


def test_what_was_changed_and_changed_back_is_no_change(library: Library) -> None:
    library.on_stage(retitle(0, "other"))
    library.on_stage(retitle(0, "Book 0"))
    status = library.status()
    assert (status.transactions, status.objects) == (2, ())


def test_what_was_undone_on_the_stage_is_no_change(library: Library) -> None:
    with library.staged() as db:
        with db.transaction() as connection:
            add_author(connection.root)
        db.undo(db.undoLog(0, 1)[0]["id"])
        transaction.commit()
    assert library.status().objects == ()


def test_what_production_changed_since_is_told(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    library.on_stage(retitle(1, "staged"))
    tid = library.change(retitle(0, "in production"))
    status = library.status()
    assert [each.changed_since for each in status.objects] == [tid, None]
    assert status.contested == status.objects[:1]


def test_what_a_pack_took_away_is_told(library: Library) -> None:
    library.on_stage(retitle(0, "staged"))
    library.on_stage(add_author)
    library.change(retitle(0, "in production"))
    pack(library.db)
    lost, kept, new = library.status().objects
    assert (lost.is_lost, lost.kind, lost.base_tid) == (True, "changed", None)
    assert (kept.is_lost, kept.changed_since, new.is_lost, new.kind) == (False, None, False, "new")


def test_blobs_are_compared(library: Library) -> None:
    def rewrite(root: Any) -> None:
        with root.cover.open("w") as file:
            file.write(b"colourful")

    library.on_stage(rewrite)
    (cover,) = library.status().objects
    with library.opened_changes() as changes:
        lines = stage.difference(changes, library.production, cover.oid)
    assert lines[-2:] == ["-blob of 5 bytes", "+blob of 9 bytes"]

    def write_back(root: Any) -> None:
        with root.cover.open("w") as file:
            file.write(b"plain")

    library.on_stage(write_back)
    assert library.status().objects == ()


def test_progress_is_told(library: Library) -> None:
    library.on_stage(add_author)
    told: list[tuple[int, int | None]] = []
    with library.opened_changes() as changes:
        stage.status(changes, library.production, lambda *done: told.append(done))
    assert told == [(2, 2)]


def test_a_database_is_no_stage(library: Library) -> None:
    with pytest.raises(StagingError, match="holds no staged changes"):
        stage.status(library.production, library.production)


def test_the_wrong_database_is_told(library: Library) -> None:
    library.on_stage(add_author)
    with (
        perdure.DB(None) as other,
        library.opened_changes() as changes,
        pytest.raises(WrongDatabaseError),
    ):
        stage.status(changes, other.storage)
