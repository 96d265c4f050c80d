"""The face of a package whose parts are loaded when they are first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["loading"]


def loading(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `package`, which loads names from the modules in `where`."""

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(where[name]), name)
        setattr(sys.modules[package], name, value)  # found without asking the next time
        return value

    return load
