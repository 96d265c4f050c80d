"""The map of the architecture is the one that the import contract checks."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def floors_of_the_page() -> dict[int, set[str]]:
    """Return the rooms on each floor, by its number, as the table of the page has them."""
    page = (HERE / "docs" / "explanation" / "architecture.rst").read_text()
    rows = re.findall(r"^(\d+) +(``\w+``(?:, ``\w+``)*) ", page, re.MULTILINE)
    return {int(number): set(re.findall(r"``(\w+)``", rooms)) for number, rooms in rows}


def floors_of_the_contract() -> dict[int, set[str]]:
    settings = tomllib.loads((HERE / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    return dict(enumerate(reversed(layers)))


def test_the_page_has_the_floors_of_the_import_contract() -> None:
    assert floors_of_the_page() == floors_of_the_contract()


def test_every_design_note_has_its_number_and_parts() -> None:
    notes = sorted((HERE / "docs" / "design").glob("0*.rst"))
    assert [int(note.name[:4]) for note in notes] == list(range(1, len(notes) + 1))
    for note in notes:
        text = note.read_text()
        assert text.startswith(f"{note.name[:4]}: "), note.name
        for part in ("Context\n---", "Decision\n---", "Reasons\n---", "Consequences\n---"):
            assert part in text, (note.name, part)
