"""What importing Perdure loads: as little as possible at first, and never what is an extra."""

import json

import pytest

from processes import python

FOUNDATIONS = ("BTrees", "persistent", "transaction", "zc", "zope", "google_crc32c")
EXTRAS = (
    *("IPython", "ZConfig", "click", "cryptography", "hypothesis", "psycopg", "pytest"),
    *("rich", "sphinx", "sybil", "zstandard"),
)
ON_DEMAND = (
    *("perdure.cli", "perdure.compat", "perdure.testing", "perdure.tools", "perdure.tour"),
    *("asyncio", "http", "multiprocessing", "sqlite3", "ssl", "unittest", "xml"),
)


def modules_after(statement: str) -> set[str]:
    """Return the names of all modules that a new interpreter has after `statement`."""
    program = f"{statement}\nimport json, sys; print(json.dumps([*sys.modules]))"
    return set(json.loads(python("-c", program).stdout))


def of(packages: tuple[str, ...], modules: set[str]) -> list[str]:
    """Return those of `modules` that are one of `packages`, or in it."""
    dotted = tuple(f"{package}." for package in packages)
    return sorted(name for name in modules if name in packages or name.startswith(dotted))


def test_importing_perdure_loads_nothing_but_the_standard_library() -> None:
    loaded = modules_after("import perdure")
    assert of(("perdure",), loaded) == ["perdure", "perdure.faces"]
    assert of((*FOUNDATIONS, *EXTRAS), loaded - modules_after("pass")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import perdure",
        "import perdure; perdure.Persistent",
        "import perdure; perdure.DB; perdure.FileStorage",
        "import perdure; perdure.open; perdure.DemoStorage; perdure.Blob",
    ],
)
def test_a_program_that_uses_a_database_loads_no_extras_and_no_tools(statement: str) -> None:
    # As a peer of the tests, ZODB is installed here, and BTrees imports it where it can.
    without = modules_after("import BTrees") | modules_after("pass")
    loaded = modules_after(statement) - without
    assert of((*EXTRAS, *ON_DEMAND), loaded) == []
