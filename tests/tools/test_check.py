"""A check finds whatever is wrong with a file, and nothing in a sound one."""

import os
import threading
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import transaction
import ZODB
import ZODB.FileStorage
from persistent.mapping import PersistentMapping

import perdure
from perdure import native
from perdure.errors import FileMissingError, FileStorageFormatError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.objects.blob import Blob
from perdure.storages import FileStorage, MappingStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import pack_index, unpack_index
from perdure.tools import (
    Checked,
    DamagedTransaction,
    MissingBlob,
    MissingObject,
    OrphanBlob,
    TornEnd,
    UnfinishedEnd,
    UnreadableRecord,
    WrongChecksum,
    WrongIndex,
    WrongOrder,
    WrongPointer,
    check,
    check_file,
)
from perdure.tools.indexcheck import check_index
from samples.file_histories import damage, make_history
from samples.file_operations import Unsynced
from samples.objects import Counter, Node
from samples.transactions import write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.fs"


def fill(path: Path) -> list[int]:
    """Write four transactions, one of them an undo; return where each of them ends."""
    storage = FileStorage(path, operations=Unsynced())
    ends = []
    with perdure.DB(storage) as db:
        ends.append(storage.getSize())
        with db.transaction(
            "why",
        ) as connection:
            connection.root.counter = Counter(1)
            connection.root.node = Node(next=Node())
        ends.append(storage.getSize())
        with db.transaction() as connection:
            connection.root.counter.value = 2
        ends.append(storage.getSize())
        db.undo(db.undoLog(0, 1)[0]["id"])
        transaction.commit()
        ends.append(storage.getSize())
        with db.transaction() as connection:
            connection.root.node.text = "text"
        ends.append(storage.getSize())
    return ends


