"""The build of Perdure's extension modules, and of its startup file; all else is in pyproject.toml.

Every C file in src/perdure/native/ that has a name beginning with one underscore is
an extension module. None is needed: where one cannot be built, the installation goes
on without it, and `perdure info` says so.

They keep to the limited API of Python 3.11, which serves all later versions and costs
most of them nothing, unless FULL_API names them; see docs/design/0021. As long as it
names one, a wheel is for one version of Python.
"""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

NATIVE = Path("src/perdure/native")
FULL_API = {"_decoder"}
"""Names of the modules that need what the limited API does not offer."""

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))  # has no limited API
LIMITED_API = "0x030B0000"
FLAGS = (
    []
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-Wall", "-Wextra", "-Winit-self", "-Wshadow"]
)


AT_STARTUP = "perdure-compat.pth"
"""Looks for PERDURE_COMPAT whenever Python starts; see docs/howto/migrating.rst."""


class BuildWithStartupFile(build_py):
    """Puts the file that Python reads when it starts beside the package."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(f"src/{AT_STARTUP}", str(Path(self.build_lib, AT_STARTUP)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, str(Path(self.build_lib, AT_STARTUP))]


def include_dirs() -> list[str]:
    """Return where <persistent/cPersistence.h> is found: its wheel brings it along."""
    persistent = find_spec("persistent")
    places = persistent.submodule_search_locations if persistent else None
    return [str(Path(place).parent) for place in places or ()]


def extension(source: Path) -> Extension:
    """Return the extension module that is made from one C file and the headers beside it."""
    limited = source.stem not in FULL_API and not FREE_THREADED
    return Extension(
        f"perdure.native.{source.stem}",
        [source.as_posix()],
        depends=[header.as_posix() for header in sorted(NATIVE.glob("*.h"))],
        include_dirs=include_dirs(),
        define_macros=[("Py_LIMITED_API", LIMITED_API)] if limited else [],
        extra_compile_args=FLAGS,
        optional=True,
        py_limited_api=limited,
    )


SOURCES = sorted(NATIVE.glob("_[a-z]*.c"))
ONE_FOR_ALL = not FREE_THREADED and not FULL_API.intersection(source.stem for source in SOURCES)

setup(
    cmdclass={"build_py": BuildWithStartupFile},
    ext_modules=[extension(source) for source in SOURCES],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if SOURCES and ONE_FOR_ALL else {},
)
