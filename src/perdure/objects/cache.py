"""The object cache of a connection, and what can be said about the caches of a database."""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from persistent import PickleCache

from perdure.errors import dotted_name

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = [
    "cache_detail",
    "cache_generation",
    "debug_info",
    "extreme_detail",
    "forget_new",
    "new_cache",
    "resetCaches",
    "sizes",
]

_generation = 0


def resetCaches() -> None:
    """Have every connection start with an empty cache when it is opened next.

    For when code was reloaded, so that no object keeps an old class.
    """
    global _generation
    _generation += 1


def cache_generation() -> int:
    """Return how often caches were reset: a cache of an earlier generation is not used again."""
    return _generation


def new_cache(jar: "Connection", size: int, size_bytes: int) -> Any:
    """Return an empty cache that aims at `size` objects and, if not 0, at `size_bytes`."""
    return PickleCache(jar, size, size_bytes)


def forget_new(cache: Any, obj: Any) -> None:
    """Make a new object one that was never added: no oid, no connection, still its state."""
    oid = obj._p_oid
    if oid is not None and cache.get(oid) is obj:
        del cache[oid]
    if obj._p_changed:
        obj._p_changed = False
    del obj._p_jar
    del obj._p_oid


def cache_detail(connections: Iterable["Connection"]) -> list[tuple[str, int]]:
    """Return (class, number of objects in all caches), by class."""
    found: Counter[str] = Counter()
    for connection in connections:
        found.update(dotted_name(type(obj)) for _oid, obj in connection._cache.items())
    return sorted(found.items())


def extreme_detail(connections: Iterable["Connection"]) -> list[dict[str, Any]]:
    """Return one mapping for each cached object; slow, for debugging.

    `conn_no` counts connections from 1, `oid`, `klass`, `id` (from the state, if
    it has one) name the object, `rc` and `references` are its reference count
    and the number of objects it refers to, `state` its `_p_changed` (None: ghost).
    """
    rows = []
    for number, connection in enumerate(connections, 1):
        for oid, obj in connection._cache.items():
            ghost = obj._p_changed is None
            rows.append(
                {
                    "conn_no": number,
                    "oid": oid,
                    "id": "" if ghost else str(getattr(obj, "__dict__", {}).get("id", "")),
                    "klass": dotted_name(type(obj)),
                    # Less what this function itself holds.
                    "rc": sys.getrefcount(obj) - 3,
                    "references": len(gc.get_referents(obj)),
                    "state": obj._p_changed,
                }
            )
    return rows


def sizes(connections: Iterable["Connection"]) -> list[dict[str, Any]]:
    """Return, for each connection, its name and how many objects its cache holds.

    `ngsize` counts those that have their state, `size` ghosts as well.
    """
    return [
        {
            "connection": repr(connection),
            "ngsize": connection._cache.cache_non_ghost_count,
            "size": len(connection._cache),
        }
        for connection in connections
    ]


def debug_info(connections: Iterable["Connection"]) -> list[dict[str, Any]]:
    """Return, for each connection, `opened` (text or None), `info` and `before`."""
    now = time.time()
    rows = []
    for connection in connections:
        opened = connection.opened
        rows.append(
            {
                "opened": None if opened is None else f"{time.ctime(opened)} ({now - opened:.2f}s)",
                "info": " ".join(str(item) for item in connection.getDebugInfo()),
                "before": connection.before,
            }
        )
    return rows
