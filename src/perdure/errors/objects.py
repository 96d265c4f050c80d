"""Errors of a connection: objects that cannot be loaded, stored or referred to, blobs included."""

import pickle
from collections.abc import Sequence

from perdure.errors.root import POSError
from perdure.ids import oid_repr


class ConnectionStateError(POSError):
    """A connection is closed, in use elsewhere, or cannot do this in its present state."""


class ReadOnlyHistoryError(POSError):
    """A write through a connection that shows the past."""


class StateLoadError(POSError):
    """A record was read but its state cannot be given to the object.

    `oid` and `class_name` name the object and `reason` says what failed; each is
    None where it is unknown. The error that was met is its `__cause__`.
    """

    def __init__(
        self,
        oid: bytes | None = None,
        class_name: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(oid, class_name, reason)
        self.oid = oid
        self.class_name = class_name
        self.reason = reason

    def __str__(self) -> str:
        which = f"oid {oid_repr(self.oid)}" if self.oid is not None else "a record"
        if self.class_name is not None:
            which += f" (class {self.class_name})"
        return f"cannot load {which}: {self.reason or 'its state was refused'}"


class _FoundOnTheWayError(POSError):
    """An error about one of many objects that a commit stores; `trail` led to it."""

    trail: tuple[str, ...] = ()

    def found_through(self, trail: Sequence[str]) -> None:
        """Remember the objects, outermost first, through which the commit came here."""
        self.trail = tuple(trail)

    def _through(self) -> str:
        return f"; reached through {' -> '.join(self.trail)}" if len(self.trail) > 1 else ""


class InvalidObjectReference(_FoundOnTheWayError):
    """An object refers to one that it must not: of another connection, or of two databases.

    Where it was noticed while storing an object, `oid` and `class_name` name that
    object, `path` says where in its state the reference stands, and `trail`
    lists the new objects that led to it, outermost first.
    """

    oid: bytes | None = None
    class_name: str | None = None
    path: str | None = None

    def found_in(self, oid: bytes | None, class_name: str, path: str) -> None:
        """Remember the object being stored and the place in its state."""
        self.oid = oid
        self.class_name = class_name
        self.path = path

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else "an object refers to one that it must not"
        if self.class_name is not None:
            text += f" (found in oid {oid_repr(self.oid)}, class {self.class_name}"
            text += f", at {self.path})" if self.path else ")"
        return text + self._through()


class UnpicklableError(_FoundOnTheWayError, pickle.PicklingError, TypeError):
    """An object's state cannot be stored.

    `oid` and `class_name` name the persistent object, `reason` says what in its
    state was refused. It is also the error that `pickle` itself would raise.
    """

    def __init__(self, oid: bytes | None, class_name: str, reason: str) -> None:
        super().__init__(oid, class_name, reason)
        self.oid = oid
        self.class_name = class_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"cannot store oid {oid_repr(self.oid)} (class {self.class_name}): {self.reason}"
            f"{self._through()}; keep it in a _v_ attribute, or leave it out in __getstate__"
        )


class RecordTooLargeError(UnpicklableError):
    """One object's state has more bytes than a record can hold."""

    def __str__(self) -> str:
        return (
            f"cannot store oid {oid_repr(self.oid)} (class {self.class_name}): {self.reason}"
            f"{self._through()}; split it into several persistent objects, or keep it in a blob"
        )


class BlobError(Exception):
    """A blob was used against its rules (its base is `Exception`, as in ZODB)."""


class OpenBlobError(BlobError, ValueError):
    """A blob was to be stored while a file of it is open (also a `ValueError`, as in ZODB)."""


class ExportError(POSError):
    """An export file is not one, or is cut short."""
