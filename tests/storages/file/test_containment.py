"""Damage stays where it is: what it did not hit can be read as before."""

from pathlib import Path

import pytest

from perdure.errors import CorruptDataError, FileStorageFormatError
from perdure.ids import p64
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from samples.file_operations import Unsynced

OIDS = [p64(number) for number in range(1, 5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two transactions of two objects each, and one that leaves all of them alone."""
    path = tmp_path / "data.fs"
    storage = FileStorage(path, operations=Unsynced())
    write(storage, {OIDS[0]: cell("a"), OIDS[1]: cell("b")})
    write(storage, {OIDS[2]: cell("c"), OIDS[3]: cell("d")})
    write(storage, {p64(number): cell("last") for number in range(9, 14)})
    storage.close()
    return path


def records(path: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Return where the current record of each object is, where it ends, and its data."""
    storage = FileStorage(path, read_only=True)
    found = {}
    for oid in OIDS:
        position = storage._opened().index.get(oid)
        data = storage.load(oid).data
        found[oid] = position, position + 42 + len(data), data
    storage.close()
    return found


def test_with_its_index_a_flipped_byte_hides_nothing_but_its_record(path: Path) -> None:
    whole = path.read_bytes()
    expected = records(path)
    end = max(stop for _, stop, _ in expected.values())  # five records behind it fit the index
    named = 0
    for at in range(4, end):
        data = bytearray(whole)
        data[at] ^= 0x41
        path.write_bytes(data)
        storage = FileStorage(path, read_only=True)
        for oid, (start, stop, record) in expected.items():
            if not start <= at < stop:
                assert storage.load(oid).data == record
            elif at < start + 8:  # the oid
                with pytest.raises(CorruptDataError) as caught:
                    storage.load(oid)
                error = caught.value
                assert (error.path, error.position, error.oid) == (str(path), start, oid)
                named += 1
        storage.close()
    assert named == 4 * 8


def test_without_an_index_a_flipped_byte_is_refused_or_hides_nothing_but_its_record(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = path.read_bytes()
    expected = records(path)
    path.with_name("data.fs.index").unlink()
    refused = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0x41
        path.write_bytes(data)
        caplog.clear()
        try:
            storage = FileStorage(path, read_only=True)
        except (CorruptDataError, FileStorageFormatError):
            refused += 1
            continue
        for oid, (start, stop, record) in expected.items():
            hit = start <= at < stop
            assert hit or storage.load(oid).data == record
        storage.close()
    assert 0 < refused < len(whole)
