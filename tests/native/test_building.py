"""Building the extension modules: with a compiler, and without one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (SOURCE / "src" / "perdure" / "native").glob("_[a-z]*.c"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of what an installation is made from, without what was built in place."""
    copy = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(SOURCE / "src", copy / "src", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE"):
        shutil.copy(SOURCE / name, copy / name)
    return copy


def run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def built(source: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Build in place; return how that went, and the modules that are there then."""
    done = run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=source, **environment)
    modules = (source / "src" / "perdure" / "native").glob("*.so")
    return done, sorted(path.name.partition(".")[0] for path in modules)


def test_building_gives_all_modules_without_a_warning(source: Path) -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no compiler {compiler}")
    done, modules = built(source, CFLAGS="-Werror -O0")
    assert done.returncode == 0, done.stderr
    assert modules == MODULES, done.stderr


def test_building_without_a_compiler_goes_on(source: Path) -> None:
    done, modules = built(source, CC="/bin/false")
    assert done.returncode == 0, done.stderr
    assert modules == []


@pytest.mark.slow
def test_installing_without_a_compiler_works_and_info_says_what_is_missing(
    source: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", environment, cwd=tmp_path).returncode == 0
    python = environment / "bin" / "python"
    installed = run(
        python, "-m", "pip", "install", "-q", f"{source}[cli]", cwd=tmp_path, CC="/bin/false"
    )
    assert installed.returncode == 0, installed.stderr
    info = run(environment / "bin" / "perdure", "info", "memory:", cwd=tmp_path, PYTHONPATH="")
    assert info.returncode == 0, info.stderr
    for name in MODULES:
        assert f"{name.removeprefix('_')} (not built)" in info.stdout
