"""Data files through ZODB's names: iterating, dumping, indexes, recovering, scripts."""

import runpy
import struct
import sys
from pathlib import Path

import pytest
import transaction
import ZODB
import ZODB.FileStorage
import ZODB.fsIndex
import ZODB.fsrecover
import ZODB.fstools
from ZODB.FileStorage.FileStorage import FileIterator
from ZODB.FileStorage.format import CorruptedError, FileStorageFormatter
from ZODB.FileStorage.fsdump import fsdump
from ZODB.FileStorage.fsoids import Tracer


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "d.fs")
    db = ZODB.DB(path)
    for number in range(5):
        with db.transaction(f"number {number}") as connection:
            connection.root.number = number
    db.close()
    return path


def tids(path: str) -> list[bytes]:
    iterator = FileIterator(path)
    found = [each.tid for each in iterator]
    iterator.close()
    return found


def test_iterating_from_the_middle_and_to_a_tid(path: str) -> None:
    all_of_them = tids(path)
    assert len(all_of_them) == 6
    for start in range(6):
        for stop in range(start, 6):
            iterator = FileIterator(path, all_of_them[start], all_of_them[stop])
            assert [each.tid for each in iterator] == all_of_them[start : stop + 1]
            iterator.close()


def test_iterating_from_a_position(path: str) -> None:
    iterator = FileIterator(path)
    second = list(iterator)[1]
    iterator.close()
    iterator = FileIterator(path, pos=second._tpos)
    assert [each.tid for each in iterator] == tids(path)[1:]
    iterator.close()
    with pytest.raises(OSError, match="iterator is closed"):
        next(iterator)


def test_a_partial_transaction_ends_the_iteration(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"\x04" * 12)  # half a header
    before = Path(path).read_bytes()
    assert len(tids(path)) == 6
    assert Path(path).read_bytes() == before


def test_undone_in_place_does_not_end_the_iteration(path: str) -> None:
    iterator = FileIterator(path)
    position = list(iterator)[2]._tpos
    iterator.close()
    with open(path, "r+b") as file:
        file.seek(position + 16)
        file.write(b"u")
    Path(path + ".index").unlink()
    assert len(tids(path)) == 5


def test_dumping(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    fsdump(path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18
    assert lines[0].startswith("Trans #00000 tid=")
    assert "class=persistent.mapping.PersistentMapping" in lines[2]


def test_tracing_an_object(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    tracer = Tracer(path)
    tracer.register_oids(0)
    tracer.run()
    tracer.report()
    out = capsys.readouterr().out
    assert "oid 0x00 persistent.mapping.PersistentMapping 6 revisions" in out


def test_reading_headers_at_positions(path: str) -> None:
    class Formatter(FileStorageFormatter):
        def __init__(self, file) -> None:
            self._file = file
            self._pos = Path(path).stat().st_size

    with open(path, "rb") as file:
        formatter = Formatter(file)
        header = formatter._read_txn_header(4)
        assert header.descr == b"initial database creation"
        record = formatter._read_data_header(4 + header.headerlen(), b"\0" * 8)
        assert record.tloc == 4
        formatter.checkTxn(header, 4)
        formatter.checkData(header, 4, record, 4 + header.headerlen())
        with pytest.raises(CorruptedError):
            formatter.checkTxn(header, formatter._pos)
        assert header.asString() == Path(path).read_bytes()[4 : 4 + header.headerlen()]


def test_walking_backwards(path: str) -> None:
    with open(path, "rb") as file:
        file.seek(0, 2)
        header = ZODB.fstools.prev_txn(file)
        found = []
        while header is not None:
            header.read_meta()
            found.append((header.tid, header.descr))
            header = header.prev_txn()
    assert [tid for tid, _ in reversed(found)] == tids(path)
    assert found[0][1] == b"number 4"


def test_an_index_is_saved_and_loaded(tmp_path: Path) -> None:
    index = ZODB.fsIndex.fsIndex({struct.pack(">Q", n * 40000): n + 4 for n in range(9)})
    name = str(tmp_path / "d.fs.index")
    index.save(99, name)
    loaded = ZODB.fsIndex.fsIndex.load(name)
    assert loaded["pos"] == 99
    assert dict(loaded["index"].items()) == dict(index.items())
    again = ZODB.fsIndex.fsIndex()
    again.__setstate__(index.__getstate__())
    assert list(again) == list(index)
    assert (again.minKey(), again.maxKey()) == (struct.pack(">Q", 0), struct.pack(">Q", 320000))
    assert again.minKey(struct.pack(">Q", 1)) == struct.pack(">Q", 40000)
    assert again.maxKey(struct.pack(">Q", 39999)) == struct.pack(">Q", 0)
    del again[struct.pack(">Q", 0)]
    assert again.get(struct.pack(">Q", 0), "gone") == "gone"
    with pytest.raises(ValueError, match="no such key"):
        ZODB.fsIndex.fsIndex().maxKey()


def test_recovering(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(path, "r+b") as file:
        file.seek(600)
        file.write(b"\xff" * 20)
    new = str(tmp_path / "new.fs")
    ZODB.fsrecover.recover(path, new, verbose=1)
    assert "lost" in capsys.readouterr().out
    db = ZODB.DB(new)
    with db.transaction() as connection:
        assert connection.root.number == 4
    db.close()


def run(monkeypatch: pytest.MonkeyPatch, module: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, module, raising=False)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@pytest.mark.parametrize(
    ("module", "arguments", "printed"),
    [
        ("ZODB.scripts.fstail", ["-n", "1"], "number 4"),
        ("ZODB.scripts.fsrefs", [], "6 records"),
        ("ZODB.scripts.fstest", [], "6 transactions"),
        ("ZODB.scripts.fsoids", ["0x0"], "6 revisions"),
        ("ZODB.scripts.analyze", [], "persistent.mapping.PersistentMapping"),
        ("ZODB.scripts.space", [], "persistent.mapping.PersistentMapping"),
        ("ZODB.FileStorage.fsdump", [], "Trans #00005"),
    ],
)
def test_scripts_run_as_modules(
    path: str,
    module: str,
    arguments: list[str],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [each for each in arguments if module.endswith("fstail")]
    rest = [each for each in arguments if each not in options]
    run(monkeypatch, module, *options, path, *rest)
    assert printed in capsys.readouterr().out


def test_a_script_says_how_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fstail", "fsrefs", "fstest", "analyze", "space"):
        with pytest.raises(SystemExit, match="usage"):
            run(monkeypatch, f"ZODB.scripts.{module}")


def test_backing_up_with_repozos_options(path: str, tmp_path: Path) -> None:
    from ZODB.scripts import repozo

    repository, restored = str(tmp_path / "backups"), str(tmp_path / "restored.fs")
    repozo.main(["-B", "-v", "-r", repository, "-f", path])
    repozo.main(["--recover", "--repository", repository, "--output", restored])
    assert tids(restored) == tids(path)
    with pytest.raises(SystemExit):
        repozo.main(["-B", "-R", "-r", repository])
    (tmp_path / "empty").mkdir()
    with pytest.raises(repozo.NoFiles):
        repozo.main(["-R", "-r", str(tmp_path / "empty"), "-o", str(tmp_path / "x.fs")])


def test_who_refers_to_whom(path: str) -> None:
    from persistent.mapping import PersistentMapping
    from ZODB.scripts.referrers import referrers

    db = ZODB.DB(path)
    with db.transaction() as connection:
        child = connection.root.child = PersistentMapping()
    assert referrers(db.storage) == {child._p_oid: [(b"\0" * 8, db.lastTransaction())]}
    db.close()
    transaction.abort()
