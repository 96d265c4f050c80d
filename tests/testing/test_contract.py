"""The suites as a whole: no test hides another, and production imports none of them."""

import subprocess
import sys

from perdure.testing import contract


def test_no_suite_hides_a_test_of_another() -> None:
    suites = {
        base
        for name in contract.__all__
        for base in getattr(contract, name).__mro__
        if base is not object
    }
    names = [name for suite in suites for name in vars(suite) if name.startswith("test_")]

    assert len(names) > 100
    assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}


def test_importing_perdure_imports_neither_pytest_nor_the_suites() -> None:
    code = (
        "import sys, perdure, perdure.testing\n"
        "print([m for m in sys.modules if m.startswith(('pytest', '_pytest', 'perdure.testing.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
