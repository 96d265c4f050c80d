"""Objects whose class is gone once they are stored."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from persistent import Persistent

__all__ = ["MODULE", "vanishing_class"]

MODULE = "samples_that_vanished"


@contextmanager
def vanishing_class(name: str, *bases: type) -> Iterator[type]:
    """Yield a class of the module `MODULE`, which cannot be imported afterwards."""
    module = ModuleType(MODULE)
    made = type(name, bases or (Persistent,), {"__module__": MODULE})
    setattr(module, name, made)
    sys.modules[MODULE] = module
    try:
        yield made
    finally:
        del sys.modules[MODULE]
