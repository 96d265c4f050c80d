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


# Has the C code of persistent say that its objects are larger than they are.
ENLARGE = """
import ctypes
from persistent import Persistent, cPersistence

class Larger(Persistent):
    __slots__ = ("more",)

table_of = ctypes.pythonapi.PyCapsule_GetPointer
table_of.restype, table_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
table = table_of(cPersistence.CAPI, b"persistent.cPersistence.CAPI")
ctypes.c_void_p.from_address(table).value = id(Larger)
"""

OF_OBJECTS = {"encoder", "jar", "relying", "storing"}
"""The modules that look into persistent objects."""


def said_with(
    value: str | None, before: str = "", **more: str
) -> tuple[dict[str, str | None], list[str]]:
    environment = {name: text for name, text in os.environ.items() if name != SWITCH} | more
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    if value is not None:
        environment[SWITCH] = value
    done = subprocess.run(
        [sys.executable, "-c", before + SAY],
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
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


@pytest.mark.parametrize(
    ("before", "more", "why"),
    [
        ("", {"PURE_PYTHON": "1"}, "persistent does not use its C code"),
        (ENLARGE, {}, "objects of this persistent have another layout"),
    ],
)
def test_without_the_persistent_it_was_built_for_native_code_leaves_objects_alone(
    before: str, more: dict[str, str], why: str
) -> None:
    built = {name for name, problem in said_with(None)[0].items() if problem is None}
    problems, used = said_with(None, before, **more)
    assert set(used) == built - OF_OBJECTS
    for name in built & OF_OBJECTS:
        assert problems[name] == f"cannot be loaded: {why}"


def test_every_extension_module_has_a_stub_and_is_asked_for() -> None:
    for source in SOURCES.glob("_[a-z]*.c"):
        assert source.with_suffix(".pyi").exists()
        assert source.stem.removeprefix("_") in native.native_problems()
