import io
from pathlib import Path

import pytest
from rich.console import Console

import perdure
from perdure.tour import NotATourError, take_tour
from perdure.tour.screen import Screen


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "lib"
    (directory / "json").mkdir(parents=True)
    (directory / "json" / "__init__.py").write_text("import re\ndef dumps(): pass\n")
    (directory / "os.py").write_text("import sys\ndef walk(): pass\nclass Small: pass\n")
    (directory / "re.py").write_text("import sys\nclass Large:\n    x = 1\n    def m(self): pass\n")
    (directory / "bad.py").write_text("def (:\n")
    return directory


def tour(path: Path, source: Path, *, fresh: bool = False) -> str:
    out = io.StringIO()
    take_tour(path, Screen(Console(file=out, width=120)), fresh=fresh, source=source)
    return out.getvalue()


def test_a_tour_finds_what_is_there(tmp_path: Path, source: Path) -> None:
    text = tour(tmp_path / "tour.fs", source)
    for found in (
        "starting with an empty database",
        "3 source files read, 1 could not be",
        "bad.py: SyntaxError",
        "    3 lines  re.Large, 1 methods",
        "    2 modules import sys",
        "dumps is json.dumps, line 2",
        "what begins with walk: walk",
        "you still see 'untouched'",
        "database conflict error",
        "the note is 'yours, and mine'",
        "0 + 1 + 10 = 11",
        "now: is json there? False",
        "then: json has 1 functions, json.dumps first",
        "undo 'lose json'",
        "is json there? True",
        "modules in the layer: 0",
        "modules in the file:  3",
        " bytes before, ",
        "of perdure.tour.model.Module",
        "it is sound",
    ):
        assert found in text


def test_a_second_tour_uses_the_file_again(tmp_path: Path, source: Path) -> None:
    tour(tmp_path / "tour.fs", source)
    text = tour(tmp_path / "tour.fs", source)
    assert "using again what an earlier tour read: 3 modules" in text
    assert "11 + 1 + 10 = 22" in text


def test_a_fresh_tour_reads_everything_again(tmp_path: Path, source: Path) -> None:
    tour(tmp_path / "tour.fs", source)
    text = tour(tmp_path / "tour.fs", source, fresh=True)
    assert "replacing what an earlier tour read" in text
    assert "3 source files read" in text


def test_what_an_interrupted_tour_left_is_completed(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "tour.fs"
    tour(path, source)
    with perdure.DB(path) as db, db.transaction() as connection:
        connection.root.library.complete = False
        del connection.root.library.modules["json"]
    text = tour(path, source)
    assert "carrying on where an earlier tour stopped: 2 modules are there" in text
    assert "1 source files read, 1 could not be" in text


def test_a_stranger_s_file_is_refused_before_anything_is_done(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("dear diary")
    with pytest.raises(NotATourError):
        tour(path, source)
    assert path.read_text() == "dear diary"
