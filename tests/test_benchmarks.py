"""The benchmark runs, checks its work, and reports what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_workload_runs_on_both_engines_and_is_reported(tmp_path: Path) -> None:
    json_file, rst_file = tmp_path / "results.json", tmp_path / "results.rst"
    done = run(
        "--sizes=tiny",
        "--rounds=1",
        f"--place={tmp_path}",
        f"--json={json_file}",
        f"--rst={rst_file}",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(json_file.read_text())
    described = {line.split()[0] for line in run("--help").stdout.splitlines() if line[:2] == "  "}
    assert {result["workload"] for result in content["results"]} <= described
    assert len(content["results"]) >= 24
    for result in content["results"]:
        assert set(result["figures"]) == {"zodb", "perdure"}, result
        assert result["ratio"] > 0
        assert result["workload"] in done.stdout
        assert result["workload"] in rst_file.read_text()
    assert "sync of 4 KiB" in content["machine"]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.rst"}


def test_slowed_syncs_slow_every_engine(tmp_path: Path) -> None:
    json_file = tmp_path / "results.json"
    options = ["--only=commit-1", "--sizes=tiny", "--rounds=1", f"--json={json_file}"]
    done = run(*options, f"--place={tmp_path}", "--slow-syncs=20")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(json_file.read_text())["results"]
    assert all(median_s > 0.02 for median_s in result["median_s"].values())


def test_one_engine_can_run_alone_and_has_no_ratio(tmp_path: Path) -> None:
    json_file = tmp_path / "results.json"
    options = ["--only=add", "--sizes=tiny", "--rounds=1", f"--json={json_file}"]
    done = run(*options, f"--place={tmp_path}", "--engines=perdure", "--gc=off")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(json_file.read_text())["results"]
    assert list(result["figures"]) == ["perdure"]
    assert result["ratio"] is None


def test_an_unknown_workload_is_named() -> None:
    done = run("--only=nonsense")
    assert done.returncode != 0
    assert "no workload begins with 'nonsense'" in done.stderr


def test_a_workload_whose_work_was_not_done_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.workload import WorkNotDoneError, check

    check("three", 3, 3)
    with pytest.raises(WorkNotDoneError, match="three: found 2, expected 3"):
        check("three", 2, 3)


def test_the_cost_of_a_tests_database_is_measured_for_each_size() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fixtures", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["10", "1,000", "10,000"]
    assert all(float(row[-1]) > 0 for row in rows)
