"""What a storage did to the disk, as values, in the order in which it was done.

A file is known by a number: names come and go. Paths are relative to the
recorded directory, "" is that directory itself.
"""

from dataclasses import dataclass
from posixpath import dirname

__all__ = [
    "Created",
    "Linked",
    "MadeDirectory",
    "Mark",
    "NameOperation",
    "Operation",
    "RemovedDirectory",
    "Renamed",
    "SyncFailed",
    "Synced",
    "SyncedDirectory",
    "Truncated",
    "Unlinked",
    "Wrote",
]


@dataclass(frozen=True, slots=True)
class Wrote:
    """`data` were written to a file from `position` on."""

    file: int
    position: int
    data: bytes

    def __str__(self) -> str:
        return f"write {len(self.data)} bytes at {self.position} of file {self.file}"


@dataclass(frozen=True, slots=True)
class Truncated:
    """A file was given this size."""

    file: int
    size: int

    def __str__(self) -> str:
        return f"truncate file {self.file} to {self.size} bytes"


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to the file before this is durable."""

    file: int

    def __str__(self) -> str:
        return f"sync file {self.file}"


@dataclass(frozen=True, slots=True)
class SyncFailed:
    """A sync that failed: what it should have made durable may get lost in spite of later ones."""

    file: int

    def __str__(self) -> str:
        return f"sync of file {self.file} that failed"


@dataclass(frozen=True, slots=True)
class Created:
    """A new file came into being at `path`."""

    path: str
    file: int

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.path),))

    def __str__(self) -> str:
        return f"create {self.path} as file {self.file}"


@dataclass(frozen=True, slots=True)
class Linked:
    """A file got another name."""

    file: int
    target: str

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.target),))

    def __str__(self) -> str:
        return f"link file {self.file} as {self.target}"


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file has the name `target` instead of `source`, in place of what had that name."""

    file: int
    source: str
    target: str

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.source), dirname(self.target)))

    def __str__(self) -> str:
        return f"rename {self.source} to {self.target}"


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A name was removed."""

    path: str

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.path),))

    def __str__(self) -> str:
        return f"unlink {self.path}"


@dataclass(frozen=True, slots=True)
class MadeDirectory:
    path: str

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.path),))

    def __str__(self) -> str:
        return f"make directory {self.path}"


@dataclass(frozen=True, slots=True)
class RemovedDirectory:
    path: str

    @property
    def directories(self) -> frozenset[str]:
        return frozenset((dirname(self.path),))

    def __str__(self) -> str:
        return f"remove directory {self.path}"


@dataclass(frozen=True, slots=True)
class SyncedDirectory:
    """What was done to the names in this directory before this is durable."""

    path: str

    def __str__(self) -> str:
        return f"sync directory {self.path or '.'}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that the test wants to know about a crash: what had happened before it."""

    value: object

    def __str__(self) -> str:
        return f"mark {self.value!r}"


NameOperation = Created | Linked | Renamed | Unlinked | MadeDirectory | RemovedDirectory
"""What changes names; each has the `directories` that it changes."""

Operation = NameOperation | Wrote | Truncated | Synced | SyncFailed | SyncedDirectory | Mark
