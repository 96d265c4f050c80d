"""What a disk may hold after a crash, by examples small enough to write out."""

from itertools import product
from math import prod

from perdure.testing.faults.disk import SECTOR_SIZE, Disk
from perdure.testing.faults.operations import (
    Created,
    Linked,
    MadeDirectory,
    Operation,
    RemovedDirectory,
    Renamed,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Truncated,
    Unlinked,
    Wrote,
)

A, B, C = (letter * SECTOR_SIZE for letter in (b"a", b"b", b"c"))
NOTHING = bytes(SECTOR_SIZE)


def disk(**files: bytes) -> Disk:
    """Return a disk that durably has these files, with the numbers 1, 2, ..."""
    numbers = dict(enumerate(files.values(), 1))
    return Disk(numbers, {name: number for number, name in enumerate(files, 1)}, [])


def after(disk: Disk, *operations: Operation) -> set[tuple[tuple[str, bytes], ...]]:
    """Return the files of each disk that there may be after the operations."""
    for operation in operations:
        disk.apply(operation)
    return {
        tuple(disk.contents(answers).files.items())
        for answers in product(*map(range, disk.dimensions()))
    }


def contents(disk: Disk, *operations: Operation) -> set[bytes]:
    """Return what the file `f` may be after the operations."""
    return {dict(files)["f"] for files in after(disk, *operations)}


def names(disk: Disk, *operations: Operation) -> set[tuple[str, ...]]:
    return {tuple(name for name, _ in files) for files in after(disk, *operations)}


def test_what_nobody_changed_is_there() -> None:
    assert after(disk(f=b"old", g=b"")) == {(("f", b"old"), ("g", b""))}


def test_an_unsynced_write_is_there_or_not() -> None:
    assert contents(disk(f=A), Wrote(1, 0, b"new")) == {A, b"new" + A[3:]}


def test_a_write_is_torn_between_sectors_not_within_one() -> None:
    assert contents(disk(f=A + A), Wrote(1, 0, B + B)) == {A + A, A + B, B + A, B + B}


def test_a_file_that_grows_has_any_size_between_and_zeros_where_nothing_arrived() -> None:
    found = contents(disk(f=b""), Wrote(1, 0, A + B[:100]))
    assert found == {
        b"",
        *(first for first in (A, NOTHING)),
        *(first + second for first in (A, NOTHING) for second in (B[:100], bytes(100))),
    }


def test_of_a_large_write_few_sizes_are_looked_at() -> None:
    grown = disk(f=b"")
    grown.apply(Wrote(1, 0, b"x" * 100 * SECTOR_SIZE))
    sizes = {len(grown.contents([1] * 100 + [n]).files["f"]) for n in range(6)}
    assert sizes == {0, *(SECTOR_SIZE * n for n in (1, 2, 98, 99, 100))}
    assert prod(grown.dimensions()) == 2**100 * 6


def test_what_is_overwritten_with_the_same_makes_no_difference() -> None:
    overwritten = disk(f=A + B)
    overwritten.apply(Wrote(1, 0, A + C))
    assert overwritten.dimensions() == [2, 1]
    overwritten.apply(Wrote(1, SECTOR_SIZE, B))
    assert overwritten.dimensions() == [3, 1]


def test_what_is_overwritten_with_the_same_after_a_failed_sync_reaches_the_disk() -> None:
    again = Wrote(1, 0, B), SyncFailed(1), Wrote(1, 0, B), Synced(1)
    assert contents(disk(f=A), *again) == {B}


def test_each_of_several_writes_may_be_the_last_that_arrived() -> None:
    assert contents(disk(f=A), Wrote(1, 0, B), Wrote(1, 0, C)) == {A, B, C}


def test_writes_are_reordered_between_syncs() -> None:
    late = A + C
    assert late in contents(disk(f=A + A), Wrote(1, 0, B), Wrote(1, SECTOR_SIZE, C))


def test_a_sync_makes_certain_what_was_written_before_it() -> None:
    found = contents(disk(f=A), Wrote(1, 0, B), Synced(1), Wrote(1, 0, C))
    assert found == {B, C}


def test_a_sync_says_nothing_of_other_files() -> None:
    found = after(disk(f=A, g=A), Wrote(1, 0, B), Wrote(2, 0, B), Synced(1))
    assert found == {(("f", B), ("g", A)), (("f", B), ("g", B))}


def test_what_a_failed_sync_lost_later_ones_do_not_bring_back() -> None:
    found = contents(disk(f=A), Wrote(1, 0, B), SyncFailed(1), Synced(1))
    assert found == {A, B}


