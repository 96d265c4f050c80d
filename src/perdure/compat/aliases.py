"""The finder that makes `import ZODB` lead to Perdure, and what stands in its way.

It comes before every other finder, so an installed ZODB is never looked at. The
modules are files of an ordinary package, in a directory that no path names; they
are loaded as `ZODB.…`, once, and need nothing special for `python -m`, for their
data files or for pickles. This module imports the standard library only: a
`.pth` file may load it whenever Python starts.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final

from perdure.compat.absent import attributes_of
from perdure.compat.differences import advice_on

__all__ = ["install", "installed"]

_NAME: Final = "ZODB"
_MODULES: Final = Path(__file__).with_name("modules")


class _Loader(SourceFileLoader):
    """Loads a module, and has it say what to use instead of the names that it lacks."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module).setdefault("__getattr__", attributes_of(module))


class _Finder:
    """Finds `ZODB` and what is below it among Perdure's modules, and nowhere else."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        spec = PathFinder.find_spec(fullname, [str(_MODULES)] if fullname == _NAME else path)
        if spec is None or spec.origin is None:
            # Not a ModuleNotFoundError: `from ZODB import x` would hide what it says.
            raise ImportError(
                f"there is no {fullname} in Perdure, which stands in for ZODB here; "
                f"{advice_on(fullname)}",
                name=fullname,
            )
        spec.loader = _Loader(fullname, spec.origin)
        return spec


_FINDER: Final = _Finder()


def install(*, at_startup: bool = False) -> None:
    """Make `ZODB` and its modules lead to Perdure in this process. Harmless when done twice.

    Call it before anything imports `ZODB`, or `BTrees`, which imports it. With
    `at_startup` nothing is loaded before somebody imports `ZODB`; otherwise all that
    belongs to the names is ready when this returns.

    Raises `ImportError` if the real ZODB was imported before: its classes are in use,
    and a program that has two of each would not recognise its own errors.
    """
    if not installed():
        _refuse_real()
        sys.meta_path.insert(0, _FINDER)
    if not at_startup:
        import_module("ZODB.DB")
        import_module("ZODB.FileStorage")
        _refuse_early_trees()


def installed() -> bool:
    """Return whether `ZODB` leads to Perdure in this process."""
    return _FINDER in sys.meta_path


def _refuse_real() -> None:
    real = sys.modules.get(_NAME)
    if real is not None:
        where = getattr(real, "__file__", None) or "an unknown place"
        raise ImportError(
            f"ZODB was imported already, from {where}; call perdure.compat.install() before "
            "anything imports ZODB or BTrees, or run the program with "
            "`python -m perdure.compat`",
            name=_NAME,
            path=where,
        )


def _refuse_early_trees() -> None:
    trees, errors = sys.modules.get("BTrees.Interfaces"), import_module("ZODB.POSException")
    if trees is not None and trees.BTreesConflictError is not errors.BTreesConflictError:
        raise ImportError(
            "BTrees was imported before ZODB's names were installed, and has an exception "
            "class of its own for conflicts; call perdure.compat.install() first",
            name="BTrees",
        )
