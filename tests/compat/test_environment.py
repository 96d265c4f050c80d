"""A fresh environment: packages that require ZODB beside Perdure, the real one never imported."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import sys, ZEO, ZODB, ZODB.FileStorage, zc.zlibstorage, perdure
from importlib.metadata import distribution
assert ZODB.DB is perdure.DB
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
assert not [file for file in files if "site-packages/ZODB/" in file]
print(distribution("ZODB").version)
"""


@pytest.mark.slow
def test_pip_installs_packages_that_require_zodb_and_nobody_imports_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            capture_output=True,
            text=True,
            env={**clean, **variables},
            cwd=tmp_path,
            timeout=600,
            check=False,
        )

    installed = run("-m", "pip", "install", f"{REPOSITORY}[zodb]", "ZEO", "zc.zlibstorage")
    assert installed.returncode == 0, installed.stderr
    assert list((tmp_path / "venv").rglob("site-packages/ZODB/DB.py")), "pip installs it"

    ran = run("-c", PROGRAM, PERDURE_COMPAT="1")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("6.")
    plain = run("-c", "import ZODB; print(ZODB.__file__)")
    assert "site-packages/ZODB/" in plain.stdout, "without the variable it is the real one"
    (tmp_path / "script.py").write_text(PROGRAM)
    ran = run("-m", "perdure.compat", "script.py")
    assert ran.returncode == 0, ran.stderr
    ran = run("-m", "ZODB.scripts.fstail", PERDURE_COMPAT="1")
    assert "usage: python -m ZODB.scripts.fstail" in ran.stderr
