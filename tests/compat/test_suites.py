"""The tests that packages ship themselves, run on both; see `suites`. The small ones run here."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "suites"
PAGE = Path(__file__).parents[2] / "docs" / "explanation"

installed = pytest.mark.skipif(
    not all(map(find_spec, ("relstorage", "repoze", "pyramid_zodbconn", "webtest"))),
    reason="the packages of the extra `test` are not all installed here",
)


def run(*arguments: str, timeout_s: float = 120) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, str(SUITES), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=timeout_s,
        check=False,
    )
    return ran.returncode, ran.stdout


@installed
def test_what_packages_test_themselves_works_on_perdure(tmp_path: Path) -> None:
    results = str(tmp_path / "results")
    status, output = run("--results", results, "zodburi", "repoze.catalog", "pyramid_zodbconn")
    assert status == 0, output
    ended = output.splitlines()
    assert "pyramid_zodbconn on Perdure: 23 passed" in [line.rpartition(",")[0] for line in ended]
    assert "NO REASON" not in output


def write(results: Path, site: str, *lines: tuple[str, str, str]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (results / f"ZEO.{site}.jsonl").write_text(text)


@installed
def test_a_failure_that_nobody_can_explain_is_an_error(tmp_path: Path) -> None:
    passed, failed = ("started", "a", ""), ("failed", "a", "AssertionError()")
    write(tmp_path, "ZODB", passed, ("passed", "a", ""))
    write(tmp_path, "Perdure", passed, failed)
    status, output = run("--compare", "--results", str(tmp_path), "ZEO")
    assert status == 1
    assert "ZEO: a\n    NO REASON IS KNOWN: AssertionError()" in output


@installed
@pytest.mark.parametrize("lines", [[], [("started", "a", "")]])
def test_a_test_that_did_not_end_has_failed(
    tmp_path: Path, lines: list[tuple[str, str, str]]
) -> None:
    write(tmp_path, "ZODB", ("started", "a", ""), ("passed", "a", ""))
    write(tmp_path, "Perdure", *lines)
    status, output = run("--compare", "--results", str(tmp_path), "ZEO")
    assert status == 1
    assert "ZEO: a\n    NO REASON IS KNOWN: it was not run to its end" in output


@installed
def test_a_failure_on_both_is_not_perdures(tmp_path: Path) -> None:
    for site in ("ZODB", "Perdure"):
        write(tmp_path, site, ("started", "a", ""), ("error", "a", "OSError()"))
    status, output = run("--compare", "--results", str(tmp_path), "ZEO")
    assert status == 0, output


def test_the_page_gives_the_reasons_that_are_known() -> None:
    names: dict[str, object] = {}
    exec((SUITES / "reasons.py").read_text(), names)  # `suites` is not on the path
    page = (PAGE / "suites_reasons.inc").read_text()
    reasons = names["REASONS"]
    assert isinstance(reasons, tuple)
    for reason in reasons:
        assert reason.why in page, "written by `python tests/compat/suites --tables`"
    assert "not known" not in page


@pytest.mark.slow
@pytest.mark.skipif(find_spec("manuel") is None, reason="the extra `suites` is not installed here")
def test_all_suites_of_all_packages(tmp_path: Path) -> None:
    status, output = run("--results", str(tmp_path), timeout_s=3 * 3600)
    assert status == 0, output
