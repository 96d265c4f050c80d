"""The reference is complete: every public name and every command stands in it."""

import importlib
import pkgutil
import re
from pathlib import Path

import click
import pytest

import perdure
from perdure.cli.program import program
from perdure.opening.registry import ENTRY_POINT_GROUP

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def public_modules() -> list[str]:
    """Return the packages, at any depth, and the modules directly below `perdure`."""
    found = ["perdure"]
    for module in pkgutil.walk_packages(perdure.__path__, "perdure."):
        if module.ispkg or module.name.count(".") == 1:
            found.append(module.name)
    return [name for name in found if not name.endswith(".__main__")]


def public_names() -> list[str]:
    return [
        f"{module}.{name}"
        for module in public_modules()
        for name in getattr(importlib.import_module(module), "__all__", ())
    ]


def mentioned(text: str) -> set[str]:
    """Return the dotted names that a page describes, or says where they are described."""
    described = re.findall(r"^\.\. (?:auto|py:)\w+:: (perdure\.[\w.]+)", text, re.MULTILINE)
    referred = re.findall(r"``(perdure\.[\w.]+)(?:\(\))?``", text)
    return {*described, *referred} - {ENTRY_POINT_GROUP}


def pages() -> str:
    return "\n".join(page.read_text() for page in sorted(REFERENCE.rglob("*.rst")))


def test_every_public_name_stands_in_the_reference() -> None:
    names = public_names()
    assert "perdure.errors.ConflictError" in names
    assert "perdure.testing.contract.Suite" in names
    assert sorted(set(names) - mentioned(pages())) == []


def test_a_name_that_is_missing_would_be_noticed() -> None:
    text = pages().replace("perdure.errors.ConflictError", "")
    assert mentioned(pages()) - mentioned(text) == {"perdure.errors.ConflictError"}


def test_everything_that_the_reference_describes_exists() -> None:
    for name in mentioned(pages()):
        parts = name.split(".")
        found: object = perdure
        for number, part in enumerate(parts[1:], 2):
            try:
                found = getattr(found, part)
            except AttributeError:
                found = importlib.import_module(".".join(parts[:number]))


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_command_has_a_page_with_all_its_options(name: str) -> None:
    page = (REFERENCE / "commands" / f"{name}.rst").read_text()
    assert page.startswith(f"perdure {name}\n")
    for parameter in program.commands[name].params:
        if isinstance(parameter, click.Option):
            for option in parameter.opts:
                assert re.search(rf"^``{option}\b.*``$", page, re.MULTILINE), option
        else:
            assert f"{parameter.human_readable_name}" in page


def test_the_list_of_commands_is_that_of_the_program() -> None:
    index = (REFERENCE / "commands" / "index.rst").read_text()
    listed = re.findall(r"^   ([\w-]+)$", index, re.MULTILINE)
    assert sorted(listed) == sorted(program.commands)
