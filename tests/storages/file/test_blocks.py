"""What is kept of a data file in memory shows what is in the file, as far as that is visible."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from perdure import native
from perdure.errors import CorruptDataError
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import PlainRevision
from perdure.records import references
from perdure.storages.file import FileStorage
from perdure.storages.file.blocks import SHIFT, Blocks
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import MAGIC, RECORD_HEADER
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.reader import View
from perdure.testing.contract.transactions import write

A, B = p64(1), p64(2)
TID = p64(17)
FAR = 4e9  # seconds since 1970
SMALLEST = 2 << SHIFT  # two blocks, in Python; a few more in C


class Reading:
    """A view of a file that consists of records only, loaded in Python or in C."""

    def __init__(self, path: Path, in_c: bool, kept_bytes: int = 1 << 20) -> None:
        self.path = path
        self.path.write_bytes(MAGIC)
        self.in_c = in_c
        file = DataFile(path, os.open(path, os.O_RDONLY))
        self.view = View(file, PositionIndex(), len(MAGIC), ZERO)
        self.keep(kept_bytes)

    def keep(self, kept_bytes: int) -> None:
        self.view.keep(kept_bytes)
        if not self.in_c:
            self.view.pure_keep(kept_bytes)

    def put(self, oid: bytes, data: bytes, end: int | None = None) -> int:
        """Write a record behind the visible end and make it visible; return where it ends."""
        at = self.view.end if end is None else end
        record = RECORD_HEADER.pack(oid, TID, 0, 0, 0, len(data)) + data
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(record)
        self.view.publish(TID, {oid: at}, at + len(record))
        return at + len(record)

    def load(self, oid: bytes) -> bytes:
        load = self.view.native_load_before if self.in_c else self.view.pure_load_before
        found: PlainRevision | None = load(oid, MAX_TID)
        assert found is not None
        return found[0]

    @property
    def reads(self) -> int:
        return self.view.records.block_reads if self.in_c else self.view._blocks.reads


@pytest.fixture(params=["pure", pytest.param("native", marks=pytest.mark.native)])
def reading(request: pytest.FixtureRequest, tmp_path: Path) -> Reading:
    if request.param == "native" and not native.view:
        pytest.skip("it is not built")
    return Reading(tmp_path / "records", request.param == "native")


def test_what_was_read_is_not_read_again(reading: Reading) -> None:
    for number in range(20):
        reading.put(p64(number), bytes([number]) * 100)
    for _ in range(3):
        for number in range(20):
            assert reading.load(p64(number)) == bytes([number]) * 100
    assert reading.reads == 1


def test_the_last_block_grows_with_the_file(reading: Reading) -> None:
    for number in range(200):
        data = os.urandom(150)
        reading.put(p64(number), data)
        assert reading.load(p64(number)) == data
        assert reading.load(p64(number // 2)) is not None
    assert reading.reads <= 210


def test_what_is_behind_the_visible_end_is_not_kept(reading: Reading) -> None:
    end = reading.put(A, b"one" * 20)
    with reading.path.open("ab") as file:
        file.write(b"\xff" * 100_000)  # a commit under way, or room for it
    assert reading.load(A) == b"one" * 20
    reading.put(B, b"two" * 20, end)
    assert reading.load(B) == b"two" * 20


@pytest.mark.parametrize("size", [1, 4096, 8192, 40_000, 3_000_000])
def test_records_reach_over_blocks(reading: Reading, size: int) -> None:
    expected = {}
    for number in range(6):
        expected[p64(number)] = os.urandom(size)
        reading.put(p64(number), expected[p64(number)])
    for _ in range(2):
        for oid, data in expected.items():
            assert reading.load(oid) == data


def test_headers_reach_over_blocks(reading: Reading) -> None:
    expected = {}
    for number, missing in enumerate(range(1, 50)):
        here = reading.view.end
        reading.put(p64(1000 + number), bytes(-(here + missing + 42) % (1 << SHIFT) + 1))
        expected[p64(number)] = os.urandom(90)
        reading.put(p64(number), expected[p64(number)])
    assert {oid: reading.load(oid) for oid in expected} == expected


def test_a_small_memory_is_enough(reading: Reading) -> None:
    random = Random(1)
    expected = {}
    for number in range(1000):
        expected[p64(number)] = random.randbytes(random.randrange(1, 900))
        reading.put(p64(number), expected[p64(number)])
    reading.keep(SMALLEST)
    for _ in range(3000):
        oid = p64(random.randrange(1000))
        assert reading.load(oid) == expected[oid]
    assert 100 < reading.reads < 1000


def test_nothing_is_kept_where_that_is_asked_for(reading: Reading) -> None:
    reading.put(A, b"one")
    reading.keep(0)
    assert reading.load(A) == b"one"
    with reading.path.open("r+b") as file:
        file.seek(len(MAGIC) + RECORD_HEADER.size)
        file.write(b"two")
    assert reading.load(A) == b"two"
    assert reading.reads == 0


def test_a_file_that_became_shorter_is_noticed_where_it_is_read(reading: Reading) -> None:
    for number in range(100):
        reading.put(p64(number), bytes(500))
    assert reading.load(p64(1)) == bytes(500)
    os.truncate(reading.path, 30_000)
    assert reading.load(p64(2)) == bytes(500)
    for _ in range(2):
        with pytest.raises(CorruptDataError, match="found 0 bytes, expected a 42-byte"):
            reading.load(p64(99))
    cut = p64((30_000 - len(MAGIC)) // 542)
    with pytest.raises(CorruptDataError, match="bytes before the end of the file, expected 500"):
        reading.load(cut)


def test_damage_in_a_block_is_named_again_each_time(reading: Reading) -> None:
    reading.put(A, b"one")
    at = reading.view.end
    reading.put(B, b"two")
    with reading.path.open("r+b") as file:
        file.seek(at)
        file.write(A)
    for _ in range(2):
        with pytest.raises(CorruptDataError) as caught:
            reading.load(B)
        assert (caught.value.position, caught.value.oid) == (at, B)
        assert reading.load(A) == b"one"


def test_threads_fill_the_same_blocks(reading: Reading) -> None:
    expected = {}
    for number in range(400):
        expected[p64(number)] = number.to_bytes(2, "big") * 150
        reading.put(p64(number), expected[p64(number)])
    reading.keep(SMALLEST)
    started = threading.Barrier(5)
    wrong: list[object] = []

    def load(seed: int) -> None:
        random = Random(seed)
        started.wait(30)
        for _ in range(2000):
            oid = p64(random.randrange(400))
            try:
                if reading.load(oid) != expected[oid]:
                    wrong.append(oid)
            except BaseException as error:  # for the thread that asks
                wrong.append(error)
                raise

    def grow() -> None:
        started.wait(30)
        for number in range(400, 600):
            reading.put(p64(number), b"later" * 30)
            if reading.load(p64(number)) != b"later" * 30:
                wrong.append(number)

    threads = [threading.Thread(target=load, args=[seed]) for seed in range(4)]
    threads.append(threading.Thread(target=grow))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert not any(thread.is_alive() for thread in threads)


def test_a_block_out_of_eight_replaces_another_where_there_is_no_room(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(100 << SHIFT))
    blocks = Blocks(DataFile(path, os.open(path, os.O_RDONLY)), 4 << SHIFT)
    for number in range(4):
        assert blocks.read(number, 100 << SHIFT) == bytes(1 << SHIFT)
    found = [blocks.read(number, 100 << SHIFT) for number in range(4, 20)]
    assert [bool(block) for block in found] == ([False] * 7 + [True]) * 2
    assert list(blocks.kept) == [2, 3, 11, 19]
    assert blocks.reads == 6


def test_what_is_wanted_often_gets_its_place(reading: Reading) -> None:
    for number in range(1000):
        reading.put(p64(number), bytes([number % 256]) * 900)
    reading.keep(SMALLEST)
    for number in range(500):
        reading.load(p64(number))
    before = reading.reads
    for _ in range(100):
        assert reading.load(p64(998)) == bytes([998 % 256]) * 900
    assert reading.reads - before <= 2


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "data.fs")
    yield storage
    storage.close()


def test_a_packed_file_has_blocks_of_its_own(storage: FileStorage) -> None:
    expected = {p64(number): os.urandom(200) for number in range(100)}
    for _ in range(3):
        write(storage, {oid: bytes(200) for oid in expected})
    last = write(storage, expected)
    assert all(storage.load(oid).data == data for oid, data in expected.items())
    before = storage._opened()
    storage.pack(FAR, references, gc=False)
    assert storage._opened() is not before
    assert storage._opened().end < before.end
    for oid, data in expected.items():
        assert storage.loadBefore(oid, MAX_TID) == (data, last.tid, None)
        assert before.load_before(oid, after(last.tid)) == (data, last.tid, None)


def test_what_is_verified_is_not_kept(tmp_path: Path, storage: FileStorage) -> None:
    write(storage, {A: b"one"})
    storage.close()
    with_checks = FileStorage(tmp_path / "data.fs", verify_reads=True)
    try:
        assert with_checks.load(A).data == b"one"
        view = with_checks._opened()
        assert view._blocks.reads == 0
        assert not native.view or view.records.block_reads == 0
    finally:
        with_checks.close()
