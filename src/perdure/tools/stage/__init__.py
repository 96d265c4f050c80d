"""Staging: changes rehearsed over a frozen view of a database, looked at, then applied or dropped.

mark        what staged changes stand on, written among them
beginning   a stage is begun, or goes on
changed     the objects that it changed, beside what they were
status      what would change, for people and programs
applying    the changes become one transaction of the database
discarding  or they go
"""

from perdure.tools.stage.applying import EXTENSION_KEY, Applied, apply
from perdure.tools.stage.beginning import open_stage, prepare
from perdure.tools.stage.discarding import discard, remove
from perdure.tools.stage.mark import MARK_OID, Mark, read_mark
from perdure.tools.stage.status import StagedClass, StagedObject, Status, difference, status

__all__ = [
    "EXTENSION_KEY",
    "MARK_OID",
    "Applied",
    "Mark",
    "StagedClass",
    "StagedObject",
    "Status",
    "apply",
    "difference",
    "discard",
    "open_stage",
    "prepare",
    "read_mark",
    "remove",
    "status",
]