def test_what_is_written_again_after_a_failed_sync_can_be_synced() -> None:
    found = contents(disk(f=A), Wrote(1, 0, B), SyncFailed(1), Wrote(1, 0, B), Synced(1))
    assert found == {B}


def test_what_a_failed_sync_lost_stays_doubtful_next_to_what_was_written_again() -> None:
    found = contents(
        disk(f=A + A),
        Wrote(1, 0, B + B),
        SyncFailed(1),
        Wrote(1, 0, C),
        Synced(1),
    )
    assert found == {C + A, C + B}


def test_a_file_that_is_cut_may_have_its_old_size_and_its_old_end() -> None:
    found = contents(disk(f=A + B), Truncated(1, 100))
    assert found == {A[:100], A + B, A + NOTHING, A[:100] + bytes(412) + B, _cut(A)}


def _cut(sector: bytes) -> bytes:
    return sector[:100] + bytes(SECTOR_SIZE - 100) + NOTHING


def test_a_cut_that_was_synced_is_certain() -> None:
    assert contents(disk(f=A + B), Truncated(1, 100), Synced(1)) == {A[:100]}


def test_what_is_written_where_something_was_cut_off_may_stand_beside_it() -> None:
    found = contents(disk(f=A + B), Truncated(1, SECTOR_SIZE), Wrote(1, SECTOR_SIZE, C))
    assert found == {A, A + B, A + NOTHING, A + C}


# Names


def test_a_new_file_is_there_once_its_directory_was_synced() -> None:
    new = Created("n", 7), Wrote(7, 0, b"x")
    assert after(disk(), *new, Synced(7)) == {(), (("n", b"x"),)}
    assert names(disk(), *new, SyncedDirectory("")) == {("n",)}
    assert after(disk(), *new, Synced(7), SyncedDirectory("")) == {(("n", b"x"),)}


def test_a_file_that_was_renamed_has_one_name_or_the_other() -> None:
    found = after(disk(f=b"old", g=b"new"), Renamed(2, "g", "f"))
    assert found == {(("f", b"old"), ("g", b"new")), (("f", b"new"),)}


def test_a_rename_may_be_certain_before_what_is_in_the_file() -> None:
    found = after(
        disk(f=b"old"), Created("g", 7), Wrote(7, 0, b"new"), Renamed(7, "g", "f"),
        SyncedDirectory(""),
    )  # fmt: skip
    assert (("f", b""),) in found
    assert (("f", b"new"),) in found


def test_names_change_in_order() -> None:
    found = names(disk(f=b""), Created("a", 7), Unlinked("f"), Created("b", 8))
    assert found == {("f",), ("a", "f"), ("a",), ("a", "b")}


def test_two_names_of_a_file_show_the_same() -> None:
    found = after(disk(f=b"old"), Linked(1, "g"), SyncedDirectory(""), Wrote(1, 0, b"new"))
    assert found == {(("f", data), ("g", data)) for data in (b"old", b"new")}


def test_a_file_that_no_name_leads_to_asks_no_questions() -> None:
    unnamed = disk()
    unnamed.apply(Created("n", 7))
    unnamed.apply(Wrote(7, 0, b"x"))
    unnamed.apply(Unlinked("n"))
    unnamed.apply(SyncedDirectory(""))
    assert unnamed.dimensions() == []


def test_directories_are_lost_with_what_is_in_them() -> None:
    made = MadeDirectory("d"), Created("d/f", 7)
    assert names(disk(), *made, SyncedDirectory("d")) == {(), ("d/f",)}
    assert names(disk(), *made, SyncedDirectory("")) == {(), ("d/f",)}
    assert names(disk(), *made, SyncedDirectory(""), SyncedDirectory("d")) == {("d/f",)}


def test_a_directory_that_was_removed_is_there_or_not() -> None:
    kept = Disk({}, {}, ["d"])
    kept.apply(RemovedDirectory("d"))
    found = [kept.contents([answer]).directories for answer in range(2)]
    assert found == [("d",), ()]


def test_a_move_between_directories_is_certain_when_one_of_them_was_synced() -> None:
    def moved(*more: Operation) -> set[tuple[str, ...]]:
        between = Disk({1: b""}, {"d/f": 1}, ["d", "e"])
        return names(between, Renamed(1, "d/f", "e/f"), *more)

    assert moved() == {("d/f",), ("e/f",)}
    assert moved(SyncedDirectory("e")) == {("e/f",)}
    assert moved(SyncedDirectory("d")) == {("e/f",)}
