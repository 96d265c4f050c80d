"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

from perdure import native

pytest_plugins = ["pytester"]

# A build that fails must fail again when it is run again; by hand, examples are new each time.
settings.register_profile("ci", derandomize=True)
# Under valgrind all takes fifty times as long: see .ci/sanitize.
settings.register_profile("few", derandomize=True, max_examples=5, deadline=None)
if int(os.environ.get("PERDURE_FUZZ_COUNT", "1000")) < 100:
    settings.load_profile("few")
elif os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    text = "native: compares native code with what it repeats; .ci/sanitize runs these, too"
    config.addinivalue_line("markers", text)


def pytest_report_header() -> list[str]:
    problems = native.native_problems()
    return [
        "perdure native code: "
        + ", ".join(name if why is None else f"no {name} ({why})" for name, why in problems.items())
    ]
