"""The README and the pages of the documentation do what they say.

Python blocks run, page by page, in order, in an empty directory. In a console
block, each ``$ perdure …`` runs too; the lines below it are what it must print
(``...`` stands for anything). Other commands are left alone, and so is what
follows the comment ``.. skip: next``.
"""

import doctest
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import transaction
from sybil import Document, Example
from sybil.example import SybilFailure
from sybil.parsers.rest import CodeBlockParser, PythonCodeBlockParser, SkipParser

HERE = Path(__file__).resolve().parent.parent
PAGES = [HERE / "README.rst", HERE / "SECURITY.rst", *sorted((HERE / "docs").rglob("*.rst"))]


class Page(ModuleType):
    """The names that a page defines, as a module: its persistent classes live there."""

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        super().__init__(name)
        self.__namespace = namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__namespace[name]
        except KeyError:
            raise AttributeError(name) from None


def run_console(example: Example) -> str | None:
    """Run the `perdure` commands of a block; return what went otherwise than printed."""
    command, expected = "", ""
    for line in [*str(example.parsed).splitlines(), "$ end"]:
        if not line.startswith("$ "):
            expected += line + "\n"
            continue
        if command.startswith("perdure "):
            printed = _printed_by(command)
            checker = doctest.OutputChecker()
            if not checker.check_output(expected, printed, doctest.ELLIPSIS):
                return f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
        command, expected = line[2:], ""
    return None


def _printed_by(command: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        # What a command starts is of this installation, too.
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        timeout=300,
        check=False,
    )
    return result.stdout + result.stderr


PARSERS = [PythonCodeBlockParser(), CodeBlockParser("console", run_console), SkipParser()]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
    transaction.abort()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HERE)))
def test_the_examples_on_a_page_run(
    page: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Document.parse(str(page), *PARSERS)
    name = "page_" + page.stem
    document.namespace["__name__"] = name
    monkeypatch.setitem(sys.modules, name, Page(name, document.namespace))
    for example in document.examples():
        example.evaluate()


def test_a_console_block_that_prints_something_else_is_noticed(directory: Path) -> None:
    page = directory / "page.rst"
    page.write_text(".. code-block:: console\n\n   $ perdure --version\n   perdure, version none\n")
    (example,) = Document.parse(str(page), *PARSERS).examples()
    with pytest.raises(SybilFailure, match="printed:\nperdure, version"):
        example.evaluate()
