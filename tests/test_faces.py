"""Packages whose names are loaded when they are first used: faces that agree with what is there."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure.faces import loading
from processes import python

LAZY = ["perdure", "perdure.opening", "perdure.storages"]


def names_for_types(package: ModuleType) -> dict[str, Any]:
    """Return the names that a type checker sees, with the modules that they come from."""
    assert package.__file__ is not None
    return {
        alias.name: node.module
        for block in ast.parse(Path(package.__file__).read_text()).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("name", LAZY)
def test_types_and_places_of_a_face_agree(name: str) -> None:
    package = import_module(name)
    assert names_for_types(package) == package._WHERE
    assert set(package.__all__) - {"__version__"} == set(package._WHERE)


@pytest.mark.parametrize("name", LAZY)
def test_every_name_of_a_face_is_there(name: str) -> None:
    package = import_module(name)
    for each in package.__all__:
        assert getattr(package, each) is not None
        assert each in dir(package)


@pytest.mark.parametrize("name", LAZY)
def test_a_name_that_is_not_there_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nonsense'"):
        _ = import_module(name).nonsense


def test_a_name_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("lazy")
    monkeypatch.setitem(sys.modules, "lazy", package)
    vars(package)["__getattr__"] = loading("lazy", {"Path": "pathlib"})
    assert "Path" not in vars(package)
    assert package.Path is Path
    assert vars(package)["Path"] is Path


def test_a_database_over_a_file_loads_no_layers_and_no_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = (
        "import sys\n"
        "from perdure import DB, FileStorage\n"
        "DB(FileStorage('app.fs')).close()\n"
        "rooms = ('cli', 'compat', 'testing', 'tools', 'opening.address', 'opening.schemes',\n"
        "         'storages.demo', 'storages.memory', 'storages.transforming')\n"
        "print([room for room in rooms if f'perdure.{room}' in sys.modules])\n"
    )
    done = python("-c", program)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_an_address_of_a_file_loads_no_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = (
        "import sys, perdure\n"
        "perdure.open('file:app.fs').close()\n"
        "print([name for name in sys.modules if name in (\n"
        "    'perdure.storages.demo', 'perdure.opening.layerschemes', 'ZConfig')])\n"
    )
    done = python("-c", program)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
