"""Errors of undo, and of what a storage cannot do at all."""

from collections.abc import Sequence

from perdure.errors.root import POSError
from perdure.ids import oid_repr


class UndoError(POSError):
    """A transaction cannot be undone: `reason`, and the `oid` it failed at, or None."""

    def __init__(self, reason: str, oid: bytes | None = None) -> None:
        super().__init__(reason, oid)
        self.reason = reason
        self.oid = oid

    def __str__(self) -> str:
        where = f" at oid {oid_repr(self.oid)}" if self.oid is not None else ""
        return f"cannot undo{where}: {self.reason}"


class MultipleUndoErrors(UndoError):
    """Undo failed at objects, one or several; `errors` lists (oid, reason) pairs."""

    def __init__(self, errors: Sequence[tuple[bytes, str]]) -> None:
        reason = errors[0][1] if len(errors) == 1 else "several objects changed since"
        super().__init__(reason, errors[0][0] if errors else None)
        self.args = (errors,)
        self.errors = self._errs = list(errors)

    def __str__(self) -> str:
        if len(self.errors) == 1:
            return super().__str__()
        return "cannot undo:\n" + "\n".join(
            f"  oid {oid_repr(oid)}: {reason}" for oid, reason in self.errors
        )


class Unsupported(POSError):
    """A storage does not have the capability that was asked for."""
