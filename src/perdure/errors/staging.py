"""Errors of staging: changes that are not what they should be, or that cannot be applied."""

from collections.abc import Sequence
from typing import NamedTuple

from perdure.errors.root import POSError
from perdure.ids import oid_repr, tid_repr

_SHOWN = 10


class StagedConflict(NamedTuple):
    """An object whose staged change cannot be applied, and why."""

    oid: bytes
    class_name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.class_name} {oid_repr(self.oid)} {self.reason}"


class StagingError(POSError):
    """Staged changes cannot be used as asked; `changes` names them, `reason` says why."""

    def __init__(self, changes: str, reason: str) -> None:
        super().__init__(changes, reason)
        self.changes = changes
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.changes}: {self.reason}"


class WrongDatabaseError(StagingError):
    """Staged changes meet a database that they were not made for; `database` names it."""

    def __init__(self, changes: str, database: str, reason: str) -> None:
        super().__init__(changes, reason)
        self.args = changes, database, reason
        self.database = database

    def __str__(self) -> str:
        return f"{self.changes} was not staged over {self.database}: {self.reason}"


class AlreadyAppliedError(StagingError):
    """Staged changes were applied already: to `database`, as its transaction `tid`."""

    def __init__(self, changes: str, database: str, tid: bytes) -> None:
        super().__init__(changes, f"it was applied to {database} as transaction {tid_repr(tid)}")
        self.args = changes, database, tid
        self.database = database
        self.tid = tid

    def __str__(self) -> str:
        return f"{super().__str__()}; discard it, and begin a new stage"


class StagedConflictsError(StagingError):
    """Staged changes contradict what was committed since the snapshot; nothing was applied.

    `database` names where that was, `conflicts` has a `StagedConflict` for each object.
    """

    def __init__(self, changes: str, database: str, conflicts: Sequence[StagedConflict]) -> None:
        super().__init__(changes, f"it cannot be applied to {database}")
        self.args = changes, database, conflicts
        self.database = database
        self.conflicts = tuple(conflicts)

    def __str__(self) -> str:
        shown = [str(conflict) for conflict in self.conflicts[:_SHOWN]]
        if len(self.conflicts) > _SHOWN:
            shown.append(f"and {len(self.conflicts) - _SHOWN} more")
        return (
            f"{super().__str__()}, where objects that it changed were changed too "
            f"({'; '.join(shown)}); nothing was applied: stage again, over what is there now"
        )
