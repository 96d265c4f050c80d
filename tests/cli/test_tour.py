"""The tour as a person takes it: the real command on the real standard library."""

import signal
from pathlib import Path

import perdure
from processes import TIMEOUT_S, run_perdure, start_perdure


def test_the_tour_runs_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "my tour.fs"
    result = run_perdure("tour", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "dumps is json.dumps" in result.stdout
    assert result.stdout.endswith(f"\nExplore further:  perdure shell '{path}'\n")
    shell = run_perdure("shell", path, stdin="print(root['library'].modules['json'].name)\n")
    assert shell.stdout == "json\n"


def test_an_interrupted_tour_leaves_a_sound_file_that_the_next_one_completes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tour.fs"
    with start_perdure("tour", path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        progress = (line for line in process.stdout if line.startswith("  reading "))
        assert next(progress) != next(progress)  # it has gone on since the first of them
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert process.wait(TIMEOUT_S) == 130
    assert "Traceback" not in errors
    assert f"What was committed is safe in {path}" in errors
    with perdure.DB(path) as db, db.transaction() as connection:
        library = connection.root.library
        modules = list(library.modules.values())
        assert modules
        assert not library.complete
        names = {definition.name for module in modules for definition in module.definitions()}
        assert names == {name for _, name in library.definitions}
    result = run_perdure("tour", path)
    assert result.returncode == 0
    assert f"carrying on where an earlier tour stopped: {len(modules)} modules" in result.stdout


def test_a_stranger_s_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("dear diary")
    result = run_perdure("tour", path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "not a database that the tour made; nothing was changed" in result.stderr
    assert path.read_text() == "dear diary"


def test_a_directory_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    result = run_perdure("tour", tmp_path / "missing" / "tour.fs")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
