"""The benchmark runs, checks its work, and reports what it measured."""

import contextlib
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
ALL = {"zodb", "perdure", "perdure-pure"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def run(*arguments: str, program: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tiny(place: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run workloads at their tiny size; return what was printed and the results."""
    json_file = place / "results.json"
    done = run("--sizes=tiny", "--rounds=1", f"--place={place}", f"--json={json_file}", *arguments)
    assert done.returncode == 0, done.stderr
    return done, json.loads(json_file.read_text())


def measured(**ratios: float) -> list[Any]:
    """Return results as if measured: workloads of the table, `ratios` by name, native and pure."""
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.measure import Figure, Result
    from benchmarks.targets import TARGETS

    results = []
    for target in TARGETS:
        ratio = ratios.get(target.workload.replace("-", "_"))
        if ratio is not None:
            ours = Figure((1.0 / ratio,))
            figures = {"zodb": Figure((1.0,)), "perdure": ours, "perdure-pure": ours}
            size = target.size_number
            results.append(Result(target.workload, target.metric, "x", size, figures, {}))
    return results


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The results of all workloads, with what was printed, and what was left in the place."""
    place = tmp_path_factory.mktemp("everything")
    done, content = tiny(place)
    return {**content, "printed": done.stdout, "left": {path.name for path in place.iterdir()}}


def test_every_workload_runs_on_all_engines_and_is_reported(everything: Any) -> None:
    described = {line.split()[0] for line in run("--help").stdout.splitlines() if line[:2] == "  "}
    assert {result["workload"] for result in everything["results"]} <= described
    assert len(everything["results"]) >= 24
    for result in everything["results"]:
        missing = ALL - set(result["figures"])
        if result["workload"] == "commit-beside-pack":
            missing -= {"zodb"}  # its pack need not end beside commits
        else:
            assert all(ratio > 0 for ratio in result["ratio"].values())
        assert not missing, result
        assert result["workload"] in everything["printed"]
    assert {"sync of 4 KiB", "date", "native code", "processor"} <= set(everything["machine"])
    assert everything["left"] == {"results.json"}


def test_every_target_is_of_a_workload_and_a_metric_that_exist(everything: Any) -> None:
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.targets import BOUNDS, TARGETS

    measured = {(result["workload"], result["metric"]) for result in everything["results"]}
    assert {(row.workload, row.metric) for row in (*TARGETS, *BOUNDS)} <= measured
    assert all(row.size_number > 0 for row in (*TARGETS, *BOUNDS))


def test_the_engine_without_native_code_has_none(tmp_path: Path) -> None:
    from benchmarks.engines import ENGINES

    code = "from perdure.native import native_problems; print(set(native_problems().values()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENGINES["perdure-pure"].environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{'switched off by PERDURE_NATIVE=0'}"


def test_slowed_syncs_slow_every_engine(tmp_path: Path) -> None:
    _done, content = tiny(tmp_path, "--only=commit-1", "--slow-syncs=20")
    result = content["results"][0]
    assert set(result["median_s"]) == ALL
    assert all(median_s > 0.02 for median_s in result["median_s"].values())


def test_the_time_of_syncs_is_told_apart(tmp_path: Path) -> None:
    _done, content = tiny(tmp_path, "--only=commit-1", "--engines=perdure", "--slow-syncs=20")
    seconds = {result["metric"]: result["median_s"]["perdure"] for result in content["results"]}
    assert seconds["less-syncs"] < seconds[""] - 0.02


def test_one_engine_can_run_alone_and_has_no_ratio(tmp_path: Path) -> None:
    _done, content = tiny(tmp_path, "--only=update", "--engines=perdure-pure", "--gc=off")
    assert [result["metric"] for result in content["results"]] == ["", "commit", "less-syncs"]
    for result in content["results"]:
        assert list(result["figures"]) == ["perdure-pure"]
        assert result["ratio"] == {"perdure": None, "perdure-pure": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=nonsense"], "no workload begins with 'nonsense'; there are add, "),
        (["--engines=zodb,nonsense"], "no engine 'nonsense'; there are zodb, perdure"),
        (["--sizes=small,nonsense"], "no size 'nonsense'; there are small, large, quick, tiny"),
        (["--rounds=0"], "'0' is not a number of at least 1"),
        (["--slow-syncs=-1"], "'-1' is not a number of milliseconds"),
        (["--place=missing"], "missing is not a directory that can be written to"),
        (["--json=missing/results.json"], "missing/results.json cannot be written"),
        (["--rst=tests"], "tests cannot be written"),
        (["--only=zlib", "--svg=chart.svg"], "--svg draws what has a target, see --table"),
        (["--only=zlib", "--table"], "there is nothing to measure"),
        (["--from=missing.json"], "missing.json: No such file or directory"),
        (["--from=README.rst"], "README.rst: not what --json writes"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_end_well_is_refused_at_the_beginning(
    arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "sync of 4 KiB" not in done.stdout  # nothing was measured


def test_without_zodb_the_command_says_how_to_get_it_or_do_without() -> None:
    code = (
        "import importlib.util, runpy, sys; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name: None if name == 'ZODB' else find(name);"
        "sys.argv = ['benchmarks', '--only=zlib'];"
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "ZODB is not installed: pip install '.[benchmarks]', or do without" in done.stderr


def test_an_interrupt_ends_the_run_with_what_was_measured_until_then(tmp_path: Path) -> None:
    place, json_file, rst = tmp_path / "place", tmp_path / "results.json", tmp_path / "table.rst"
    place.mkdir()
    arguments = ["--only=commit-1", f"--place={place}", "--sizes=tiny,large"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments, f"--json={json_file}", f"--rst={rst}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # with its workers, as a terminal interrupts it
    )
    assert process.stderr is not None
    said = ""
    while "[2/2] commit-1 2,000: " not in said:
        letter = process.stderr.read(1)
        assert letter, said
        said += letter
    os.killpg(process.pid, signal.SIGINT)
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said.endswith("\nended early: interrupted\n")
    assert "Traceback" not in said
    results = json.loads(json_file.read_text())["results"]
    assert {(result["workload"], result["size"]) for result in results} == {("commit-1", 4)}
    assert list(place.iterdir()) == []
    assert not rst.exists()  # half a run is not put in the place of a whole one


def test_what_a_workload_raises_ends_the_run_and_names_the_engine(tmp_path: Path) -> None:
    from benchmarks.engines import ENGINES
    from benchmarks.session import RemoteSession, SessionFailedError, Settings

    session = RemoteSession(ENGINES["zodb"], Settings())
    try:
        with pytest.raises(SessionFailedError, match=r"(?s)zodb: .*Traceback.*missing"):
            session.prepare("read-hot", tmp_path / "missing", 10)
        session.end()  # and it goes on
        session.prepare("read-hot", tmp_path, 10)
        assert session.round()[""].operations == 10
    finally:
        session.close()


def test_a_workload_whose_work_was_not_done_raises() -> None:
    from benchmarks.workload import WorkNotDoneError, check

    check("three", 3, 3)
    with pytest.raises(WorkNotDoneError, match="three: found 2, expected 3"):
        check("three", 2, 3)


def test_other_databases_are_timed_without_a_ratio(tmp_path: Path) -> None:
    rst = tmp_path / "table.rst"
    _done, content = tiny(
        tmp_path, "--only=add", "--only=read-cold", "--engines=zodb,sqlite,zeo", f"--rst={rst}"
    )
    whole = [result for result in content["results"] if not result["metric"]]
    assert [result["workload"] for result in whole] == ["add", "read-cold"]
    assert all({"zodb", "sqlite", "zeo"} == set(result["figures"]) for result in whole)
    assert all(set(result["ratio"]) <= ALL for result in whole)
    assert "SQLite, pickles by oid" in rst.read_text()


def test_a_database_that_is_not_installed_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.engines import ENGINES
    from benchmarks.measure import measure
    from benchmarks.session import LocalSession, Settings
    from benchmarks.workload import WORKLOADS

    monkeypatch.setitem(sys.modules, "durus", None)
    monkeypatch.delitem(sys.modules, "benchmarks.orientation.durus", raising=False)
    session = LocalSession(ENGINES["durus"], Settings())
    (result,) = measure(WORKLOADS["add"], {"durus": session}, 5, 1, tmp_path)
    session.close()
    assert result.figures == {}
    assert result.missing == {"durus": "durus is not installed; pip install '.[benchmarks]'"}


def test_an_engine_that_cannot_do_one_of_the_rounds_has_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.engines import ENGINES
    from benchmarks.measure import measure
    from benchmarks.session import LocalSession, Settings
    from benchmarks.workload import WORKLOADS, NotAvailableError, Sample, Sizes, Workload

    rounds = iter(range(10))

    def prepare(*_arguments: object) -> Iterator[Callable[[], dict[str, Sample]]]:
        def once() -> dict[str, Sample]:
            if next(rounds) == 2:  # the first does not count
                raise NotAvailableError("it took too long")
            return {"": Sample(1.0, 1)}

        yield once

    odd = Workload("odd", "thing", Sizes(5, 5, 5, 5), contextmanager(prepare), 9)
    monkeypatch.setitem(WORKLOADS, "odd", odd)
    session = LocalSession(ENGINES["perdure"], Settings())
    (result,) = measure(odd, {"perdure": session}, 5, 4, tmp_path)
    session.close()
    assert result.figures == {}
    assert result.missing == {"perdure": "it took too long"}
    assert next(rounds) == 3  # nor was it asked again


def test_the_table_shows_what_was_reached_and_says_why_what_missed_did() -> None:
    from benchmarks.table import as_targets_rst

    text = as_targets_rst(measured(history=4.0, conflicts=3.0), {"processor": "a fast one"})
    assert ":processor: a fast one" in text
    cells = [line[7:] for line in text.splitlines() if line.startswith("     - ")]
    assert cells[4:] == [
        *("2x", "**3.00x**", "1.3x", "**3.00x**"),
        *("5x", "4.00x, misses", "3x", "**4.00x**"),
    ]
    (miss,) = [line for line in text.splitlines() if line.startswith("- ")]
    assert miss.startswith("- ``history(oid, 20)``, native: ")


def test_a_table_shows_what_the_floors_alone_would_give_beside_the_target() -> None:
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.measure import Figure, Result
    from benchmarks.table import as_targets_rst
    from benchmarks.targets import TARGETS

    (target,) = [each for each in TARGETS if (each.workload, each.metric) == ("commit-1", "")]
    times_s = {"zodb": 4.0, "perdure": 2.0, "floor-disk": 0.8, "floor-bare": 1.25}
    figures = {name: Figure((each_s,)) for name, each_s in times_s.items()}
    text = as_targets_rst([Result("commit-1", "", "commit", target.size_number, figures, {})], {})
    _before, told, floors = text.partition("what no database gets around")
    assert told
    cells = [line[7:] for line in floors.splitlines() if line.startswith("     - ")]
    assert cells[4:] == ["4x", "2.00x, misses", "5.00x", "3.20x, below it"]


def test_the_floors_are_timed_beside_the_workloads_that_have_one(tmp_path: Path) -> None:
    from benchmarks.engines import BARE, DISK, ENGINES
    from benchmarks.session import LocalSession, Settings
    from benchmarks.targets import TARGETS
    from benchmarks.workload import WORKLOADS

    metrics = {(target.workload, target.metric) for target in TARGETS if target.native}
    for name in (DISK, BARE):
        session = LocalSession(ENGINES[name], Settings())
        module = importlib.import_module(ENGINES[name].own)
        assert set(ENGINES[name].only) == set(module.PREPARES)
        for workload in ENGINES[name].only:
            place = tmp_path / name / workload
            place.mkdir(parents=True)
            session.prepare(workload, place, WORKLOADS[workload].sizes.tiny)
            (metric,) = session.round()
            assert (workload, metric) in metrics  # it stands beside a target
            session.end()
        session.close()
    done, content = tiny(tmp_path, "--only=history", "--only=commit-1", "--floors")
    asked = {
        each["workload"]: set(each["figures"]) for each in content["results"] if not each["metric"]
    }
    assert asked == {"commit-1": ALL | {DISK, BARE}, "history": ALL}
    assert "without" not in done.stderr


def test_a_table_shows_times_that_are_bounded() -> None:
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.measure import Figure, Result
    from benchmarks.table import as_targets_rst
    from benchmarks.targets import BOUNDS

    (bound,) = [bound for bound in BOUNDS if bound.metric == "longest"]
    figures = {"zodb": Figure((0.2,)), "perdure": Figure((0.05,)), "perdure-pure": Figure((0.3,))}
    result = Result(bound.workload, "longest", "commit", bound.size_number, figures, {})
    text = as_targets_rst([result], {})
    cells = [line[7:] for line in text.splitlines() if line.startswith("     - ")]
    assert cells[4:] == ["100 ms", "200 ms", "**50 ms**", "300 ms, misses"]


def test_whatever_misses_has_a_limit_and_a_profile_that_shows_it() -> None:
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.engines import NATIVE, PURE
    from benchmarks.limits import limit, profile_of
    from benchmarks.targets import TARGETS

    explanation = ROOT / "docs" / "explanation"
    profiles = {
        NATIVE: (explanation / "profiles.txt").read_text(),
        PURE: (explanation / "profiles_pure.txt").read_text(),
    }
    rows = (ROOT / "benchmarks" / "README.rst").read_text().split("   * - ")
    reached = {row.splitlines()[0]: row for row in rows if row.count("\n     -") == 4}
    missed = 0
    for target in TARGETS:
        cells = reached[target.title].splitlines()
        for engine, cell in ((NATIVE, cells[2]), (PURE, cells[4])):
            if cell.endswith("misses"):
                missed += 1
                assert limit(target.workload, target.metric, engine) != "not known yet", target
                profile = profile_of(target.workload)
                assert not profile or f"{profile}, {engine}: " in profiles[engine], target
    assert missed > 0


def test_not_slower_allows_for_what_equal_things_differ_by() -> None:
    from benchmarks.targets import reached

    assert reached(1, 0.96)
    assert not reached(1, 0.94)
    assert not reached(2, 1.99)


def test_the_table_is_put_between_its_marks_and_leaves_the_rest_of_a_page(tmp_path: Path) -> None:
    from benchmarks.table import BEGIN, END, put

    page = tmp_path / "page.rst"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    put(page, "new\n")
    assert page.read_text() == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    put(tmp_path / "other.rst", "new\n")
    assert (tmp_path / "other.rst").read_text() == "new\n"


def test_the_chart_has_a_bar_for_each_figure_and_marks_what_missed() -> None:
    from benchmarks.chart import as_svg

    chart = ElementTree.fromstring(
        as_svg(measured(history=4.0, read_cold=0.5), {"processor": "x < y"})
    )
    bars = [bar for bar in chart.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    told = [bar.findtext(f"{SVG}title") or "" for bar in bars]
    assert [text.partition(": ")[0] for text in told] == [
        "cold read, object cache empty, native code",
        "cold read, object cache empty, pure Python",
        "``history(oid, 20)``, native code",
        "``history(oid, 20)``, pure Python",
    ]
    slower, faster = (float(bars[place].get("width", "")) for place in (0, 2))
    assert faster == pytest.approx(2 * slower, abs=0.2)  # of 4 and of 1/2, on a logarithmic scale
    ends = float(bars[0].get("x", "")) + slower
    assert ends == pytest.approx(float(bars[2].get("x", "")), abs=0.2)  # both begin at 1
    marks = [path.get("class") for path in chart.iter(f"{SVG}path")]
    assert marks.count("missed") == 1 + 3  # one is in the legend
    assert marks.count("target") == 1 + 1
    style = chart.findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme: dark" in style


def test_a_chart_of_nothing_is_refused() -> None:
    from benchmarks.chart import as_svg

    with pytest.raises(ValueError, match="no workload of the table was measured"):
        as_svg([], {})


def test_runs_are_put_together_and_the_later_one_counts(tmp_path: Path) -> None:
    from benchmarks.report import as_json

    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(as_json(measured(history=4.0, read_hot=1.5), {"date": "one day"}))
    second.write_text(as_json(measured(history=7.0), {"date": "the next"}))
    rst, svg = tmp_path / "table.rst", tmp_path / "chart.svg"
    done = run(f"--from={first}", f"--from={second}", f"--rst={rst}", f"--svg={svg}")
    assert done.returncode == 0, done.stderr
    assert ":date: one day; the next" in rst.read_text()
    assert "**7.00x**" in rst.read_text()
    assert "**1.50x**" in rst.read_text()
    assert "4.00x" not in rst.read_text()
    assert "hot attribute access" in svg.read_text()


def test_the_cost_of_a_tests_database_is_measured_for_each_size() -> None:
    done = run("--rounds", "1", program="benchmarks.fixtures")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["10", "1,000", "10,000"]
    assert all(float(row[-1]) > 0 for row in rows)


@pytest.mark.parametrize("engine", ["perdure", "zodb"])
def test_a_profile_says_whose_code_a_commit_runs(engine: str) -> None:
    done = run("commit", "--engine", engine, "--seconds=0.05", program="benchmarks.profiles")
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert re.fullmatch(
        rf"commit, {engine}: \S+ .s, of which syncs \S+ .s; processor \S+ .s", heading
    )
    parts = {line[2:38].strip() for line in lines}
    assert {"Python code", {"perdure": "perdure.storages", "zodb": "ZODB"}[engine]} <= parts
    assert "library" in parts or "perf" in lines[-3]
    assert re.fullmatch(r"  calls: \S+ of Python functions, \S+ of C functions", lines[-2])


def test_every_profile_that_shows_a_limit_can_be_made() -> None:
    import benchmarks.workloads  # noqa: F401  registers them
    from benchmarks.limits import profile_of
    from benchmarks.profiles import NAMES
    from benchmarks.workload import WORKLOADS

    assert {profile_of(name) for name in WORKLOADS} == {*NAMES, ""}


def test_calls_are_counted_while_a_stopwatch_runs() -> None:
    from benchmarks.sampling import CallCounter
    from benchmarks.workload import Stopwatch

    def called() -> None:
        len("")

    Stopwatch.watcher = counter = CallCounter()
    try:
        called()
        with Stopwatch():
            called()
            called()
    finally:
        Stopwatch.watcher = None
    assert (counter.python, counter.c) == (2, 2)


def test_a_profile_does_without_perf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.profiles import main

    monkeypatch.setenv("PATH", str(tmp_path))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main(["conflict", "history", "--seconds=0.01", f"--place={tmp_path}"])
    lines = output.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines if ", of which syncs" in line] == [
        "conflict",
        "history",
    ]
    assert lines.count("there is no perf") == 2
    assert list(tmp_path.iterdir()) == []


def test_an_open_storage_takes_no_more_memory_for_an_object_than_zodbs() -> None:
    done = run("--objects", "100000", program="benchmarks.memory")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    bytes_each = {name: float(figure) for name, figure in rows}
    assert set(bytes_each) == ALL
    assert max(bytes_each["perdure"], bytes_each["perdure-pure"]) <= bytes_each["zodb"] < 200


def test_a_check_is_measured_beside_a_plain_read() -> None:
    done = run("--objects", "500", "--rounds", "1", program="benchmarks.checking")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.startswith("500 objects, ")
    assert [line.split()[0] for line in lines] == ["cached"] * 3 + ["cold"] * 3
    assert [line.split()[-1] for line in lines if "plain read" in line] == ["100%"] * 2
