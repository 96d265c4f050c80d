"""What a layer makes of a record on its way down, and turns back on its way up.

A transformed record begins with two bytes that say how, the first of them a dot.
No pickle begins with one, so what does not begin with a dot is a plain record:

    .z   zlib                       .s   zstd
    .d   zstd with a dictionary     .e   encrypted

A record from above that begins with a dot itself, because a layer up there
transformed it, is always transformed here, so that it is not mistaken.

Transforms are pure: bytes in, bytes out.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from perdure.errors import TransformError, UnknownMarkerError
from perdure.ids import ZERO

__all__ = ["NO_FACTS", "Facts", "RecordTransform", "is_plain", "unknown_marker", "written_by_layer"]

_OF_LAYERS: Final = {
    b".z": "it was compressed: have a compressing layer below this one",
    b".s": "it was compressed: have a compressing layer below this one",
    b".d": "it was compressed: have a compressing layer below this one",
    b".e": "it was encrypted: have an encrypting layer below this one",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a record can carry besides its bytes.

    `source` is the tid of the revision that it repeats, after an undo, else `ZERO`;
    `blob` names the file of its blob, b"" if it has none.
    """

    source: bytes = ZERO
    blob: bytes = b""


NO_FACTS: Final = Facts()


class RecordTransform(Protocol):
    """One way to transform records.

    Where the oid is not known, `untransform` gets None; the tid is None where it is not
    known, or where the record has none yet.
    """

    @property
    def name(self) -> str:
        """What people call it: "zstd"."""

    @property
    def binds(self) -> bool:
        """Whether records are bound to their oid and tid."""

    @property
    def carries(self) -> bool:
        """Whether records carry the facts that they are given."""

    def transform(self, oid: bytes | None, data: bytes, facts: Facts = NO_FACTS) -> bytes:
        """Return a record as it is to be stored.

        Raises `Unsupported` if the oid is needed and not known.
        """

    def untransform(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> bytes:
        """Return a stored record as it was; raises a `TransformError`."""

    def bind(self, oid: bytes, tid: bytes, stored: bytes) -> bytes:
        """Return a transformed record as one that belongs to this oid and tid, and no other."""

    def facts(self, stored: bytes) -> Facts:
        """Return what a stored record carries; only to be trusted after `untransform`."""


def is_plain(stored: bytes) -> bool:
    """Return whether a record was not transformed by any layer."""
    return stored[:1] != b"."


def written_by_layer(stored: bytes) -> str:
    """Return what to say of a record that cannot be read because a layer transformed it."""
    return (
        f"it begins with {stored[:2]!r}, as a layer writes it that compresses or encrypts; "
        "open the database through that layer"
    )


def unknown_marker(oid: bytes | None, tid: bytes | None, stored: bytes) -> TransformError:
    """Return the error for a record whose marker the layer at hand does not know."""
    marker = stored[:2]
    advice = _OF_LAYERS.get(marker, "it is damaged, or was written by a newer version")
    return UnknownMarkerError(oid, tid, marker, advice)
