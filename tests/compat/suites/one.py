"""Run the tests that a package ships, in this process, and write down how each one ended.

    python one.py RUNNER RESULTS ARGUMENT...

`RUNNER` is `zope` (`zope.testrunner`) or `pytest`; it gets the arguments. Each line of
the file `RESULTS` is the JSON of `[outcome, name, detail]`, and the outcome is one of
"started", "passed", "failed", "error" and "skipped". Lines are appended as tests end, so
that a suite that hangs leaves them behind.

With PERDURE_COMPAT=1 in the environment `ZODB` is Perdure, as in every program. Only the
package `ZODB.tests`, from which these suites take mix-ins, comes from the installed ZODB
then: it is no part of Perdure, and nothing else of the installed ZODB is imported.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import perdure.compat

RESULTS: Final = "PERDURE_SUITE_RESULTS"
TESTS: Final = "ZODB.tests"


class ForeignTests:
    """Finds `ZODB.tests` where the distribution ZODB is installed."""

    def __init__(self, zodb: Path) -> None:
        self._zodb = zodb

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == TESTS:
            return PathFinder.find_spec(fullname, [str(self._zodb)])
        if fullname.startswith(TESTS + "."):
            return PathFinder.find_spec(fullname, path)
        return None


def installed_zodb() -> Path:
    """Return the directory of the installed package ZODB, which is not imported."""
    return Path(str(distribution("ZODB").locate_file("ZODB")))


def use_perdure() -> None:
    """Have `ZODB` lead to Perdure, and `ZODB.tests` to the installed tests of ZODB."""
    perdure.compat.install()
    sys.meta_path.insert(0, ForeignTests(installed_zodb()))


def imported_from_zodb() -> list[str]:
    """Return the modules of the installed ZODB that were imported, its tests left out."""
    zodb = f"{installed_zodb()}{os.sep}"
    return [
        name
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").startswith(zodb)
        and name != TESTS
        and not name.startswith(TESTS + ".")
    ]


def record(outcome: str, name: str, detail: str = "") -> None:
    """Append a line to the results; layers of tests run in processes of their own."""
    # Tests that are files are named by their paths, which are not the same everywhere.
    line = json.dumps([outcome, name.replace(f"{installed_zodb().parent}{os.sep}", ""), detail])
    with open(os.environ[RESULTS], "a", encoding="utf-8") as file:
        file.write(line + "\n")


def run_zope(arguments: list[str]) -> None:
    """Run `zope.testrunner`, as its own script does."""
    from zope.testrunner.formatter import OutputFormatter
    from zope.testrunner.runner import Runner

    class Formatter(OutputFormatter):
        """Writes outcomes down, besides printing them."""

        def start_test(self, test: Any, *rest: Any) -> None:
            record("started", str(test))
            super().start_test(test, *rest)

        def test_success(self, test: Any, seconds: float) -> None:
            record("passed", str(test))
            super().test_success(test, seconds)

        def test_skipped(self, test: Any, reason: str) -> None:
            record("skipped", str(test), str(reason))
            super().test_skipped(test, reason)

        def test_error(self, test: Any, seconds: float, exc_info: Any, **output: Any) -> None:
            record("error", str(test), repr(exc_info[1]))
            super().test_error(test, seconds, exc_info, **output)

        def test_failure(self, test: Any, seconds: float, exc_info: Any, **output: Any) -> None:
            record("failed", str(test), repr(exc_info[1]))
            super().test_failure(test, seconds, exc_info, **output)

        def import_errors(self, import_errors: Any) -> None:
            for each in import_errors or ():
                record("error", f"import of {each.module}", repr(each.exc_info[1]))
            super().import_errors(import_errors)

    class RecordingRunner(Runner):  # type: ignore[misc]
        """Uses the formatter above, in the processes that it starts for layers, too."""

        def configure(self) -> None:
            super().configure()
            self.options.output = Formatter(self.options)

    again = [os.path.abspath(__file__), "zope", os.environ[RESULTS]]
    RecordingRunner([], [__file__, *arguments], script_parts=again).run()


def run_pytest(arguments: list[str]) -> None:
    """Run `pytest`, without this project's settings."""
    import pytest

    class Recorder:
        """Writes outcomes down."""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            detail = "" if report.passed else str(report.longrepr)
            if report.when == "call" or not report.passed:
                outcome = "error" if report.failed and report.when != "call" else report.outcome
                record(outcome, report.nodeid, detail)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                record("error", f"import of {report.nodeid}", str(report.longrepr))

    options = ["-q", "-p", "no:cacheprovider", "-p", "no:perdure", "-c", os.devnull]
    pytest.main([*options, "--rootdir", os.getcwd(), *arguments], plugins=[Recorder()])


def main() -> None:
    """Run the suite that the arguments name."""
    runner, os.environ[RESULTS], *arguments = sys.argv[1:]
    if os.environ.get("PERDURE_COMPAT") == "1":
        use_perdure()
    {"zope": run_zope, "pytest": run_pytest}[runner](arguments)
    if perdure.compat.installed():
        wrong = imported_from_zodb()
        if wrong:
            record("error", "of ZODB only its tests are imported", ", ".join(wrong))


if __name__ == "__main__":
    main()
