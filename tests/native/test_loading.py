"""Native code is used where it is built, and can be switched off; both can be seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import native
from perdure.native.loading import SWITCH

SOURCES = Path(native.__file__).parent

SAY = (
    "import json; from perdure import native; print(json.dumps([native.native_problems(),"
    " [name for name in native.native_problems() if getattr(native, name)]]))"
)


def said_with(value: str | None) -> tuple[dict[str, str | None], list[str]]:
    environment = {name: text for name, text in os.environ.items() if name != SWITCH}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    if value is not None:
        environment[SWITCH] = value
    done = subprocess.run(
        [sys.executable, "-c", SAY], env=environment, capture_output=True, check=True, timeout=60
    )
    problems, used = json.loads(done.stdout)
    return problems, used


def test_native_code_can_be_switched_off() -> None:
    problems, used = said_with("0")
    assert used == []
    assert set(problems.values()) == {"switched off by PERDURE_NATIVE=0"}


@pytest.mark.parametrize("value", [None, "", "1"])
def test_native_code_is_used_where_it_is_built(value: str | None) -> None:
    problems, used = said_with(value)
    assert used == [name for name, why in problems.items() if why is None]
    for name, why in problems.items():
        assert why in (None, "not built"), name


def test_every_extension_module_has_a_stub_and_is_asked_for() -> None:
    for source in SOURCES.glob("_[a-z]*.c"):
        assert source.with_suffix(".pyi").exists()
        assert source.stem.removeprefix("_") in native.native_problems()
