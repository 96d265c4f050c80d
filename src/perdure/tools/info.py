"""What a database is, at a glance: its size, its age, what its storage can do."""

from dataclasses import dataclass, fields
from typing import Any

from perdure.capabilities import Capabilities, capabilities_of
from perdure.ids import ZERO
from perdure.interfaces import Storage

__all__ = ["Info", "describe"]


@dataclass(frozen=True, slots=True)
class Info:
    """Facts about a storage; tids are None where it is empty or cannot tell."""

    name: str
    size_bytes: int
    object_count: int
    first_tid: bytes | None
    last_tid: bytes | None
    capabilities: tuple[str, ...]


def describe(storage: Storage) -> Info:
    """Return what can be told about `storage` without reading all of it."""
    capabilities = capabilities_of(storage)
    last = storage.lastTransaction()
    return Info(
        name=storage.getName(),
        size_bytes=storage.getSize(),
        object_count=len(storage),
        first_tid=_first_tid(storage) if capabilities.iteration else None,
        last_tid=None if last == ZERO else last,
        capabilities=_names(capabilities),
    )


def _first_tid(storage: Any) -> bytes | None:
    for transaction in storage.iterator():
        tid: bytes = transaction.tid
        return tid
    return None


def _names(capabilities: Capabilities) -> tuple[str, ...]:
    names = (field.name for field in fields(capabilities))
    return tuple(name.replace("_", " ") for name in names if getattr(capabilities, name))
