"""The modules named `ZODB` are held against the list of ZODB 6.4's public API."""

import json
from pathlib import Path

import pytest

from perdure.compat import DIFFERENCES, Difference
from perdure.compat.differences import advice_on
from processes import python

HERE = Path(__file__).parent
LISTED = HERE / "data" / "zodb-6.4-api.json"
TABLE = HERE.parents[1] / "docs" / "howto" / "zodb_differences.inc"


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What differs, by dotted name."""
    ran = python("-W", "ignore", "-m", "perdure.compat", str(HERE / "surface.py"), str(LISTED))
    assert ran.returncode == 0, ran.stderr
    differences: dict[str, str] = json.loads(ran.stdout)
    return differences


def test_every_difference_stands_in_the_table_with_a_reason(found: dict[str, str]) -> None:
    unexplained = {
        name: what
        for name, what in found.items()
        if not any(difference.covers(name) for difference in DIFFERENCES)
    }
    assert unexplained == {}
    assert all(difference.reason and difference.perdure for difference in DIFFERENCES)


def test_no_entry_of_the_table_is_without_a_difference(found: dict[str, str]) -> None:
    needless = [
        name
        for difference in DIFFERENCES
        for name in difference.names
        if name != "ZODB.tests.*"  # not in the list: it is no public API
        and not any(Difference((name,), "", "").covers(each) for each in found)
    ]
    assert needless == []


def test_a_difference_would_be_found(tmp_path: Path) -> None:
    listed = json.loads(LISTED.read_text())
    listed["modules"] = {"ZODB.event": {}, "ZODB.gone": {}, "ZODB.utils": {}}
    listed["modules"]["ZODB.utils"] = {
        "functions": {"cp": "(f1, f2, length=1)", "gone": "()"},
        "constants": {"z64": "b''"},
        "also_importable_here": ["u64 = ZODB.utils.p64"],
    }
    changed = tmp_path / "api.json"
    changed.write_text(json.dumps(listed))
    ran = python("-W", "ignore", "-m", "perdure.compat", str(HERE / "surface.py"), str(changed))
    names = {name for name in json.loads(ran.stdout) if name.startswith("ZODB.")}
    assert names == {
        *("ZODB.gone", "ZODB.utils.cp", "ZODB.utils.gone", "ZODB.utils.z64", "ZODB.utils.u64")
    }


def test_what_is_covered() -> None:
    difference = Difference(("ZODB.a", "ZODB.b.*"), "", "")
    assert difference.covers("ZODB.a")
    assert difference.covers("ZODB.b")
    assert difference.covers("ZODB.b.c")
    assert not difference.covers("ZODB.ab")
    assert not difference.covers("ZODB.bc")
    assert "perdure.testing" in advice_on("ZODB.tests.util")


def as_rst() -> str:
    """Return the table as the migration guide prints it."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 40 35 25",
        "",
        "   * - ZODB 6.4",
        "     - Perdure",
        "     - Why",
    ]
    for difference in DIFFERENCES:
        names = ", ".join(f"``{name}``" for name in difference.names)
        instead = difference.perdure.replace("`", "``")
        reason = difference.reason.replace("`", "``")
        lines += [f"   * - {names}", f"     - {instead}", f"     - {reason}"]
    return "\n".join(lines) + "\n"


def test_the_migration_guide_prints_the_table() -> None:
    assert TABLE.read_text() == as_rst()  # written by `python tests/compat/test_surface.py`
    guide = (TABLE.parent / "migrating.rst").read_text()
    assert ".. include:: zodb_differences.inc" in guide


if __name__ == "__main__":
    TABLE.write_text(as_rst())
