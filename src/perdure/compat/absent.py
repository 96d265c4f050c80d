"""Names that a module called `ZODB.…` does not have: renamed ones, and ones that are no more."""

import opcode
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any, Final

from perdure.compat.differences import DIFFERENCES, advice_on

__all__ = ["RENAMED", "attributes_of"]

RENAMED: Final[dict[str, str]] = {
    "ZODB.Connection.TmpStore": "perdure.objects.savepoint.SavepointStore",
    "ZODB.DB.ConnectionPool": "perdure.objects.pool.ConnectionPool",
    "ZODB.mvccadapter.MVCCAdapter": "perdure.mvcc.Snapshots",
}
"""Internal names of ZODB that other packages use, and what they lead to, with a warning."""


def attributes_of(module: ModuleType) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: for names that it does not have."""

    def find(name: str) -> Any:
        dotted = f"{module.__name__}.{name}"
        if dotted in RENAMED:
            home, _, attribute = RENAMED[dotted].rpartition(".")
            text = f"{dotted} is an internal name of ZODB; use {RENAMED[dotted]}"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return getattr(import_module(home), attribute)
        text = f"there is no {dotted} in Perdure, which stands in for ZODB here"
        if any(difference.covers(dotted) for difference in DIFFERENCES):
            text += f"; {advice_on(dotted)}"
        # For `from … import …`, Python would put its own text in the place of ours.
        if _is_import(sys._getframe(1)):
            raise ImportError(text, name=module.__name__, path=module.__file__)
        raise AttributeError(text, name=name, obj=module)

    return find


def _is_import(frame: FrameType) -> bool:
    """Return whether a frame is about to take a name from a module that it imports."""
    code = frame.f_code.co_code
    return 0 <= frame.f_lasti < len(code) and code[frame.f_lasti] == opcode.opmap["IMPORT_FROM"]
