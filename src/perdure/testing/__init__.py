"""Help for tests: databases to change and throw away, storages' promises, disks that crash.

layers    a database over prepared data, whose changes are discarded
building  prepared data in a file, built once for all processes of a test run
plugin    both as pytest fixtures
contract  what storages promise, as pytest classes
faults    disks that crash and calls that fail
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.testing.building import build_file
    from perdure.testing.layers import Layer, layer
    from perdure.testing.leftovers import LeftBehindWarning

__all__ = ["Layer", "LeftBehindWarning", "build_file", "layer"]

_WHERE = {
    "Layer": "perdure.testing.layers",
    "LeftBehindWarning": "perdure.testing.leftovers",
    "build_file": "perdure.testing.building",
    "layer": "perdure.testing.layers",
}

if not TYPE_CHECKING:  # a type checker shall notice names that are not there

    def __getattr__(name: str) -> Any:
        # pytest loads the plugin in every run, also where no test uses a database.
        if name not in _WHERE:
            raise AttributeError(f"module 'perdure.testing' has no attribute {name!r}")
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
