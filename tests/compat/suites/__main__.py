"""The tests that packages on ZODB ship, run on ZODB and on Perdure, and compared.

    pip install 'perdure[suites]'    # or, in a checkout, pip install '.[suites]'
    python tests/compat/suites [--on ZODB|Perdure] [--results DIRECTORY] [PACKAGE...]

Each suite runs in a process of its own, and as often: on the ZODB that is installed,
which tells what fails anyway, and on Perdure. What fails on Perdure only is listed, with
the reason where `reasons` has one. The exit status is 1 if one has none.

`--results` keeps outputs and outcomes; a later run with `--on` compares with what lies
there. `--tables` writes the tables of docs/explanation/suites.rst into a directory.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Final

from reasons import REASONS, reason_for

HERE: Final = Path(__file__).resolve().parent
SITES: Final = ("ZODB", "Perdure")
BAD: Final = ("failed", "error", "unfinished")
COLUMNS: Final = ("passed", "failed", "error", "skipped", "unfinished")


@dataclass(frozen=True)
class Suite:
    """The tests of one distribution: what runs them, and what they are called there."""

    package: str
    runner: str
    name: str

    def arguments(self) -> list[str]:
        """Return what the runner is told."""
        if self.runner == "pytest":
            return ["--pyargs", self.name]
        site = str(distribution(self.package).locate_file(""))
        return ["--path", site, "-s", self.name, "-vv", "--no-color", "--no-progress"]


SUITES: Final = (
    Suite("ZEO", "zope", "ZEO"),
    Suite("RelStorage", "zope", "relstorage"),
    Suite("zc.zlibstorage", "zope", "zc.zlibstorage"),
    Suite("zc.beforestorage", "zope", "zc.beforestorage"),
    Suite("zodburi", "pytest", "zodburi"),
    Suite("repoze.catalog", "zope", "repoze.catalog"),
    Suite("pyramid_zodbconn", "zope", "pyramid_zodbconn"),
)


@dataclass
class Outcomes:
    """How the tests of a suite ended on one site: for each name a list, as names come twice."""

    of: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def counts(self) -> Counter[str]:
        """Return how many tests ended in which way."""
        return Counter(outcome for each in self.of.values() for outcome in each)

    def bad(self, name: str) -> int:
        """Return how many tests of this name did not pass."""
        return sum(outcome in BAD for outcome in self.of.get(name, ()))


def read(path: Path) -> Outcomes:
    """Return what `one` wrote down; nothing if it has not been run."""
    found = Outcomes()
    if not path.exists():
        return found
    running = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        outcome, name, detail = json.loads(line)
        ends = found.of.setdefault(name, [])
        if outcome == "started":
            running = name
            ends.append("unfinished")
            continue
        if name != running or not ends:
            ends.append(outcome)
        elif ends[-1] not in ("failed", "error"):  # a test can fail several times
            ends[-1] = outcome
        if outcome in BAD:
            found.details.setdefault(name, detail)
    return found


def run(suite: Suite, site: str, results: Path, timeout_s: float) -> None:
    """Run a suite on a site, at most for so long, and leave its outcomes in `results`."""
    lines = results / f"{suite.package}.{site}.jsonl"
    lines.unlink(missing_ok=True)
    # zope.testrunner shows each warning; pytest's tests look for some, and keep the others.
    quiet = [] if suite.runner == "pytest" else ["-W", "ignore"]
    command = [sys.executable, *quiet, str(HERE / "one.py"), suite.runner, str(lines)]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="suite-") as work,
        open(results / f"{suite.package}.{site}.out", "wb") as output,
    ):
        process = subprocess.Popen(
            [*command, *suite.arguments()],
            cwd=work,
            env={
                **os.environ,
                "PERDURE_COMPAT": "1" if site == "Perdure" else "",
                "TMPDIR": work,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that servers that it left behind can be ended
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            print(f"{suite.package} on {site} took more than {timeout_s:.0f} s and was ended")
        finally:
            _end(process)
    counted = _counted(read(lines).counts())
    print(f"{suite.package} on {site}: {counted}, {time.monotonic() - began:.0f} s", flush=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started."""
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[each]} {each}" for each in COLUMNS if counts[each]) or "no tests"


def compare(suite: Suite, results: Path) -> dict[str, int]:
    """Return which tests fail on Perdure more often than on ZODB, and how many more."""
    theirs, ours = (read(results / f"{suite.package}.{site}.jsonl") for site in SITES)
    more = {name: ours.bad(name) - theirs.bad(name) for name in ours.of}
    missing = {name: len(ends) for name, ends in theirs.of.items() if name not in ours.of}
    return {name: count for name, count in (more | missing).items() if count > 0}