def flip(path: Path, position: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


def kinds(checked: Checked) -> list[type]:
    return [type(finding) for finding in checked.findings]


def test_a_sound_file_is_sound(path: Path) -> None:
    ends = fill(path)
    before = path.read_bytes()
    found = check_file(path)
    assert (found.sound, found.findings) == (True, ())
    assert found.size_bytes == ends[-1]
    assert (found.transactions, found.unchecked, found.records, found.objects) == (5, 0, 8, 4)
    assert {room.class_name: room.count for room in found.classes} == {
        "samples.objects.Node": 3,
        "samples.objects.Counter": 2,
        "persistent.mapping.PersistentMapping": 2,
    }
    assert path.read_bytes() == before


def test_every_flipped_bit_of_a_small_file_is_found(path: Path) -> None:
    fill(path)
    whole = path.read_bytes()
    unnoticed = []
    for position in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            try:
                sound = check_file(path, follow_references=False).sound
            except FileStorageFormatError:
                assert position < 4
                continue
            if sound:
                unnoticed.append((position, bit))
    assert unnoticed == []


def test_every_truncation_is_reported_and_only_the_beginning_counts(path: Path) -> None:
    ends = [4, *fill(path)]
    whole = path.read_bytes()
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        found = check_file(path)
        assert found.size_bytes == max(end for end in ends if end <= size)
        if size not in ends:
            assert len(found.findings) == 1
            assert isinstance(found.findings[0], TornEnd | UnfinishedEnd)
        else:
            assert found.findings == ()


def test_what_a_check_counts_of_a_file_of_zodb_is_unchecked_and_sound(path: Path) -> None:
    storage = ZODB.FileStorage.FileStorage(str(path))
    db = ZODB.DB(storage)
    connection = db.open()
    for number in range(3):
        connection.root()[str(number)] = PersistentMapping()
        transaction.commit()
    db.undo(db.undoInfo(0, 1)[0]["id"])
    transaction.commit()
    connection.close()
    db.close()
    found = check_file(path)
    assert found.findings == ()
    assert (found.transactions, found.unchecked) == (5, 5)

    with perdure.DB(path) as ours, ours.transaction() as connection:
        connection.root.ours = 1
    storage = ZODB.FileStorage.FileStorage(str(path))
    db = ZODB.DB(storage)
    db.pack()
    db.close()
    found = check_file(path)
    assert found.findings == ()
    assert found.unchecked == found.transactions


def test_a_packed_file_is_sound(path: Path) -> None:
    fill(path)
    with perdure.DB(path) as db:
        db.pack()
    assert check_file(path).findings == ()


def test_damage_in_a_record_leaves_all_others_checked(path: Path) -> None:
    ends = fill(path)
    flip(path, ends[1] - 20)
    found = check_file(path)
    (finding,) = [f for f in found.findings if isinstance(f, WrongChecksum)]
    assert finding.position == ends[0]
    assert found.transactions == 5
    assert str(finding).startswith(f"byte {ends[0]}: found bytes that do not match their checksum")


def test_lost_lengths_cost_one_transaction_and_the_rest_is_checked(path: Path) -> None:
    ends = fill(path)
    flip(path, ends[1] + 15, 0x40)
    found = check_file(path, follow_references=False)
    (finding,) = [f for f in found.findings if isinstance(f, DamagedTransaction)]
    assert (finding.position, finding.resumed_at) == (ends[1], ends[2])
    assert found.transactions == 4
    assert found.size_bytes == ends[-1]


def test_zeros_over_several_transactions_cost_only_those(path: Path) -> None:
    ends = fill(path)
    data = bytearray(path.read_bytes())
    data[ends[0] + 10 : ends[2] + 30] = bytes(ends[2] + 30 - ends[0] - 10)
    path.write_bytes(data)
    (finding,) = (f for f in check_file(path).findings if isinstance(f, DamagedTransaction))
    assert (finding.position, finding.resumed_at) == (ends[0], ends[3])


def test_an_object_that_is_not_there_is_missed_with_who_refers_to_it(path: Path) -> None:
    storage = FileStorage(path)
    with perdure.DB(storage) as db:
        with db.transaction() as connection:
            connection.root.node = Node()
            connection.add(connection.root.node)
            oid = connection.root.node._p_oid
        metadata = TransactionMetaData()
        storage.tpc_begin(metadata)
        storage.deleteObject(oid, storage.getTid(oid), metadata)
        storage.tpc_vote(metadata)
        storage.tpc_finish(metadata)
        position = storage._opened().index.get(ZERO)
    (finding,) = check_file(path).findings
    assert isinstance(finding, MissingObject)
    assert (finding.position, finding.oid, finding.missing) == (position, ZERO, oid)
    assert "found a reference to oid 0x1" in str(finding)
    assert check_file(path, follow_references=False).sound


def test_a_record_that_is_no_pickle_is_named(path: Path) -> None:
    storage = FileStorage(path)
    write(storage, {p64(7): b"no pickle"})
    storage.close()
    (finding,) = check_file(path).findings
    assert isinstance(finding, UnreadableRecord)
    assert (finding.position, finding.oid) == (storage_start(path), p64(7))
    assert "found pickles that cannot be read (" in str(finding)


def storage_start(path: Path) -> int:
    """Return where the first record is."""
    return path.read_bytes().index(p64(7), 20)


def rewrite(path: Path, at: int, **fields: Any) -> None:
    """Change fields of a record's header in a file without checksums."""
    names = ("oid", "tid", "previous", "transaction", "version", "size")
    data = bytearray(path.read_bytes())
    values = dict(zip(names, RECORD_HEADER.unpack_from(data, at), strict=True)) | fields
    RECORD_HEADER.pack_into(data, at, *(values[name] for name in names))
    path.write_bytes(data)


@pytest.fixture
def of_zodb(path: Path) -> list[int]:
    """A file without checksums: two revisions of one object; where their records are."""
    storage = ZODB.FileStorage.FileStorage(str(path))
    positions = []
    for text in (b"one", b"two", b"three"):
        write(storage, {p64(1): text})
        positions.append(storage._index[p64(1)])
    storage.close()
    return positions


@pytest.mark.parametrize("number", [0, 1])
def test_a_pointer_to_another_record_than_the_one_before_is_found(
    path: Path, of_zodb: list[int], number: int
) -> None:
    rewrite(path, of_zodb[2], previous=[0, of_zodb[0]][number])
    (finding,) = check_file(path, follow_references=False).findings
    assert isinstance(finding, WrongPointer)
    assert (finding.position, finding.oid) == (of_zodb[2], p64(1))
    assert f"expected it at {of_zodb[1]}" in str(finding)


def test_a_record_of_another_tid_than_its_transaction_is_found(
    path: Path, of_zodb: list[int]
) -> None:
    rewrite(path, of_zodb[1], tid=p64(5))
    (finding,) = check_file(path, follow_references=False).findings
    assert isinstance(finding, WrongOrder)
    assert finding.position == of_zodb[1]


def test_data_that_lead_nowhere_are_found(path: Path) -> None:
    storage = ZODB.FileStorage.FileStorage(str(path))
    db = ZODB.DB(storage)
    connection = db.open()
    connection.root()["a"] = 1
    transaction.commit()
    db.undo(db.undoInfo(0, 1)[0]["id"])
    transaction.commit()
    position = storage._index[ZERO]
    connection.close()
    db.close()
    data = bytearray(path.read_bytes())
    data[position + 42 : position + 50] = p64(5)
    path.write_bytes(data)
    (finding,) = check_file(path).findings
    assert isinstance(finding, WrongPointer)
    assert (finding.position, finding.oid) == (position, ZERO)


def test_transactions_in_the_wrong_order_are_found(path: Path, of_zodb: list[int]) -> None:
    data = path.read_bytes()
    first = of_zodb[0] - 23
    late = b"\x7f" * 8
    path.write_bytes(data[:first] + late + data[first + 8 :])
    rewrite(path, of_zodb[0], tid=late)
    findings = check_file(path, follow_references=False).findings
    assert [type(finding) for finding in findings] == [WrongOrder, WrongOrder]
    assert findings[0].position == of_zodb[1] - 23


def test_blobs_that_are_not_there_are_missed(tmp_path: Path, path: Path) -> None:
    blob_dir = tmp_path / "blobs"
    with perdure.DB(path, blob_dir=str(blob_dir)) as db:
        with db.transaction() as connection:
            connection.root.blob = Blob(b"one")
        with db.transaction() as connection, connection.root.blob.open("w") as file:
            file.write(b"two")
            oid = connection.root.blob._p_oid
        tid = db.lastTransaction()
        found = db.storage.loadBlob(oid, tid)
    assert check_file(path, blob_dir=blob_dir).sound
    os.unlink(found)
    (finding,) = check_file(path, blob_dir=blob_dir).findings
    assert isinstance(finding, MissingBlob)
    assert (finding.oid, finding.tid) == (oid, tid)
    assert found in str(finding)
    assert check_file(path).sound


def test_a_file_can_be_checked_while_it_is_written(path: Path) -> None:
    storage = FileStorage(path, operations=Unsynced())

    def commit() -> None:
        for number in range(1, 600):
            metadata = TransactionMetaData()
            storage.tpc_begin(metadata)
            storage.store(p64(number), ZERO, b"x" * (number % 900 + 1), "", metadata)
            storage.tpc_vote(metadata)
            if number % 3:
                storage.tpc_finish(metadata)
            else:
                storage.tpc_abort(metadata)

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        for _ in range(500):
            found = check_file(path, follow_references=False)
            assert found.sound, found.findings
            if not writer.is_alive():
                break
    finally:
        writer.join(60)
        storage.close()


def test_a_transaction_under_way_is_no_damage(path: Path) -> None:
    storage = FileStorage(path, reserve_bytes=0)  # else it would be written when it finishes
    write(storage, {p64(1): b"one"})
    end = storage.getSize()
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.store(p64(2), ZERO, b"two", "", metadata)
    storage.tpc_vote(metadata)
    found = check_file(path, follow_references=False)
    assert (found.sound, found.size_bytes) == (True, end)
    assert kinds(found) == [UnfinishedEnd]
    storage.tpc_abort(metadata)
    storage.close()


def test_what_is_no_data_file_is_not_checked(path: Path) -> None:
    with pytest.raises(FileMissingError):
        check_file(path)
    path.write_bytes(b"no database")
    with pytest.raises(FileStorageFormatError):
        check_file(path)


def test_an_empty_file_is_sound(path: Path) -> None:
    path.write_bytes(b"")
    assert check_file(path).findings == ()


def test_of_any_storage_what_is_missing_is_found() -> None:
    storage = MappingStorage()
    db = perdure.DB(storage)
    with db.transaction() as connection:
        connection.root.node = Node()
        connection.add(connection.root.node)
        oid = connection.root.node._p_oid
    assert check(storage).sound
    write(storage, {p64(9): b"no pickle"})
    other = MappingStorage()
    write(other, {ZERO: storage.load(ZERO)[0]})
    assert kinds(check(storage)) == [UnreadableRecord]
    (finding,) = check(other).findings
    assert isinstance(finding, MissingObject)
    assert (finding.oid, finding.missing, finding.position) == (ZERO, oid, None)
    db.close()


def test_progress_is_told_in_bytes(path: Path) -> None:
    ends = fill(path)
    told: list[tuple[int, int | None]] = []
    check_file(path, progress=lambda done, total: told.append((done, total)))
    assert told == [(ends[-1], 2 * ends[-1]), (2 * ends[-1], 2 * ends[-1])]


def test_a_blob_without_a_record_is_found_and_is_no_damage(tmp_path: Path, path: Path) -> None:
    blob_dir = tmp_path / "blobs"
    with perdure.DB(path, blob_dir=str(blob_dir)) as db:
        with db.transaction() as connection:
            connection.root.blob = Blob(b"one")
        tid = db.lastTransaction()
        first = Path(db.storage.loadBlob(connection_oid(db), tid))
    orphan = first.with_name(first.name.replace(first.name[2:18], "03ab000000000000"))
    orphan.write_bytes(b"of nobody")
    later = first.with_name(first.name.replace(first.name[2:18], "7fffffffffffffff"))
    later.write_bytes(b"of a transaction under way")
    found = check_file(path, blob_dir=blob_dir)
    assert found.sound
    (finding,) = found.findings
    assert isinstance(finding, OrphanBlob)
    assert finding.tid == bytes.fromhex("03ab000000000000")
    assert str(orphan) in str(finding)


def connection_oid(db: Any) -> bytes:
    """Return the oid of `root.blob`."""
    with db.transaction() as connection:
        oid: bytes = connection.root.blob._p_oid
    return oid


def test_the_saved_index_is_compared_with_the_file(path: Path) -> None:
    fill(path)
    index = path.with_name("app.fs.index")
    assert check_file(path).index == "up to date"
    saved = unpack_index(index.read_bytes())
    wrong = PositionIndex()
    wrong.update({**dict(saved.positions.items()), ZERO: 4})
    index.write_bytes(pack_index(wrong, saved.position, saved.last_tid or ZERO))
    (finding,) = check_file(path).findings
    assert isinstance(finding, WrongIndex)
    assert (finding.oid, finding.found) == (ZERO, f"{index} with a record at 4")
    wrong.remove(ZERO)
    index.write_bytes(pack_index(wrong, saved.position, saved.last_tid or ZERO))
    (finding,) = check_file(path).findings
    assert finding.found == f"{index} with no record"


def test_an_index_that_opening_would_not_use_is_told_and_no_damage(path: Path) -> None:
    ends = fill(path)
    index = path.with_name("app.fs.index")
    whole = index.read_bytes()
    saved = unpack_index(whole)
    early = PositionIndex()
    early.update({oid: at for oid, at in saved.positions.items() if at < ends[0]})
    for data, told in [
        (whole[:-1] + bytes([whole[-1] ^ 1]), "not usable (its checksum is wrong): opening reads"),
        (b"", "not usable (it cannot be read"),
        (
            pack_index(saved.positions, ends[-1] + 1, ZERO),
            f"not used: it covers {ends[-1] + 1:,} bytes",
        ),
        (pack_index(early, ends[0], ZERO), f"{ends[-1] - ends[0]:,} bytes behind, which opening"),
    ]:
        index.write_bytes(data)
        found = check_file(path)
        assert found.findings == ()
        assert found.index.startswith(told)
    index.unlink()
    assert check_file(path).index.startswith("missing")


def test_an_index_of_what_was_written_during_the_check_is_told(path: Path) -> None:
    ends = fill(path)
    file = DataFile(path, os.open(path, os.O_RDONLY))
    assert check_index(file, ends[0], PositionIndex()) == (
        f"of {ends[-1]:,} bytes, more than were looked at",
        None,
    )


def without_order(found: Checked) -> Any:
    return replace(found, findings=tuple(sorted(found.findings, key=repr)))


@pytest.mark.native
@pytest.mark.skipif(not native.filescan, reason="native code is not in use")
@pytest.mark.parametrize("seed", range(6))
def test_native_code_finds_the_same_in_sound_and_damaged_files(
    seed: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(path, seed, count=15)
    sound, random = path.read_bytes(), Random(seed)
    for number in range(30):
        follow_references = bool(number % 2)
        natively = check_file(path, follow_references=follow_references)
        with monkeypatch.context() as patch:
            patch.setattr(native, "filescan", None)
            purely = check_file(path, follow_references=follow_references)
        assert without_order(natively) == without_order(purely)
        path.write_bytes(damage(random, sound))
