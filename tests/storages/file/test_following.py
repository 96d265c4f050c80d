"""Reading a file while another process writes it, and noticing when it is gone."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import perdure
from perdure.errors import FileReplacedError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from samples.objects import Counter

A, B = p64(1), p64(2)

COMMIT = """
import sys
import perdure
from perdure.ids import p64
with perdure.DB(sys.argv[1]) as db:
    for line in sys.stdin:
        with db.transaction() as connection:
            connection.root.number = int(line)
        print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


def vote(storage: FileStorage, oid: bytes, data: bytes) -> TransactionMetaData:
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.store(oid, ZERO, data, "", metadata)
    storage.tpc_vote(metadata)
    return metadata


def test_a_reader_takes_in_later_commits_when_it_is_refreshed(path: Path) -> None:
    writer = FileStorage(path)
    write(writer, {A: cell(1)})
    reader = FileStorage(path, read_only=True)
    tid = write(writer, {A: cell(2), B: cell(1)}).tid
    assert reader.load(A).data == cell(1)
    assert reader.refresh()
    assert reader.load(A) == (cell(2), tid)
    assert reader.load(B).data == cell(1)
    assert reader.lastTransaction() == tid
    assert not reader.refresh()
    assert not writer.refresh()
    reader.close()
    writer.close()


def test_a_writers_unfinished_end_is_no_damage_and_not_seen(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = FileStorage(path)
    write(writer, {A: cell(1)})
    early = FileStorage(path, read_only=True)
    voted = vote(writer, B, cell("x" * 500))
    with caplog.at_level(logging.DEBUG, "perdure"):
        late = FileStorage(path, read_only=True)
        for reader in (early, late):
            assert not reader.refresh()
            assert (len(reader), reader.load(A).data) == (1, cell(1))
        writer.tpc_abort(voted)
        assert not early.refresh()
        tid = writer.tpc_finish(vote_again(writer))
        for reader in (early, late):
            assert reader.refresh()
            assert reader.load(B) == (cell("short"), tid)
            reader.close()
    assert caplog.records == []
    writer.close()


def vote_again(writer: FileStorage) -> TransactionMetaData:
    return vote(writer, B, cell("short"))


def test_connections_of_a_reader_see_what_another_process_commits(path: Path) -> None:
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.number = 0
        connection.root.counter = Counter()
    storage = FileStorage(path, read_only=True)
    with (
        perdure.DB(storage) as db,
        subprocess.Popen(
            [sys.executable, "-c", COMMIT, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        connection = db.open()
        for number in (1, 2, 3):
            before = connection.root.number
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            assert storage.refresh()
            assert connection.root.number == before  # the moment of its transaction
            connection.transaction_manager.begin()
            assert connection.root.number == number
        connection.close()
        process.stdin.close()


def test_a_reader_follows_a_pack(path: Path) -> None:
    with perdure.DB(path) as db:
        for number in range(3):
            with db.transaction() as connection:
                connection.root.number = number
        storage = FileStorage(path, read_only=True)
        with perdure.DB(storage) as readers:
            connection = readers.open()
            assert connection.root.number == 2
            db.pack()
            with db.transaction() as writing:
                writing.root.number = 7
            assert connection.root.number == 2
            assert storage.refresh()
            connection.transaction_manager.begin()
            assert connection.root.number == 7
            assert storage.getSize() == db.storage.getSize()
            connection.close()


def test_a_reader_does_not_go_back_to_an_older_file(path: Path, tmp_path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {A: cell(1)})
    older = path.read_bytes()
    write(storage, {A: cell(2)})
    storage.close()
    reader = FileStorage(path, read_only=True)
    path.with_name("data.fs.index").unlink()
    (tmp_path / "older").write_bytes(older)
    os.replace(tmp_path / "older", path)
    with pytest.raises(FileReplacedError):
        reader.refresh()
    path.unlink()
    with pytest.raises(FileReplacedError):
        reader.refresh()
    assert reader.load(A).data == cell(2)
    reader.close()


def test_a_view_of_the_past_is_not_refreshed(path: Path) -> None:
    writer = FileStorage(path)
    tid = write(writer, {A: cell(1)}).tid
    reader = FileStorage(path, read_only=True, stop=p64(int.from_bytes(tid, "big") + 1))
    write(writer, {A: cell(2)})
    assert not reader.refresh()
    assert reader.load(A).data == cell(1)
    reader.close()
    writer.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_is_noticed_by_the_next_commit(path: Path, replaced: bool) -> None:
    storage = FileStorage(path)
    write(storage, {A: cell(1)})
    aside = path.with_name("aside.fs")
    path.rename(aside)
    if replaced:
        path.write_bytes(aside.read_bytes())
    before = aside.read_bytes()
    with pytest.raises(FileReplacedError, match="expected the one that is open") as caught:
        write(storage, {A: cell(2)})
    assert caught.value.path == str(path)
    assert aside.read_bytes() == before

    os.replace(aside, path)
    tid = write(storage, {A: cell(3)}).tid
    assert storage.load(A) == (cell(3), tid)
    storage.close()
