from pathlib import Path

import pytest

import perdure
from commands import invoke
from processes import run_perdure

pytest.importorskip("zstandard", reason="zstd takes the extra `compress`")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.books = perdure.PersistentMapping()
        for number in range(500):
            title = f"Volume {number} of the collected works"
            connection.root.books[number] = perdure.PersistentMapping(title=title)
    return path


def test_a_dictionary_is_written_that_the_printed_address_opens(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.dict"
    done = run_perdure("train-dictionary", "--size", "1024", path, file)
    assert (done.returncode, done.stderr) == (0, "")
    assert 256 <= file.stat().st_size <= 1024
    printed = done.stdout.strip().partition(", for ")[2]
    assert printed == f"zstd:(file:{path})?dictionary={file}"
    with perdure.open(printed, read_only=True) as db, db.transaction() as connection:
        assert len(connection.root.books) == 500


def test_records_get_smaller_with_it(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.dict"
    invoke("train-dictionary", "--size", "1024", path, file)
    invoke("copy", path, f"zstd:(file:{tmp_path}/plain.fs)")
    invoke("copy", path, f"zstd:(file:{tmp_path}/trained.fs)?dictionary={file}")
    sizes = [(tmp_path / name).stat().st_size for name in ("trained.fs", "plain.fs")]
    assert sizes[0] < 0.8 * sizes[1]


def test_an_older_dictionary_is_named_in_the_address(path: Path, tmp_path: Path) -> None:
    older, newer = tmp_path / "older.dict", tmp_path / "newer.dict"
    invoke("train-dictionary", "--size", "1024", path, older)
    address = f"zstd:(file:{path})?dictionary={older}"
    done = invoke("train-dictionary", "--size", "1024", address, newer)
    assert f"zstd:(file:{path})?dictionary={newer}&old_dictionary={older}" in done.stdout


def test_a_third_dictionary_is_refused(path: Path, tmp_path: Path) -> None:
    """Records of the first one could not be read by the address that would be printed."""
    for name in ("first.dict", "second.dict"):
        invoke("train-dictionary", "--size", "1024", path, tmp_path / name)
    dictionaries = f"dictionary={tmp_path}/second.dict&old_dictionary={tmp_path}/first.dict"
    address = f"zstd:(file:{path})?{dictionaries}"
    refused = invoke("train-dictionary", "--size", "1024", address, tmp_path / "third.dict")
    assert refused.exit_code == 2
    assert "no place in an address for a third one" in " ".join(refused.stderr.split())
    assert not (tmp_path / "third.dict").exists()


def test_a_file_that_is_there_is_left_alone(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.dict"
    file.write_bytes(b"needed")
    refused = invoke("train-dictionary", path, file)
    assert refused.exit_code == 2
    assert "already, and records may need it" in refused.stderr
    assert file.read_bytes() == b"needed"


def test_too_few_records_are_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "empty.fs"):
        pass
    refused = invoke("train-dictionary", tmp_path / "empty.fs", tmp_path / "new.dict")
    assert refused.exit_code == 1
    assert "ask for a smaller one" in refused.stderr
    assert not (tmp_path / "new.dict").exists()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    refused = invoke("train-dictionary", tmp_path / "missing.fs", tmp_path / "new.dict")
    assert refused.exit_code == 2
    assert list(tmp_path.iterdir()) == []
