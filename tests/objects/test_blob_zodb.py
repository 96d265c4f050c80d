"""Blobs under Perdure and under ZODB: the same files, the same behaviour, in both layouts."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import transaction
import ZODB
import ZODB.blob
import ZODB.FileStorage

from perdure.objects import Database
from perdure.objects.blob import Blob
from perdure.storages.file import FileStorage

Places = tuple[Path, Path]


@pytest.fixture(params=["bushy", "lawn"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Data file and blob directory of each layout, both to be made."""
    directory = tmp_path / "blobs"
    if request.param == "lawn":  # nobody makes it unless told to
        directory.mkdir()
        (directory / ".layout").write_text("lawn")
    return tmp_path / "data.fs", directory


@contextmanager
def opened(places: Places, ours: bool) -> Iterator[tuple[Any, Any]]:
    """Open the database, ours or ZODB's; the value is it and the root in a transaction."""
    path, directory = places
    manager = transaction.TransactionManager()
    if ours:
        db: Any = Database(FileStorage(path, blob_dir=directory))
    else:
        db = ZODB.DB(ZODB.FileStorage.FileStorage(str(path), blob_dir=str(directory)))
    connection = db.open(manager)
    try:
        yield db, connection.root()
        manager.commit()
    finally:
        manager.abort()
        connection.close()
        db.close()


def new_blob(ours: bool, content: bytes) -> Any:
    return Blob(content) if ours else ZODB.blob.Blob(content)


def read(blob: Any) -> bytes:
    with blob.open() as file:
        content: bytes = file.read()
        return content


@pytest.mark.parametrize("ours_first", [True, False])
def test_what_one_wrote_the_other_reads_and_changes(places: Places, ours_first: bool) -> None:
    with opened(places, ours_first) as (_, root):
        root["blob"] = new_blob(ours_first, b"first")
        root["large"] = new_blob(ours_first, os.urandom(200_000))
    with opened(places, not ours_first) as (_, root):
        assert read(root["blob"]) == b"first"
        assert type(root["blob"]) is (ZODB.blob.Blob if ours_first else Blob)
        with root["blob"].open("a") as file:
            file.write(b", second")
        root["another"] = new_blob(not ours_first, b"another")
    with opened(places, ours_first) as (_, root):
        assert read(root["blob"]) == b"first, second"
        assert read(root["another"]) == b"another"
        assert len(read(root["large"])) == 200_000


@pytest.mark.parametrize("ours_first", [True, False])
def test_what_one_wrote_the_other_undoes(places: Places, ours_first: bool) -> None:
    with opened(places, ours_first) as (_, root):
        root["blob"] = new_blob(ours_first, b"first")
    with opened(places, ours_first) as (_, root), root["blob"].open("w") as file:
        file.write(b"second")
    with opened(places, not ours_first) as (db, root):
        manager = root._p_jar.transaction_manager
        db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
        manager.commit()
        assert read(root["blob"]) == b"first"
    with opened(places, ours_first) as (db, root):
        assert read(root["blob"]) == b"first"
        manager = root._p_jar.transaction_manager
        db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
        manager.commit()
        assert read(root["blob"]) == b"second"


@pytest.mark.parametrize("ours_first", [True, False])
def test_what_one_wrote_the_other_packs(places: Places, ours_first: bool) -> None:
    with opened(places, ours_first) as (_, root):
        root["blob"] = new_blob(ours_first, b"first")
        root["garbage"] = new_blob(ours_first, b"garbage")
    with opened(places, ours_first) as (_, root):
        with root["blob"].open("w") as file:
            file.write(b"second")
        del root["garbage"]
    with opened(places, not ours_first) as (db, _):
        db.pack()
    blobs = [name for _, _, names in os.walk(places[1]) for name in names if name[0] != "."]
    assert len(blobs) == 1
    old = places[1].with_name("blobs.old")
    kept = [name for _, _, names in os.walk(old) for name in names if name[0] != "."]
    assert len(kept) == 3
    with opened(places, ours_first) as (_, root):
        assert read(root["blob"]) == b"second"


