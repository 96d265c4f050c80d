"""Which extension modules are in use: those that are built, unless they are switched off.

Each attribute is the module, or None. A type checker takes it for the module, whose
functions the stub beside its C file describes; so ask for its truth, not for None:
`native.scanner.references if native.scanner else pure_references`.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

__all__ = [
    "SWITCH",
    "courtesy",
    "decoder",
    "encoder",
    "filescan",
    "jar",
    "native_problems",
    "pages",
    "planning",
    "reads",
    "relying",
    "scanner",
    "storing",
    "view",
]

SWITCH: Final = "PERDURE_NATIVE"
"""The environment variable that, being 0 when Perdure is imported, switches native code off."""

_SWITCHED_OFF: Final = os.environ.get(SWITCH) == "0"
_NAMES: Final = (
    "courtesy",
    "scanner",
    "filescan",
    "decoder",
    "encoder",
    "pages",
    "reads",
    "view",
    "jar",
    "planning",
    "relying",
    "storing",
)

_problems: dict[str, str | None] = {}


def _load(name: str) -> ModuleType | None:
    if _SWITCHED_OFF:
        _problems[name] = f"switched off by {SWITCH}=0"
        return None
    module = f"perdure.native._{name}"
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        _problems[name] = "not built"
    except ImportError as error:
        # Built for another Python, say. All works without it, and who asks is told.
        _problems[name] = f"cannot be loaded: {error}"
    else:
        _problems[name] = None
        return loaded
    return None


if TYPE_CHECKING:
    from perdure.native import _courtesy as courtesy
    from perdure.native import _decoder as decoder
    from perdure.native import _encoder as encoder
    from perdure.native import _filescan as filescan
    from perdure.native import _jar as jar
    from perdure.native import _pages as pages
    from perdure.native import _planning as planning
    from perdure.native import _reads as reads
    from perdure.native import _relying as relying
    from perdure.native import _scanner as scanner
    from perdure.native import _storing as storing
    from perdure.native import _view as view
else:
    (
        courtesy,
        scanner,
        filescan,
        decoder,
        encoder,
        pages,
        reads,
        view,
        jar,
        planning,
        relying,
        storing,
    ) = map(_load, _NAMES)


def native_problems() -> dict[str, str | None]:
    """Return by name why an extension module is not in use, None for each that is."""
    return dict(_problems)
