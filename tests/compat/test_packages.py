"""What others wrote, unchanged, on Perdure: each program runs in a process of its own."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from processes import python

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("package", "program"),
    [
        ("relstorage", ["relstorage_program.py", "main"]),
        ("repoze", ["catalog_program.py"]),
        ("pyramid_zodbconn", ["pyramid_program.py"]),
        ("zc", ["wrappers_program.py"]),
    ],
)
def test_a_package_runs_as_it_is(tmp_path: Path, package: str, program: list[str]) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; it is in the extra `test`")
    name, *arguments = program
    ran = python(
        *("-W", "ignore", "-m", "perdure.compat", str(HERE / name), *arguments, str(tmp_path))
    )
    assert ran.returncode == 0, ran.stderr
    assert "/perdure/" in ran.stdout
