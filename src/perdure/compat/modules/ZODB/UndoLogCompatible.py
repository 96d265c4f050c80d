"""`ZODB.UndoLogCompatible`: `undoInfo` for storages that have `undoLog`."""

from collections.abc import Mapping
from typing import Any

from perdure.storages.undolog import having

__all__ = ["UndoLogCompatible"]


class UndoLogCompatible:
    """Derives `undoInfo` from the `undoLog` of the class that inherits it."""

    def undoInfo(
        self, first: int = 0, last: int = -20, specification: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what `undoLog` returns of those that have all items of `specification`."""
        owner: Any = self
        return owner.undoLog(first, last, having(specification))
