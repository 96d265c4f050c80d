"""What a database is, at a glance: its size, its age, what its storage can do."""

from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import google_crc32c
import persistent
from BTrees.OOBTree import OOBTree, OOBTreePy
from persistent.persistence import PersistentPy

from perdure import native
from perdure.capabilities import Capabilities, capabilities_of
from perdure.ids import ZERO
from perdure.storages import FileStorage
from perdure.tools.filestate import FileState, file_state
from perdure.tools.progress import Progress

__all__ = ["Info", "describe"]


@dataclass(frozen=True, slots=True)
class Info:
    """Facts about a storage; what it cannot tell, or was not asked for, is None.

    `file` is about a data file. `native` says of the parts that there are in C and
    in Python, by name, whether the one in C is used; `native_problems` why one of
    Perdure's own is not.
    """

    name: str
    size_bytes: int
    object_count: int
    first_tid: bytes | None
    last_tid: bytes | None
    transaction_count: int | None
    file: FileState | None
    capabilities: tuple[str, ...]
    native: dict[str, bool]
    native_problems: dict[str, str]


def describe(storage: Any, *, quick: bool = False, progress: Progress | None = None) -> Info:
    """Return what can be told about `storage` without reading its records.

    With `quick`, its transactions are not counted either. `progress` counts bytes.
    """
    capabilities = capabilities_of(storage)
    last = storage.lastTransaction()
    file = None
    if isinstance(storage, FileStorage) and not quick:
        file = file_state(Path(storage.getName()), storage.getSize(), progress)
    return Info(
        name=storage.getName(),
        size_bytes=_size_bytes(storage),
        object_count=len(storage),
        first_tid=_first_tid(storage) if capabilities.iteration else None,
        last_tid=None if last == ZERO else last,
        transaction_count=_count(storage, file) if capabilities.iteration and not quick else None,
        file=file,
        capabilities=_names(capabilities),
        native=_native(),
        native_problems={name: why for name, why in native.native_problems().items() if why},
    )


def _size_bytes(storage: Any) -> int:
    size: int = storage.getSize()
    if isinstance(storage, FileStorage):
        # To the storage, a file of no bytes is as good as one that has its magic already.
        with suppress(FileNotFoundError):
            return min(size, Path(storage.getName()).stat().st_size)
    return size


def _first_tid(storage: Any) -> bytes | None:
    for transaction in storage.iterator():
        tid: bytes = transaction.tid
        return tid
    return None


def _count(storage: Any, file: FileState | None) -> int:
    return sum(1 for _ in storage.iterator()) if file is None else file.transaction_count


def _names(capabilities: Capabilities) -> tuple[str, ...]:
    names = (field.name for field in fields(capabilities))
    return tuple(name.replace("_", " ") for name in names if getattr(capabilities, name))


def _native() -> dict[str, bool]:
    return {
        "BTrees": OOBTree is not OOBTreePy,
        "persistent": persistent.Persistent is not PersistentPy,
        "checksums": google_crc32c.implementation == "c",
        **{name: why is None for name, why in native.native_problems().items()},
    }
