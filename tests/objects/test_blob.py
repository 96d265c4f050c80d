"""Blobs as objects: their files, modes and rules, savepoints, aborts, conflicts, undo, the past."""

import gc
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transaction

from perdure.errors import (
    BlobError,
    ConflictError,
    MissingBlobError,
    OpenBlobError,
    POSKeyError,
    ReadOnlyHistoryError,
    UndoError,
    Unsupported,
)
from perdure.objects import Connection, Database
from perdure.objects.blob import Blob, BlobFile
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from processes import python

MakeDatabase = Callable[..., Database]


@pytest.fixture(params=["memory", "file", "demo"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MappingStorage()
    if request.param == "file":
        return FileStorage(tmp_path / "test.fs", blob_dir=tmp_path / "blobs")
    base = FileStorage(tmp_path / "base.fs", blob_dir=tmp_path / "blobs")
    return DemoStorage(base=base)


def put(connection: Connection, content: bytes = b"content", name: str = "blob") -> Any:
    """Commit a blob under the root."""
    connection.root()[name] = Blob(content)
    connection.transaction_manager.commit()
    return connection.root()[name]


def read(blob: Blob) -> bytes:
    with blob.open() as file:
        return file.read()


def write(blob: Blob, content: bytes, mode: str = "w") -> None:
    with blob.open(mode) as file:
        file.write(content)


def waiting(storage: Any) -> list[str]:
    """Return the names of the files that no transaction has taken yet."""
    return os.listdir(storage.temporaryDirectory())


# Reading and writing


def test_a_committed_blob_is_read_by_everybody(one: Connection, two: Connection) -> None:
    put(one)

    two.sync()

    assert read(two.root()["blob"]) == b"content"
    assert read(one.root()["blob"]) == b"content"


def test_a_new_blob_is_empty_and_can_be_read_and_committed(one: Connection) -> None:
    blob = one.root()["blob"] = Blob()
    assert read(blob) == b""

    one.transaction_manager.commit()

    assert read(blob) == b""
    assert os.path.getsize(blob.committed()) == 0


def test_a_blob_that_nobody_looked_into_can_be_committed(one: Connection) -> None:
    blob = one.root()["blob"] = Blob()
    one.transaction_manager.commit()
    assert read(blob) == b""


@pytest.mark.parametrize(
    ("mode", "expected"), [("w", b"new"), ("a", b"contentnew"), ("r+", b"newtent")]
)
def test_the_modes_of_writing(one: Connection, mode: str, expected: bytes) -> None:
    blob = put(one)

    write(blob, b"new", mode)
    assert read(blob) == expected
    with open(blob._p_blob_committed, "rb") as committed:
        assert committed.read() == b"content"
    one.transaction_manager.commit()

    assert read(blob) == expected


@pytest.mark.parametrize(
    ("mode", "expected"), [("w", b"new"), ("a", b"contentnew"), ("r+", b"newtent")]
)
def test_the_modes_of_writing_go_on_with_uncommitted_data(mode: str, expected: bytes) -> None:
    blob = Blob(b"content")
    write(blob, b"new", mode)
    assert read(blob) == expected


def test_a_file_for_changing_reads_too(one: Connection) -> None:
    blob = put(one)
    with blob.open("r+") as file:
        assert file.read() == b"content"
        file.seek(3)
        file.truncate()
    assert read(blob) == b"con"


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid mode 'rb'; expected one of r, w, r\\+, a, c"):
        Blob().open("rb")


def test_many_may_read(one: Connection) -> None:
    blob = put(one)
    with blob.open() as first, blob.open() as second:
        assert first.read() == second.read() == b"content"
        assert blob.opened()
    assert not blob.opened()


def test_who_writes_is_alone(one: Connection) -> None:
    blob = put(one)
    with blob.open("w"):
        for mode in ("r", "w", "a", "r+"):
            with pytest.raises(BlobError, match="open for writing already"):
                blob.open(mode)
    with blob.open():
        for mode in ("w", "a", "r+"):
            with pytest.raises(BlobError, match="open for reading already"):
                blob.open(mode)


def test_a_file_that_was_forgotten_stands_in_nobodys_way(one: Connection) -> None:
    blob = put(one)
    file = blob.open("w")
    assert file.writable()
    with pytest.warns(ResourceWarning):
        del file

    assert not blob.opened()
    write(blob, b"new")


def test_opening_for_writing_joins_the_transaction_and_reading_does_not(one: Connection) -> None:
    blob = put(one)
    read(blob)
    assert not blob._p_changed
    write(blob, b"new")
    assert blob._p_changed


def test_there_are_no_subclasses() -> None:
    class Picture(Blob):
        pass

    with pytest.raises(TypeError, match="no subclasses"):
        Picture()


# The committed file


def test_the_committed_file_cannot_be_written(one: Connection) -> None:
    blob = put(one)
    mode = stat.S_IMODE(os.stat(blob.committed()).st_mode)
    assert mode & 0o222 == 0
    with blob.open() as file:
        assert isinstance(file, BlobFile)
        assert not file.writable()


def test_a_committed_file_outlives_the_transaction(one: Connection, two: Connection) -> None:
    blob = put(one)
    file = blob.open("c")
    two.sync()
    write(two.root()["blob"], b"new")
    two.transaction_manager.commit()

    one.sync()

    with file:
        assert file.read() == b"content"
    assert read(blob) == b"new"


def test_there_is_no_committed_file_of_uncommitted_data(one: Connection) -> None:
    blob = one.root()["blob"] = Blob(b"content")
    for attempt in (blob.committed, lambda: blob.open("c")):
        with pytest.raises(BlobError, match="uncommitted changes"):
            attempt()
    one.transaction_manager.savepoint()
    for attempt in (blob.committed, lambda: blob.open("c")):
        with pytest.raises(BlobError, match="uncommitted changes"):
            attempt()
    one.transaction_manager.commit()
    assert Path(blob.committed()).read_bytes() == b"content"
    write(blob, b"new")
    with pytest.raises(BlobError, match="uncommitted changes"):
        blob.committed()


def test_loading_a_blob_tells_where_its_file_is(one: Connection, storage: Any) -> None:
    blob = put(one)
    assert blob._p_changed is None  # a ghost: it will be loaded from where it is now
    assert blob._p_blob_committed is None
    blob._p_activate()
    assert blob._p_blob_committed == storage.loadBlob(blob._p_oid, blob._p_serial)
    assert blob._p_blob_uncommitted is None


def test_a_blob_whose_file_is_gone_stays_a_ghost(one: Connection, storage: Any) -> None:
    blob = put(one)
    path = blob.committed()
    one.cacheMinimize()
    os.rename(path, path + ".away")

    with pytest.raises(MissingBlobError) as caught:
        blob.open()
    assert isinstance(caught.value, POSKeyError)
    assert path in str(caught.value)

    os.rename(path + ".away", path)
    assert read(blob) == b"content"


# Taking over files


def test_a_consumed_file_is_moved_to_the_blob_and_from_there_to_its_place(
    one: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"")
    os.truncate(path, 64 << 20)
    inode = path.stat().st_ino
    blob = one.root()["blob"] = Blob()
    one.add(blob)  # so that it knows where its file will be needed

    blob.consumeFile(str(path))
    assert not path.exists()
    one.transaction_manager.commit()

    same_device = os.stat(tmp_path).st_dev == os.stat(blob.committed()).st_dev
    assert not same_device or os.stat(blob.committed()).st_ino == inode
    assert os.path.getsize(blob.committed()) == 64 << 20


def test_a_blob_that_is_added_and_changed_is_stored_once(one: Connection, storage: Any) -> None:
    blob = Blob()
    one.add(blob)
    write(blob, b"content")
    one.root()["blob"] = blob

    one.transaction_manager.commit()

    assert read(blob) == b"content"


def test_consuming_replaces_uncommitted_data(one: Connection, tmp_path: Path) -> None:
    blob = put(one)
    write(blob, b"uncommitted")
    (tmp_path / "file").write_bytes(b"consumed")

    blob.consumeFile(str(tmp_path / "file"))

    assert read(blob) == b"consumed"
    one.transaction_manager.commit()
    assert read(blob) == b"consumed"


def test_consuming_is_refused_while_the_blob_is_open(one: Connection, tmp_path: Path) -> None:
    blob = put(one)
    path = tmp_path / "file"
    path.write_bytes(b"consumed")
    for mode in ("r", "w"):
        with blob.open(mode), pytest.raises(BlobError, match="already"):
            blob.consumeFile(str(path))
    assert path.read_bytes() == b"consumed"


def test_consuming_what_is_not_there_changes_nothing(one: Connection, tmp_path: Path) -> None:
    blob = put(one)
    write(blob, b"uncommitted")

    with pytest.raises(FileNotFoundError):
        blob.consumeFile(str(tmp_path / "missing"))
    with pytest.raises(BlobError, match="is not a file"):
        blob.consumeFile(str(tmp_path))

    assert read(blob) == b"uncommitted"


def test_a_file_stays_where_the_connection_is_closed(db: Database, tmp_path: Path) -> None:
    connection = db.open(transaction.TransactionManager())
    blob = put(connection)
    blob._p_activate()
    connection.close()
    path = tmp_path / "file"
    path.write_bytes(b"content")

    with pytest.raises(Exception, match="closed"):
        blob.consumeFile(str(path))

    assert path.exists()


def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    code = (
        "import os, sys, tracemalloc, transaction\n"
        "from perdure import DB, FileStorage\n"
        "from perdure.objects.blob import Blob\n"
        "db = DB(FileStorage(sys.argv[1] + '/data.fs', blob_dir=sys.argv[1] + '/blobs'))\n"
        "connection = db.open()\n"
        "with open(sys.argv[1] + '/large', 'wb') as file:\n"
        "    file.truncate(64 << 20)\n"
        "blob = connection.root()['blob'] = Blob()\n"
        "tracemalloc.start()\n"
        "blob.consumeFile(sys.argv[1] + '/large')\n"
        "transaction.commit()\n"
        "with blob.open('a') as file:\n"
        "    file.write(b'more')\n"
        "transaction.savepoint()\n"
        "transaction.commit()\n"
        "with open(sys.argv[1] + '/export', 'w+b') as file:\n"
        "    connection.exportFile(blob._p_oid, file)\n"
        "    file.seek(0)\n"
        "    connection.root()['copy'] = connection.importFile(file)\n"
        "transaction.commit()\n"
        "db.undo(db.undoLog(0, 1)[0]['id'])\n"
        "transaction.commit()\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
        "db.close()\n"
    )
    done = python("-c", code, str(tmp_path))
    assert int(done.stdout or "0") in range(1, 8 << 20), done.stderr


# Transactions


def test_an_aborted_change_is_gone_with_its_file(one: Connection, storage: Any) -> None:
    blob = put(one)
    write(blob, b"new")
    assert len(waiting(storage)) == 1

    one.transaction_manager.abort()

    assert waiting(storage) == []
    assert read(blob) == b"content"


def test_open_files_are_closed_when_the_transaction_is_aborted(one: Connection) -> None:
    blob = put(one)
    writing = blob.open("w")

    one.transaction_manager.abort()

    assert writing.closed
    assert read(blob) == b"content"


def test_open_files_are_closed_when_somebody_else_changed_the_blob(
    one: Connection, two: Connection
) -> None:
    blob = put(one)
    file = blob.open()
    two.sync()
    write(two.root()["blob"], b"new")
    two.transaction_manager.commit()
    assert file.read() == b"content"

    one.sync()

    assert file.closed
    assert read(blob) == b"new"


def test_an_open_blob_does_not_leave_memory(one: Connection) -> None:
    blob = put(one)
    with blob.open() as file:
        one.cacheMinimize()
        assert blob._p_changed is not None
        assert file.read() == b"content"
    one.cacheMinimize()
    assert blob._p_changed is None


@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_blob_that_is_open_cannot_be_committed(one: Connection, mode: str) -> None:
    blob = put(one)
    write(blob, b"new")
    with blob.open(mode), pytest.raises(OpenBlobError, match="close the file first") as caught:
        one.transaction_manager.commit()
    assert isinstance(caught.value, ValueError)  # as ZODB has it
    one.transaction_manager.abort()
    assert read(blob) == b"content"


def test_a_new_blob_that_was_not_stored_keeps_its_data_after_an_abort(
    one: Connection, storage: Any
) -> None:
    blob = one.root()["blob"] = Blob(b"content")
    one.transaction_manager.abort()
    assert read(blob) == b"content"

    one.root()["again"] = blob
    one.transaction_manager.commit()

    assert read(blob) == b"content"


def test_a_blob_that_is_gone_takes_its_uncommitted_file_with_it(storage: Any) -> None:
    db = Database(storage)
    connection = db.open()
    blob = Blob()
    connection.add(blob)
    write(blob, b"content")
    assert len(waiting(storage)) == 1
    transaction.abort()

    del blob
    gc.collect()

    assert waiting(storage) == []
    db.close()


def test_a_blob_outside_a_database_leaves_nothing_behind() -> None:
    blob = Blob(b"content")
    path = blob._p_blob_uncommitted
    assert path is not None
    assert os.path.dirname(path) == tempfile.gettempdir()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    del blob
    gc.collect()

    assert not os.path.exists(path)


def test_a_fork_does_not_remove_the_files_of_its_parent() -> None:
    code = (
        "import os, sys\n"
        "from perdure.objects.blob import Blob\n"
        "blob = Blob(b'content')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "print(blob._p_blob_uncommitted, os.path.exists(blob._p_blob_uncommitted))\n"
    )
    done = python("-c", code)
    path, existed = done.stdout.split()
    assert existed == "True"
    assert not os.path.exists(path)


def test_a_change_without_new_data_stores_nothing(one: Connection, storage: Any) -> None:
    blob = put(one)
    before = storage.lastTransaction()
    blob._p_activate()
    serial = blob._p_serial
    one.root()["other"] = 1
    blob._p_changed = True

    one.transaction_manager.commit()

    assert storage.lastTransaction() > before
    assert blob._p_serial == serial
    assert not blob._p_changed
    assert read(blob) == b"content"


def test_of_two_that_write_one_blob_the_second_conflicts(one: Connection, two: Connection) -> None:
    put(one)
    two.sync()
    for connection in (one, two):
        write(connection.root()["blob"], b"of %d" % id(connection))
    one.transaction_manager.commit()

    with pytest.raises(ConflictError) as caught:
        two.transaction_manager.commit()
    assert caught.value.class_name == "ZODB.blob.Blob"  # its name on disk
    two.transaction_manager.abort()

    assert read(two.root()["blob"]) == b"of %d" % id(one)


def test_after_a_conflict_nothing_waits(one: Connection, two: Connection, storage: Any) -> None:
    put(one)
    two.sync()
    for connection in (one, two):
        write(connection.root()["blob"], b"new")
        connection.root()["new"] = Blob(b"another")
    one.transaction_manager.commit()
    with pytest.raises(ConflictError):
        two.transaction_manager.commit()
    two.transaction_manager.abort()
    gc.collect()

    assert waiting(storage) == []


def test_a_storage_without_blobs_says_so(tmp_path: Path) -> None:
    with Database(FileStorage(tmp_path / "data.fs")) as db:
        connection = db.open()
        connection.root()["blob"] = Blob(b"content")
        with pytest.raises(Unsupported, match="does not keep blobs"):
            transaction.commit()
        transaction.abort()
        blob = Blob()
        connection.add(blob)
        with pytest.raises(Unsupported, match="does not keep blobs"):
            blob.open("w")
        transaction.abort()
        connection.root()["works"] = 1
        transaction.commit()


# Savepoints


def test_a_savepoint_keeps_what_was_written_before_it(one: Connection) -> None:
    blob = put(one)
    write(blob, b"first")
    first = one.transaction_manager.savepoint()
    write(blob, b" second", "a")
    second = one.transaction_manager.savepoint()
    write(blob, b"third")
    assert read(blob) == b"third"

    second.rollback()
    assert read(blob) == b"first second"
    first.rollback()
    assert read(blob) == b"first"
    one.transaction_manager.commit()

    assert read(blob) == b"first"


def test_a_rollback_to_before_the_change_shows_what_is_committed(one: Connection) -> None:
    blob = put(one)
    savepoint = one.transaction_manager.savepoint()
    write(blob, b"new")
    one.transaction_manager.savepoint()

    savepoint.rollback()

    assert read(blob) == b"content"
    assert Path(blob.committed()).read_bytes() == b"content"


def test_savepoints_leave_no_files(one: Connection, storage: Any) -> None:
    for end in (one.transaction_manager.commit, one.transaction_manager.abort):
        blob = put(one)
        for n in range(3):
            write(blob, b"%d" % n)
            savepoint = one.transaction_manager.savepoint()
        write(blob, b"more")
        one.transaction_manager.savepoint()
        savepoint.rollback()
        assert len([name for name in waiting(storage) if name.endswith(".spb")]) == 3
        end()
        assert waiting(storage) == []


def test_a_new_blob_survives_savepoints(one: Connection) -> None:
    blob = one.root()["blob"] = Blob(b"new")
    savepoint = one.transaction_manager.savepoint()
    one.cacheMinimize()
    assert read(blob) == b"new"
    write(blob, b"er", "a")
    assert read(blob) == b"newer"
    savepoint.rollback()
    assert read(blob) == b"new"

    one.transaction_manager.commit()

    assert read(blob) == b"new"
    assert Path(blob.committed()).read_bytes() == b"new"


def test_a_new_blob_that_was_rolled_back_can_be_used_again(one: Connection) -> None:
    savepoint = one.transaction_manager.savepoint()
    blob = one.root()["blob"] = Blob(b"new")
    one.transaction_manager.savepoint()
    savepoint.rollback()

    assert blob._p_jar is None
    assert read(blob) == b""  # its file went with the savepoint
    write(blob, b"again")
    one.root()["blob"] = blob
    one.transaction_manager.commit()

    assert read(one.root()["blob"]) == b"again"


def test_a_savepoint_of_a_connection_that_is_forgotten_leaves_no_files(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data.fs", blob_dir=tmp_path / "blobs")
    db = Database(storage)
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    connection.root()["blob"] = Blob(b"content")
    manager.savepoint()
    assert len(waiting(storage)) == 1

    db.close()
    del connection, manager
    gc.collect()

    assert os.listdir(tmp_path / "blobs" / "tmp") == []


# Looking back


def test_undo_brings_the_data_back(one: Connection, db: Database) -> None:
    blob = put(one, b"one")
    write(blob, b"two")
    one.transaction_manager.commit()

    for expected in (b"one", b"two"):
        db.undo(db.undoLog(0, 1)[0]["id"], one.transaction_manager.get())
        one.transaction_manager.commit()
        assert read(blob) == expected


def test_undo_does_not_throw_later_data_away(one: Connection, db: Database) -> None:
    blob = put(one, b"one")
    for content in (b"two", b"three"):
        write(blob, content)
        one.transaction_manager.commit()

    db.undo(db.undoLog(1, 2)[0]["id"], one.transaction_manager.get())
    with pytest.raises(UndoError):
        one.transaction_manager.commit()
    one.transaction_manager.abort()

    assert read(blob) == b"three"


def test_undo_in_the_base_of_a_demo_storage_is_that_of_the_base(tmp_path: Path) -> None:
    base = FileStorage(tmp_path / "base.fs", blob_dir=tmp_path / "blobs")
    with Database(base) as below:
        put(below.open(transaction.TransactionManager()), b"of the base")
    base = FileStorage(tmp_path / "base.fs", blob_dir=tmp_path / "blobs", read_only=True)
    with Database(DemoStorage(base=base)) as db:
        connection = db.open(transaction.TransactionManager())
        blob = connection.root()["blob"]
        assert read(blob) == b"of the base"
        write(blob, b"changed")
        connection.transaction_manager.commit()
        assert read(blob) == b"changed"

        db.undo(db.undoLog(0, 1)[0]["id"], connection.transaction_manager.get())
        connection.transaction_manager.commit()

        assert read(blob) == b"of the base"
        assert Path(blob.committed()).parts[-1] not in os.listdir(tmp_path / "blobs")
        assert base.loadBlob(blob._p_oid, base.load(blob._p_oid).tid) != blob.committed()


def test_a_connection_to_the_past_reads_old_data_and_cannot_write(
    one: Connection, db: Database
) -> None:
    blob = put(one, b"one")
    then = db.lastTransaction()
    write(blob, b"two")
    one.transaction_manager.commit()

    past = db.open(transaction.TransactionManager(), at=then)
    old: Any = past.root()["blob"]
    assert read(old) == b"one"
    with pytest.raises(ReadOnlyHistoryError):
        old.open("w")
    assert read(old) == b"one"
    past.transaction_manager.abort()
    past.close()


def test_a_pack_keeps_what_is_current(one: Connection, db: Database) -> None:
    blob = put(one, b"one")
    write(blob, b"two")
    one.transaction_manager.commit()

    db.pack()

    assert read(blob) == b"two"
    one.cacheMinimize()
    assert read(blob) == b"two"
