"""Installing ZODB's names, and what stands in the way."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import perdure.compat
from perdure.compat.__main__ import main
from processes import python

STARTUP_FILE = Path(perdure.compat.__file__).parents[2] / "perdure-compat.pth"
WHICH = "import ZODB, perdure; print(ZODB.DB is perdure.DB, '/perdure/' in ZODB.__file__)"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
        check=False,
    )


def test_installing_after_the_real_zodb_was_imported_is_refused() -> None:
    ran = run("import ZODB, perdure.compat; perdure.compat.install()")
    assert "ImportError: ZODB was imported already, from " in ran.stderr
    assert "call perdure.compat.install() before anything imports ZODB or BTrees" in ran.stderr


def test_trees_that_imported_it_count_too() -> None:
    ran = run("import BTrees.OOBTree, perdure.compat; perdure.compat.install()")
    assert "ImportError: ZODB was imported already, from " in ran.stderr


def test_trees_that_were_imported_without_any_zodb_are_noticed() -> None:
    ran = run(
        "import sys; sys.modules['ZODB'] = None\n"
        "import BTrees.OOBTree\n"
        "del sys.modules['ZODB']\n"
        "import perdure.compat; perdure.compat.install()"
    )
    assert "ImportError: BTrees was imported before ZODB's names were installed" in ran.stderr


def test_trees_may_be_imported_first_when_the_names_are_installed_at_startup() -> None:
    ran = run(
        "from perdure.compat import install; install(at_startup=True)\n"
        "import BTrees.OOBTree, BTrees.Interfaces, ZODB.POSException as p\n"
        "print(BTrees.Interfaces.BTreesConflictError is p.BTreesConflictError)\n" + WHICH
    )
    assert (ran.stdout, ran.stderr) == ("True\nTrue True\n", "")


def test_installing_for_startup_loads_nothing_but_the_finder() -> None:
    ran = run(
        "from perdure.compat import install; install(at_startup=True); import sys\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('ZODB', 'persistent', 'BTrees')])"
    )
    assert ran.stdout == "[]\n"


def test_a_script_runs_with_its_arguments_and_finds_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("import ZODB\n")
    script = tmp_path / "script.py"
    script.write_text(f"import sys, neighbour\nprint(sys.argv[1:], __name__)\n{WHICH}\n")
    ran = python("-m", "perdure.compat", str(script), "-x", "1")
    assert ran.stdout == "['-x', '1'] __main__\nTrue True\n", ran.stderr


def test_a_module_runs_with_its_arguments(tmp_path: Path) -> None:
    ran = python("-m", "perdure.compat", "-m", "ZODB.FileStorage.fsdump")
    assert ran.returncode == 1
    assert "usage: fsdump FILE" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m perdure.compat SCRIPT"),
        (["-m"], "usage: python -m perdure.compat SCRIPT"),
        (["-z"], "-z: there is no such option"),
        (["no-such-script.py"], "no-such-script.py: there is no such file"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_installed(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["perdure.compat", *arguments])
    with pytest.raises(SystemExit, match=said):
        main()
    assert not perdure.compat.installed()


def test_help_is_given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["perdure.compat", "--help"])
    main()
    assert "-m MODULE" in capsys.readouterr().out


def test_what_a_program_starts_gets_the_variable(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os; print(os.environ['PERDURE_COMPAT'])")
    assert python("-m", "perdure.compat", str(script)).stdout == "1\n"


def startup(code: str, tmp_path: Path, **variables: str) -> str:
    """Run `code` where Python reads the startup file, as it does beside an installed package."""
    (tmp_path / "perdure-compat.pth").write_text(STARTUP_FILE.read_text())
    ran = run(f"import site; site.addsitedir({str(tmp_path)!r})\n{code}", **variables)
    assert ran.stderr == ""
    return ran.stdout


def test_the_environment_variable_installs_them_at_startup(tmp_path: Path) -> None:
    assert startup(WHICH, tmp_path, PERDURE_COMPAT="1") == "True True\n"


@pytest.mark.parametrize("value", ["", "0"])
def test_without_the_variable_nothing_happens(tmp_path: Path, value: str) -> None:
    code = "import sys; print([m for m in sys.modules if m.startswith('perdure.')])"
    assert startup(code, tmp_path, PERDURE_COMPAT=value) == "[]\n"


def test_this_process_has_the_real_one() -> None:
    assert not perdure.compat.installed()
    spec = find_spec("ZODB")
    assert spec is not None
    assert "/perdure/" not in str(spec.origin)