def report(suites: Iterable[Suite], results: Path) -> int:
    """Print which tests fail on Perdure only, and why; return how many have no known reason."""
    unknown = 0
    print("\nOn Perdure only:")
    for suite in suites:
        details = read(results / f"{suite.package}.Perdure.jsonl").details
        for name, count in compare(suite, results).items():
            reason = reason_for(suite.package, name)
            last = details.get(name, "it was not run to its end").strip().splitlines()[-1]
            print(f"  {suite.package}: {name}\n    {reason or f'NO REASON IS KNOWN: {last[:200]}'}")
            unknown += 0 if reason else count
    return unknown


def counts_table(suites: Iterable[Suite], results: Path) -> str:
    """Return the counts as a table of reStructuredText."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - Package",
        "     - On ZODB " + version("ZODB"),
        "     - On Perdure",
        "     - On Perdure only",
    ]
    for suite in suites:
        theirs, ours = (read(results / f"{suite.package}.{site}.jsonl") for site in SITES)
        only = sum(compare(suite, results).values())
        lines += [
            f"   * - {suite.package} {version(suite.package)}",
            f"     - {_counted(theirs.counts())}",
            f"     - {_counted(ours.counts())}",
            f"     - {only} failed" if only else "     - none",
        ]
    return "\n".join(lines) + "\n"


def reasons_table(suites: Iterable[Suite], results: Path) -> str:
    """Return the reasons as a table of reStructuredText, each with the tests that it is for."""
    tests: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for suite in suites:
        for name, count in compare(suite, results).items():
            why = reason_for(suite.package, name) or "not known"
            tests.setdefault(why, set()).add(f"{suite.package}: ``{name.partition(' ')[0]}``")
            times[why] += count
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 40 5 55", ""]
    lines += ["   * - Tests", "     -", "     - Why"]
    for unseen in REASONS:
        # It depends on who runs them, and where, which tests fail on ZODB, too.
        package, name = unseen.packages[0], unseen.pattern.strip("^$ ")
        tests.setdefault(unseen.why, {f"{package}: ``{name}``"})
    for why, names in tests.items():
        lines += [
            f"   * - {', '.join(sorted(names))}",
            f"     - {times[why]}",
            f"     - {why}",
        ]
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python tests/compat/suites", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("package", nargs="*", help="all of them by default")
    parser.add_argument("--on", choices=SITES, help="run on this one only; both by default")
    parser.add_argument("--results", type=Path, help="where outputs and outcomes are kept")
    parser.add_argument("--tables", type=Path, help="where the tables of the page are written")
    parser.add_argument("--compare", action="store_true", help="run nothing, compare the results")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each run")
    return parser.parse_args()


def chosen(names: list[str]) -> list[Suite]:
    """Return the suites of these packages; end the program where one is not installed."""
    known = {suite.package.lower(): suite for suite in SUITES}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise SystemExit(f"no such package: {', '.join(unknown)}; there are {', '.join(known)}")
    suites = [known[name.lower()] for name in names] or list(SUITES)
    for distribution_name in [*(suite.package for suite in suites), "ZODB", "zope.testrunner"]:
        try:
            version(distribution_name)
        except PackageNotFoundError:
            raise SystemExit(
                f"{distribution_name} is not installed; pip install 'perdure[suites]'"
            ) from None
    return suites


def main() -> None:
    """Run, compare, print; see the head of this file."""
    options = parse()
    suites = chosen(options.package)
    with tempfile.TemporaryDirectory(prefix="suites-") as scratch:
        results = (options.results or Path(scratch)).resolve()
        results.mkdir(parents=True, exist_ok=True)
        for suite in suites:
            for site in () if options.compare else SITES:
                if options.on in (None, site):
                    run(suite, site, results, options.timeout)
        if options.on is not None and options.results is None:
            return  # there is nothing to compare with
        unknown = report(suites, results)
        print("\n" + counts_table(suites, results))
        if options.tables:
            (options.tables / "suites_counts.inc").write_text(counts_table(suites, results))
            (options.tables / "suites_reasons.inc").write_text(reasons_table(suites, results))
    if unknown:
        raise SystemExit(f"{unknown} tests fail on Perdure only, and nobody knows why")


if __name__ == "__main__":
    main()
