"""Loads that verify: a bit that the disk has flipped is an error, in place of other data."""

from collections.abc import Callable
from pathlib import Path

import pytest
import ZODB.FileStorage

import perdure
from perdure.errors import CorruptDataError, StateLoadError
from perdure.ids import MAX_TID, ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.verifying import Verifier
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import undo, undo_id, write
from samples.objects import RefusesItsState

A, B, C = p64(1), p64(2), p64(3)
LOADS: list[Callable[[FileStorage, bytes], object]] = [
    lambda storage, oid: storage.load(oid),
    lambda storage, oid: storage.loadBefore(oid, MAX_TID),
    lambda storage, oid: storage.loadSerial(oid, storage.lastTid(oid) or ZERO),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.fs"
    storage = FileStorage(path)
    write(storage, {A: cell("alpha"), B: cell("beta")})
    write(storage, {C: cell("gamma")})
    storage.close()
    return path


def flip(path: Path, text: bytes) -> None:
    """Change a letter of `text`, which stands in the file once, so that it can be unpickled."""
    data = path.read_bytes()
    assert data.count(text) == 1
    path.write_bytes(data.replace(text, text[:-1] + bytes([text[-1] ^ 1])))


@pytest.fixture(params=LOADS)
def load(request: pytest.FixtureRequest) -> Callable[[FileStorage, bytes], object]:
    wanted: Callable[[FileStorage, bytes], object] = request.param
    return wanted


def test_data_that_the_disk_has_changed_is_an_error_each_time(
    path: Path, load: Callable[[FileStorage, bytes], object]
) -> None:
    flip(path, b"alpha")
    storage = FileStorage(path, verify_reads=True)
    for _ in range(2):
        for oid in (A, B):  # of the same transaction
            with pytest.raises(CorruptDataError, match="checksum") as caught:
                load(storage, oid)
            assert caught.value.oid == oid
            assert caught.value.position == 4
    load(storage, C)
    storage.close()


def test_without_the_option_such_data_are_loaded(path: Path) -> None:
    flip(path, b"alpha")
    storage = FileStorage(path)
    assert storage.load(A).data == cell("alphc"[:4] + "`")
    storage.close()


def test_a_connection_meets_the_error(tmp_path: Path) -> None:
    path = tmp_path / "objects.fs"
    with perdure.DB(path) as db:
        with db.transaction() as connection:
            connection.root.part = perdure.PersistentMapping()
        with db.transaction() as connection:
            connection.root.part["text"] = "something to be changed"
    flip(path, b"changed")
    ways: list[Callable[[], perdure.DB]] = [
        lambda: perdure.DB(path, verify_reads=True),
        lambda: perdure.open(f"file:{path}?verify_reads=1"),
    ]
    for open_it in ways:
        with open_it() as db, pytest.raises(CorruptDataError), db.transaction() as connection:
            connection.root.part["text"]


def test_a_record_can_be_checked_by_itself(path: Path) -> None:
    flip(path, b"alpha")
    storage = FileStorage(path)
    tid = storage.lastTid(A) or ZERO
    for oid in (A, B):  # of the same transaction
        with pytest.raises(CorruptDataError, match="checksum") as caught:
            storage.check_record(oid, tid)
        assert (caught.value.oid, caught.value.position) == (oid, 4)
    storage.check_record(C, storage.lastTid(C) or ZERO)
    undo(storage, undo_id(storage))
    storage.check_record(C, storage.lastTransaction())
    for oid in (A, C, p64(99)):  # there is nothing to compare
        storage.check_record(oid, p64(1))
    storage.close()


def test_without_the_option_a_connection_is_told_of_data_that_make_no_sense(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        for name in ("alpha", "beta"):
            connection.root()[name] = perdure.PersistentMapping({"name": name.upper()})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x05\0\0\0ALPHA", b"\x05\0\1\0ALPHA"))  # its length
    with perdure.DB(path) as db, db.transaction() as connection:
        damaged = connection.root()["alpha"]
        for _ in range(2):
            with pytest.raises(CorruptDataError, match="run `perdure check") as caught:
                damaged._p_activate()
            assert (caught.value.path, caught.value.oid) == (str(path), damaged._p_oid)
        assert connection.root()["beta"]["name"] == "BETA"


def test_a_class_that_refuses_a_sound_record_is_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "app.fs"
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.refusing = RefusesItsState()
    with perdure.DB(path) as db, db.transaction() as connection:
        refusing = connection.root.refusing
        with pytest.raises(StateLoadError, match="this state is not for me"):
            refusing._p_activate()


def test_what_an_undo_points_back_to_is_verified(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {A: cell("other")})
    undo(storage, undo_id(storage))
    storage.close()
    flip(path, b"alpha")
    storage = FileStorage(path, verify_reads=True)
    with pytest.raises(CorruptDataError):
        storage.load(A)
    storage.close()


def test_what_is_committed_and_packed_meanwhile_is_verified_too(path: Path) -> None:
    storage = FileStorage(path, verify_reads=True)
    write(storage, {A: cell("newer")})
    assert storage.load(A).data == cell("newer")
    storage.pack(2**32, lambda data: [], gc=False)
    assert storage.load(A).data == cell("newer")
    flip(path, b"beta")
    with pytest.raises(CorruptDataError):
        storage.load(B)
    storage.close()


def test_files_of_zodb_have_nothing_to_be_verified_by(tmp_path: Path) -> None:
    path = tmp_path / "zodb.fs"
    theirs = ZODB.FileStorage.FileStorage(str(path))
    metadata = TransactionMetaData()
    theirs.tpc_begin(metadata)
    theirs.store(A, ZERO, cell("alpha"), "", metadata)
    theirs.tpc_vote(metadata)
    theirs.tpc_finish(metadata)
    theirs.close()
    storage = FileStorage(path, verify_reads=True)
    assert storage.load(A).data == cell("alpha")
    storage.close()


def test_a_very_large_transaction_is_not_read_for_one_record(path: Path) -> None:
    flip(path, b"alpha")
    storage = FileStorage(path)
    Verifier(storage._opened(), largest_bytes=50).verify(A, storage.load(A).tid)
    with pytest.raises(CorruptDataError):
        Verifier(storage._opened()).verify(A, storage.load(A).tid)
    storage.close()


def test_every_flipped_bit_of_a_record_is_noticed(path: Path) -> None:
    sound = path.read_bytes()
    storage = FileStorage(path)
    view, last = storage._opened(), storage.lastTransaction()
    start = view.index.get(C)
    storage.close()
    size = len(cell("gamma"))
    for offset in range(start + 42, start + 42 + size):
        for bit in range(8):
            changed = bytearray(sound)
            changed[offset] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(CorruptDataError):
                Verifier(view).verify(C, last)
    path.write_bytes(sound)
    Verifier(view).verify(C, last)
