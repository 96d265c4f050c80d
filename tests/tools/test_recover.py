"""Recovering saves what can be read, says what it could not, and leaves the damaged file alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import ZODB.FileStorage
import ZODB.fsrecover

from perdure.errors import (
    FileLockedError,
    FileMissingError,
    FileStorageError,
    FileStorageFormatError,
)
from perdure.ids import p64
from perdure.storages import FileStorage
from perdure.testing.contract.records import cell
from perdure.tools import check_file, recover
from samples.file_operations import Unsynced
from samples.transactions import write

OBJECTS = 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "damaged.fs"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new.fs"


def fill(path: Path, theirs: bool = False) -> list[int]:
    """Write five transactions of `OBJECTS` records each; return where they end."""
    if theirs:
        storage = ZODB.FileStorage.FileStorage(str(path))
    else:
        storage = FileStorage(path, operations=Unsynced())
    ends = [4]
    for number in range(5):
        write(
            storage,
            {p64(1 + oid): cell(f"{number} {oid} " + "text " * 10) for oid in range(OBJECTS)},
            user="me",
            description=f"number {number}",
            extension={"number": number},
        )
        ends.append(storage.getSize())
    storage.close()
    path.with_name(path.name + ".index").unlink()
    return ends


def contents(path: Path) -> dict[tuple[bytes, bytes], bytes | None]:
    storage = FileStorage(path, read_only=True)
    found = {(r.tid, r.oid): r.data for t in storage.iterator() for r in t}
    storage.close()
    return found


def flip(path: Path, position: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


def test_a_sound_file_is_copied_as_it_is(path: Path, new: Path) -> None:
    fill(path)
    before = path.read_bytes()
    done = recover(path, new)
    assert (done.transactions, done.records, done.lost, done.doubtful) == (5, 15, (), ())
    assert contents(new) == contents(path)
    storage = FileStorage(new, read_only=True)
    assert [(t.user, t.description, t.extension) for t in storage.iterator()] == [
        (b"me", f"number {n}".encode(), {"number": n}) for n in range(5)
    ]
    storage.close()
    assert path.read_bytes() == before
    assert check_file(new, follow_references=False).findings == ()
    assert sorted(p.name for p in new.parent.glob("new.fs*")) == ["new.fs"]


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("offset", [0, 7, 15, 16, 18, 22])
def test_a_damaged_header_costs_no_record(path: Path, new: Path, offset: int, theirs: bool) -> None:
    ends = fill(path, theirs)
    expected = contents(path)
    flip(path, ends[2] + offset, 0x40)
    done = recover(path, new)
    assert contents(new) == expected
    assert [d.oid for d in done.doubtful] == [p64(1), p64(2), p64(3)]


@pytest.mark.parametrize("theirs", [False, True])
def test_a_damaged_record_costs_only_itself(path: Path, new: Path, theirs: bool) -> None:
    ends = fill(path, theirs)
    expected = contents(path)
    storage = FileStorage(path, read_only=True)
    position = storage._opened().find(
        p64(2), storage._opened().index.get(p64(2)), sorted({tid for tid, _ in expected})[2]
    )
    storage.close()
    assert ends[2] < position < ends[3]
    flip(path, position + 34, 0x40)  # its size
    done = recover(path, new)
    lost = {key for key in expected if key not in contents(new)}
    assert {oid for _, oid in lost} == {p64(2)}
    assert len(lost) == 1
    assert [doubt.position for doubt in done.lost] == [ends[2]]
    assert all(contents(new)[key] == expected[key] for key in contents(new))


def test_zeros_over_several_transactions_cost_only_what_they_cover(path: Path, new: Path) -> None:
    ends = fill(path)
    expected = contents(path)
    data = bytearray(path.read_bytes())
    data[ends[1] + 5 : ends[3] + 5] = bytes(ends[3] - ends[1])
    path.write_bytes(data)
    done = recover(path, new)
    found = contents(new)
    assert found.items() <= expected.items()
    assert len(found) == 3 * OBJECTS  # the one whose header was hit is saved, too
    assert len(done.lost) == 1
    assert done.lost[0].position == ends[1]


def test_a_flipped_bit_in_the_magic_costs_nothing(path: Path, new: Path) -> None:
    fill(path)
    expected = contents(path)
    flip(path, 1)
    assert recover(path, new).lost == ()
    assert contents(new) == expected


def test_a_torn_end_is_listed_and_the_rest_is_there(path: Path, new: Path) -> None:
    ends = fill(path)
    path.write_bytes(path.read_bytes()[: ends[5] - 4])
    done = recover(path, new)
    assert len(contents(new)) == 15  # its records are whole
    assert len(done.doubtful) == 3
    assert [doubt.position for doubt in done.lost] == [ends[4]]


@pytest.mark.parametrize("offset", [0, 15, 60, 150, 250])
def test_at_least_as_much_is_saved_as_by_zodbs_tool(
    path: Path, new: Path, tmp_path: Path, offset: int
) -> None:
    ends = fill(path, theirs=True)
    expected = contents(path)
    data = bytearray(path.read_bytes())
    data[ends[1] + offset : ends[1] + offset + 12] = b"\xa5" * 12
    path.write_bytes(data)
    theirs = tmp_path / "theirs.fs"
    script = "import sys, ZODB.fsrecover as f; f.recover(sys.argv[1], sys.argv[2], 0, 0, 0, None)"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, path, theirs],
        capture_output=True,
        timeout=60,
        check=False,
    )
    saved = contents(theirs) if theirs.exists() else {}
    right = {key for key, data in saved.items() if expected.get(key) == data}
    recover(path, new)
    ours = {key for key, data in contents(new).items() if expected.get(key) == data}
    assert right <= ours
    assert len(ours) >= 4 * OBJECTS


def test_a_file_that_is_there_is_replaced_only_when_asked(path: Path, new: Path) -> None:
    fill(path)
    new.write_bytes(b"precious")
    with pytest.raises(FileStorageError, match="found a file, expected none"):
        recover(path, new)
    assert new.read_bytes() == b"precious"
    recover(path, new, overwrite=True)
    assert contents(new) == contents(path)
    with pytest.raises(FileStorageError):
        recover(path, path, overwrite=True)


def test_a_file_in_use_is_never_replaced(path: Path, new: Path) -> None:
    fill(path)
    storage = FileStorage(new)
    with pytest.raises(FileLockedError):
        recover(path, new, overwrite=True)
    write(storage, {p64(1): cell("goes on")})
    storage.close()
    recover(path, new, overwrite=True)
    assert contents(new) == contents(path)


def test_what_is_no_data_file_is_refused(path: Path, new: Path) -> None:
    with pytest.raises(FileMissingError):
        recover(path, new)
    path.write_bytes(b"this was never a database")
    with pytest.raises(FileStorageFormatError):
        recover(path, new)
    assert [p.name for p in new.parent.iterdir()] == ["damaged.fs"]


def test_progress_is_told_and_an_error_in_it_leaves_nothing_behind(path: Path, new: Path) -> None:
    ends = fill(path)
    told: list[tuple[int, int | None]] = []
    recover(path, new, progress=lambda done, total: told.append((done, total)))
    assert told == [(end, ends[5]) for end in ends[1:]]

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    new.unlink()
    with pytest.raises(KeyboardInterrupt):
        recover(path, new, progress=stop)
    assert sorted(p.name for p in new.parent.iterdir()) == ["damaged.fs", "damaged.fs.lock"]
