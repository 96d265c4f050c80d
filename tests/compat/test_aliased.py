"""What is in `aliased` runs in one process of its own: no real ZODB is ever imported there."""

import re
from pathlib import Path

from processes import python

HERE = Path(__file__).parent


def test_everything_under_zodbs_names_works(tmp_path: Path) -> None:
    ran = python(
        *("-m", "perdure.compat", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("--rootdir", str(HERE.parents[1]), "-c", str(HERE.parents[1] / "pyproject.toml")),
        *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
        *("--basetemp", str(tmp_path / "aliased"), str(HERE / "aliased")),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 100
