"""What a check can find, as values: each says where, what is wrong, and what follows from it.

A finding with `damage` means that something was lost or may be read wrongly; one
without is worth knowing and nothing more.
"""

from dataclasses import dataclass
from typing import ClassVar

from perdure.ids import oid_repr, tid_repr

__all__ = [
    "DamagedTransaction",
    "Finding",
    "MissingBlob",
    "MissingObject",
    "OrphanBlob",
    "TornEnd",
    "UnfinishedEnd",
    "UnreadableRecord",
    "WrongChecksum",
    "WrongIndex",
    "WrongOrder",
    "WrongPointer",
    "missing_object",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something at `position`, in bytes from the start of the file; None outside a file.

    `oid` is the object that it is about, None where it is about no single one.
    `found` and `expected` say what is wrong, `consequence` what follows from it.
    """

    position: int | None
    found: str
    expected: str
    oid: bytes | None = None

    damage: ClassVar[bool] = True
    consequence: ClassVar[str] = ""

    def __str__(self) -> str:
        where = [] if self.position is None else [f"byte {self.position}"]
        where += [] if self.oid is None else [f"oid {oid_repr(self.oid)}"]
        what = f"found {self.found}, expected {self.expected}; {self.consequence}"
        return f"{', '.join(where)}: {what}" if where else what


@dataclass(frozen=True, slots=True)
class DamagedTransaction(Finding):
    """Lengths, status or records of a transaction do not fit together.

    Looked at is what comes from `resumed_at` on; None if there is nothing more.
    """

    resumed_at: int | None = None

    consequence: ClassVar[str] = (
        "its records may be lost, and no index can be rebuilt across it; recover what is left "
        "into a new file"
    )


@dataclass(frozen=True, slots=True)
class WrongChecksum(Finding):
    """The bytes of a transaction are not those that were written."""

    consequence: ClassVar[str] = "what is in this transaction cannot be trusted"


@dataclass(frozen=True, slots=True)
class WrongOrder(Finding):
    """A transaction's tid is not later than that of the one before, or its records have others."""

    consequence: ClassVar[str] = "the past is shown wrongly"


@dataclass(frozen=True, slots=True)
class WrongPointer(Finding):
    """A record points to where there is no record of its object, or not the one before it."""

    consequence: ClassVar[str] = "what it points to cannot be read from here"


@dataclass(frozen=True, slots=True)
class UnreadableRecord(Finding):
    """The pickles of a current record cannot be read."""

    consequence: ClassVar[str] = "the object cannot be loaded"


@dataclass(frozen=True, slots=True)
class MissingObject(Finding):
    """A current record refers to the object `missing`, which does not exist."""

    missing: bytes = b""

    consequence: ClassVar[str] = "following the reference raises POSKeyError"


@dataclass(frozen=True, slots=True)
class MissingBlob(Finding):
    """A revision of a blob, by the transaction `tid`, has no file."""

    tid: bytes = b""

    consequence: ClassVar[str] = "the blob cannot be opened"

    def __str__(self) -> str:
        return f"{Finding.__str__(self)} (transaction {tid_repr(self.tid)})"


@dataclass(frozen=True, slots=True)
class TornEnd(Finding):
    """The last transactions are not whole: torn by a crash, or damaged, or cut off."""

    consequence: ClassVar[str] = (
        "the file is read up to here; opening it for writing sets the rest aside in a file"
    )


@dataclass(frozen=True, slots=True)
class UnfinishedEnd(Finding):
    """A transaction at the end that its writer has not finished, or never will."""

    damage: ClassVar[bool] = False
    consequence: ClassVar[str] = "it does not count, and nothing of it can be read"


@dataclass(frozen=True, slots=True)
class WrongIndex(Finding):
    """The saved index, which opening would use, says otherwise than the file."""

    consequence: ClassVar[str] = (
        "opened with it, the storage shows the wrong records; remove the index file, so that "
        "opening makes it anew"
    )


@dataclass(frozen=True, slots=True)
class OrphanBlob(Finding):
    """A file of a blob, by the transaction `tid`, of which there is no record."""

    tid: bytes = b""

    damage: ClassVar[bool] = False
    consequence: ClassVar[str] = "it takes room and nothing else; the next pack removes it"


def missing_object(position: int | None, oid: bytes, target: bytes) -> MissingObject:
    """Return what to say of a record of `oid` that refers to `target`, which is not there."""
    found = f"a reference to oid {oid_repr(target)}"
    return MissingObject(position, found, "one to an object that exists", oid, target)
