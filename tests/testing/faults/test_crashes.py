"""Which of the possible disks are chosen, and that they are found again."""

from itertools import product
from pathlib import Path

from perdure.fileops import FileOperations
from perdure.testing.faults import SECTOR_SIZE, CrashState, Recording, crash_states, states_at

WRITE = 0x42  # O_RDWR | O_CREAT


def recorded(tmp_path: Path, sectors: int) -> Recording:
    """Return a recording of a file that is written, so many sectors, and not synced."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "f").write_bytes(b"a" * SECTOR_SIZE * sectors)
    recording = Recording(tmp_path / "work")
    descriptor = recording.open(tmp_path / "work" / "f", WRITE)
    recording.mark("begun")
    recording.write(descriptor, [b"b" * SECTOR_SIZE * sectors], 0)
    recording.mark("written")
    recording.sync(descriptor)
    recording.close(descriptor)
    return recording


def pattern(state: CrashState) -> str:
    """Return a letter for each sector of the file."""
    return state.contents.files["f"][::SECTOR_SIZE].decode()


def test_where_the_disks_are_few_all_of_them_are_tried(tmp_path: Path) -> None:
    recording = recorded(tmp_path, sectors=3)
    states = list(crash_states(recording, seed=1, limit=8))
    written = {pattern(state) for state in states if state.marks == ("begun", "written")}
    assert written == set(map("".join, product("ab", repeat=3)))


def test_where_they_are_many_the_extremes_are_among_them(tmp_path: Path) -> None:
    recording = recorded(tmp_path, sectors=40)
    at_the_write = list(states_at(recording, seed=1, point=2, limit=50))
    patterns = [pattern(state) for state in at_the_write]
    assert len(patterns) == 50
    assert patterns[:2] == ["b" * 40, "a" * 40]
    assert any(found.count("b") == 39 for found in patterns)
    assert any(found.count("b") == 1 for found in patterns)
    assert any(5 < found.count("b") < 35 for found in patterns)


def test_another_seed_chooses_others_the_same_seed_the_same(tmp_path: Path) -> None:
    recording = recorded(tmp_path, sectors=40)
    first, again, other = (
        list(map(pattern, states_at(recording, seed, point=2, limit=50))) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_state_is_found_again_by_what_it_prints(tmp_path: Path) -> None:
    recording = recorded(tmp_path, sectors=20)
    for state in crash_states(recording, seed=5, limit=20):
        again = list(states_at(recording, state.seed, state.point, limit=20))[state.number]
        assert again == state
        assert str(state).startswith(f"seed 5, crash {state.point}, state {state.number}, after: ")


def test_equal_disks_are_yielded_once_unless_the_marks_differ(tmp_path: Path) -> None:
    states = list(crash_states(recorded(tmp_path, sectors=1), seed=1, limit=10))
    assert {(pattern(state), state.marks) for state in states} == {
        ("a", ()),
        ("a", ("begun",)),
        ("b", ("begun",)),
        ("a", ("begun", "written")),
        ("b", ("begun", "written")),
    }
    assert len(states) == 5


def test_crashes_before_a_point_can_be_left_out(tmp_path: Path) -> None:
    recording = recorded(tmp_path, sectors=1)
    assert {state.point for state in crash_states(recording, 1, 10, first=3)} == {3}


def test_what_a_crash_left_can_be_written_out(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    recording = Recording(tmp_path / "work")
    recording.make_directory(recording.root / "d")
    recording.close(recording.open(recording.root / "d" / "f", WRITE))
    last = list(crash_states(recording, seed=1, limit=10))[-1]
    for number, state in enumerate(crash_states(recording, seed=1, limit=10)):
        state.write_to(_made(tmp_path / str(number)))
        found = {path.name for path in (tmp_path / str(number)).rglob("*")}
        assert found in (set(), {"d"}, {"d", "f"})
    assert last.point == 2


def _made(path: Path) -> Path:
    FileOperations().make_directory(path)
    return path
