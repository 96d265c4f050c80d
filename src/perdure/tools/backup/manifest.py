"""What is known of one backup: a JSON file beside its data, which checks itself.

    number        of the backup; they only grow
    follows       the number of the backup that it adds to; null for a full one
    reason        why it is a full one: "first", "requested", "changed", "blobs" (they are backed
                  up from now on, or no more), "damaged"; else ""
    source        the path of the data file
    made          when the backup was made, ISO 8601, in UTC
    data          the name of the file with the data; `compression` "gzip" or "none"
    start, end    which bytes of the data file it holds
    sha256        of these bytes
    last_tid      the newest transaction in them; null if there is none
    edge_sha256   of the first and the last bytes of the data file up to `end`
    blobs         null, or their layout and a list of [oid, tid, size, SHA-256]
    checksum      SHA-256 of all of this without the checksum, as JSON with sorted keys

Nothing here reads or writes a file.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perdure.errors import BackupError
from perdure.ids import oid_repr, parse_oid, tid_repr

__all__ = [
    "ADVICE",
    "BLOBS",
    "CHANGED",
    "DAMAGED",
    "FIRST",
    "REQUESTED",
    "BackedUpBlob",
    "Manifest",
]

FIRST: Final = "first"
REQUESTED: Final = "requested"
CHANGED: Final = "changed"
BLOBS: Final = "blobs"
DAMAGED: Final = "damaged"

ADVICE: Final = "restore an earlier moment (--at), or bring this file back"
"""What to do about a file of a backup that is damaged or missing."""

_FORMAT: Final = "perdure backup 1"


@dataclass(frozen=True, slots=True)
class BackedUpBlob:
    """One revision of a blob; its bytes are found by their SHA-256."""

    oid: bytes
    tid: bytes
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup, full or an addition to an earlier one; see the head of this module.

    `blobs` are those that the earlier ones of the chain do not have;
    `blob_layout` is None where blobs are not backed up.
    """

    number: int
    follows: int | None
    reason: str
    source: str
    made: str
    data: str
    compressed: bool
    start: int
    end: int
    sha256: str
    last_tid: bytes | None
    edge_sha256: str
    blob_layout: str | None = None
    blobs: tuple[BackedUpBlob, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether it stands for itself."""
        return self.follows is None

    def pack(self) -> bytes:
        """Return the bytes of the manifest's file."""
        facts: dict[str, Any] = {
            "format": _FORMAT,
            "number": self.number,
            "follows": self.follows,
            "reason": self.reason,
            "source": self.source,
            "made": self.made,
            "data": self.data,
            "compression": "gzip" if self.compressed else "none",
            "start": self.start,
            "end": self.end,
            "sha256": self.sha256,
            "last_tid": None if self.last_tid is None else tid_repr(self.last_tid),
            "edge_sha256": self.edge_sha256,
            "blobs": self._packed_blobs(),
        }
        return json.dumps({**facts, "checksum": _checksum(facts)}, indent=1).encode() + b"\n"

    def _packed_blobs(self) -> dict[str, Any] | None:
        if self.blob_layout is None:
            return None
        files = [
            [oid_repr(blob.oid), tid_repr(blob.tid), blob.size_bytes, blob.sha256]
            for blob in self.blobs
        ]
        return {"layout": self.blob_layout, "files": files}

    @classmethod
    def unpack(cls, data: bytes, path: Path) -> "Manifest":
        """Return the manifest in `data`, the content of the file at `path`.

        Raises `BackupError` if it is not one, or is damaged.
        """
        try:
            facts = json.loads(data)
            found = facts.pop("format")
            checksum = facts.pop("checksum")
            intact = checksum == _checksum({"format": found, **facts})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BackupError(path, "no manifest", "that of a backup", ADVICE) from None
        if not intact:
            expected = "those that match its checksum"
            raise BackupError(path, "a manifest with changed bytes", expected, ADVICE)
        if found != _FORMAT:
            advice = "it is of another version"
            raise BackupError(path, f"format {found!r}", repr(_FORMAT), advice)
        compression, blobs = facts.pop("compression"), facts.pop("blobs")
        last_tid = facts.pop("last_tid")
        return cls(
            **facts,
            compressed=compression == "gzip",
            last_tid=None if last_tid is None else parse_oid(last_tid),
            blob_layout=None if blobs is None else blobs["layout"],
            blobs=() if blobs is None else tuple(map(_blob, blobs["files"])),
        )


def _blob(packed: list[Any]) -> BackedUpBlob:
    oid, tid, size_bytes, sha256 = packed
    return BackedUpBlob(parse_oid(oid), parse_oid(tid), size_bytes, sha256)


def _checksum(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
