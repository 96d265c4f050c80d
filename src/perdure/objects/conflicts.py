"""Conflicts of one connection: counted, and told with the class of the object."""

from typing import Any

from perdure.errors import ConflictError, dotted_name
from perdure.objects.metrics import Counters

__all__ = ["Conflicts"]


class Conflicts:
    """What a storage says of a conflict, and what `cache` knows of the object."""

    def __init__(self, cache: Any, counters: Counters) -> None:
        self.cache = cache
        self._counters = counters

    def explained(self, error: ConflictError) -> ConflictError:
        """Return the error, with the class of its object where that is known; count it."""
        self._counters.conflicts += 1
        if error.class_name is None and error.oid is not None:
            obj = self.cache.get(error.oid)
            if obj is not None:
                error.class_name = dotted_name(type(obj))
        return error
