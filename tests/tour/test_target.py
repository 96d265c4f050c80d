from pathlib import Path

import pytest

import perdure
from perdure.errors import FileLockedError
from perdure.tour.model import Library
from perdure.tour.target import NotATourError, prepare, refuse_strangers


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize("content", [b"my diary, which is dear to me", b"x", b"FS21 old old old"])
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    with pytest.raises(NotATourError, match=r"diary\.txt"):
        refuse_strangers(path)
    assert contents(tmp_path) == {"diary.txt": content}


def test_somebody_else_s_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.accounts = 1
    before = contents(tmp_path)
    with pytest.raises(NotATourError, match="accounts"):
        refuse_strangers(path)
    assert contents(tmp_path) == before


def test_something_else_called_library_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.library = perdure.PersistentMapping()
    with pytest.raises(NotATourError, match="library"):
        refuse_strangers(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotATourError, match="no regular file"):
        refuse_strangers(tmp_path)


def test_no_file_and_an_empty_database_are_free(tmp_path: Path) -> None:
    refuse_strangers(tmp_path / "new.fs")
    assert contents(tmp_path) == {}
    perdure.DB(tmp_path / "empty.fs").close()
    refuse_strangers(tmp_path / "empty.fs")


@pytest.mark.parametrize("content", [b"", b"FS30"])
def test_a_file_without_a_transaction_is_free(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tour.fs"
    path.write_bytes(content)
    refuse_strangers(path)
    with perdure.open(path) as db:
        assert prepare(db, fresh=False) == "starting with an empty database"


def test_a_library_is_made_once_and_then_used_again() -> None:
    with perdure.DB(None) as db:
        assert prepare(db, fresh=False) == "starting with an empty database"
        assert "carrying on where an earlier tour stopped" in prepare(db, fresh=False)
        with db.transaction() as connection:
            connection.root.library.complete = True
        assert "using again what an earlier tour read" in prepare(db, fresh=False)


def test_another_python_s_library_is_replaced() -> None:
    with perdure.DB(None) as db:
        with db.transaction() as connection:
            connection.root.library = Library("2.7.18")
        assert prepare(db, fresh=False) == "replacing what an earlier tour read from Python 2.7.18"
        with db.transaction() as connection:
            assert connection.root.library.python.startswith("3.")


def test_a_fresh_start_replaces_the_library() -> None:
    with perdure.DB(None) as db:
        prepare(db, fresh=False)
        with db.transaction() as connection:
            connection.root.library.complete = True
        assert prepare(db, fresh=True).startswith("replacing")
        with db.transaction() as connection:
            assert not connection.root.library.complete


def test_a_tour_file_in_use_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "tour.fs"
    with perdure.DB(path) as db:
        prepare(db, fresh=False)
        refuse_strangers(path)
        with pytest.raises(FileLockedError):
            perdure.open(path)
