import shutil
from pathlib import Path

import pytest
import transaction
import ZODB.DB

import perdure
from perdure.errors import CorruptDataError
from perdure.tools import FileState, describe, file_state


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filestate") / "app.fs"
    with perdure.DB(path) as db:
        for number in range(2500):
            with db.transaction(f"number {number}") as connection:
                connection.root.number = number
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    for name in ("app.fs", "app.fs.index"):
        shutil.copyfile(original.with_name(name), tmp_path / name)
    return tmp_path / "app.fs"


def state(path: Path) -> FileState:
    return file_state(path, path.stat().st_size)


def test_transactions_and_checksums_are_counted(path: Path) -> None:
    size = path.stat().st_size
    assert state(path) == FileState(2501, 0, 2501, size, "")


def test_packed_transactions_are_counted(path: Path) -> None:
    with perdure.DB(path) as db:
        db.pack()
        with db.transaction() as connection:
            connection.root.number = 0
    found = state(path)
    assert (found.transaction_count, found.packed_count) == (2, 1)


def test_transactions_of_zodb_have_no_checksum(path: Path) -> None:
    theirs = ZODB.DB(str(path))
    connection = theirs.open()
    connection.root.number = 0
    transaction.commit()
    theirs.close()
    assert (state(path).transaction_count, state(path).checked_count) == (2502, 2501)


def test_what_an_index_is_good_for_is_told(path: Path) -> None:
    size = path.stat().st_size
    index = path.with_name("app.fs.index")
    saved = index.read_bytes()
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.number = 0
    index.write_bytes(saved)
    assert state(path).indexed_bytes == size
    index.write_bytes(saved[:-10])
    assert state(path).indexed_bytes is None
    assert state(path).index_problem
    index.unlink()
    assert state(path).index_problem == "there is none"
    index.write_bytes(saved)
    assert "of a file of at least" in file_state(path, 4).index_problem


def test_transactions_that_do_not_follow_one_another_are_named(path: Path) -> None:
    with pytest.raises(CorruptDataError, match="byte"):
        file_state(path, path.stat().st_size - 1)


def test_progress_counts_bytes(path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    size = path.stat().st_size
    file_state(path, size, lambda done, total: told.append((done, total)))
    assert len(told) == 3
    assert told[-1] == (size, size)


def test_a_glance_can_leave_out_the_counting(path: Path) -> None:
    with perdure.DB(path) as db:
        info = describe(db.storage)
        quick = describe(db.storage, quick=True)
    assert info.transaction_count == 2501
    assert info.file is not None
    assert (quick.transaction_count, quick.file) == (None, None)
    assert quick.last_tid == info.last_tid
    assert {"BTrees", "persistent", "checksums", "filescan"} <= set(info.native)
