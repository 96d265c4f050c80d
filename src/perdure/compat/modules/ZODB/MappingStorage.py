"""`ZODB.MappingStorage`: the storage in memory."""

from typing import Any

import perdure.opening
from perdure.storages.memory import MappingStorage

__all__ = ["DB", "MappingStorage"]


def DB(*args: Any, **kw: Any) -> perdure.opening.DB:
    """Return a database over a new storage in memory; the arguments are those of `DB`."""
    return perdure.opening.DB(MappingStorage(), *args, **kw)