def test_both_leave_the_same_files(tmp_path: Path) -> None:
    trees = []
    for ours in (True, False):
        places = tmp_path / f"{ours}.fs", tmp_path / f"{ours}-blobs"
        with opened(places, ours) as (_, root):
            root["blob"] = blob = new_blob(ours, b"content")
            root._p_jar.transaction_manager.commit()
            names = {
                os.path.relpath(os.path.join(where, name), places[1])
                for where, _, files in os.walk(places[1])
                for name in files
            }
            blob._p_activate()
            tid = f"0x{blob._p_serial.hex()}.blob"
            trees.append({name.replace(tid, "TID") for name in names})
            mode = os.stat(blob._p_blob_committed).st_mode & 0o777
            assert mode & 0o222 == 0
    assert trees[0] == trees[1] == {".layout", "/".join(["0x00"] * 7 + ["0x01", "TID"])}


def test_records_are_the_same_bytes(tmp_path: Path) -> None:
    records = []
    for ours in (True, False):
        places = tmp_path / f"{ours}.fs", tmp_path / f"{ours}-blobs"
        with opened(places, ours) as (db, root):
            root["blob"] = blob = new_blob(ours, b"content")
            root._p_jar.transaction_manager.commit()
            records.append(db.storage.load(blob._p_oid, "")[0])
    assert records[0] == records[1]


@pytest.mark.parametrize("ours_first", [True, False])
def test_exports_with_blobs_are_the_same_and_go_both_ways(tmp_path: Path, ours_first: bool) -> None:
    export = io.BytesIO()
    places = tmp_path / "source.fs", tmp_path / "source-blobs"
    with opened(places, ours_first) as (_, root):
        root["box"] = box = type(root)()
        box["one"], box["two"] = (new_blob(ours_first, each) for each in (b"one", b""))
        root._p_jar.transaction_manager.commit()
        root._p_jar.exportFile(box._p_oid, export)
    with opened(places, not ours_first) as (_, root):
        other = io.BytesIO()
        root._p_jar.exportFile(root["box"]._p_oid, other)
        assert sorted(other.getvalue()) == sorted(export.getvalue())

    places = tmp_path / "target.fs", tmp_path / "target-blobs"
    with opened(places, not ours_first) as (_, root):
        export.seek(0)
        root["box"] = root._p_jar.importFile(export)
        root._p_jar.transaction_manager.commit()
        assert [read(root["box"][name]) for name in ("one", "two")] == [b"one", b""]
    with opened(places, ours_first) as (_, root):
        assert [read(root["box"][name]) for name in ("one", "two")] == [b"one", b""]


@pytest.mark.parametrize("to_ours", [True, False])
def test_either_copies_blobs_from_the_other(places: Places, tmp_path: Path, to_ours: bool) -> None:
    with opened(places, not to_ours) as (db, root):
        root["blob"] = new_blob(not to_ours, b"first")
        manager = root._p_jar.transaction_manager
        manager.commit()
        with root["blob"].open("w") as file:
            file.write(b"second")
        manager.commit()
        db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
        manager.commit()
        target = tmp_path / "target.fs", tmp_path / "target-blobs"
        with opened(target, to_ours) as (other, _):
            pass
        for path in (target[0], target[0].with_name("target.fs.index")):
            path.unlink(missing_ok=True)
        other = (
            FileStorage(target[0], blob_dir=target[1])
            if to_ours
            else ZODB.FileStorage.FileStorage(str(target[0]), blob_dir=str(target[1]))
        )
        other.copyTransactionsFrom(db.storage)
        other.close()
    with opened(target, to_ours) as (db, root):
        assert read(root["blob"]) == b"first"
        manager = root._p_jar.transaction_manager
        db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
        manager.commit()
        assert read(root["blob"]) == b"second"


def test_zodb_warns_of_nothing_in_a_directory_that_we_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = tmp_path / "data.fs", tmp_path / "blobs"
    with opened(places, ours=True) as (_, root):
        root["blob"] = Blob(b"content")
    with opened(places, ours=False) as (_, root):
        assert read(root["blob"]) == b"content"
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
