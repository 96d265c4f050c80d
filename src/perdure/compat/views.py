"""How the views of ZODB's private names are put on Perdure's classes."""

import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["renamed", "show"]


def show(cls: type, name: str, view: Any) -> None:
    """Give `cls` a name of ZODB's, a property or a method. It must not have it already."""
    if name in vars(cls):
        raise AttributeError(f"{cls.__name__}.{name} is Perdure's own, and cannot be a view")
    setattr(cls, name, view)


def renamed(cls: type, old: str, new: str, get: Callable[[Any], Any]) -> property:
    """Return a property for an internal name of ZODB, which warns and names what to use."""

    def view(self: Any) -> Any:
        warnings.warn(
            f"{cls.__name__}.{old} is an internal name of ZODB; use {new}",
            DeprecationWarning,
            stacklevel=2,
        )
        return get(self)

    return property(view)
