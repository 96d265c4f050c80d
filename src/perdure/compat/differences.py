"""What Perdure does not have of ZODB's public names, or has in another shape, and why.

This is the one list: the test of the aliases allows these differences and no
others, the migration guide prints them, and an import of what is not there
quotes them.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["DIFFERENCES", "Difference", "advice_on"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One deliberate difference.

    `name` is ZODB's dotted name; with ".*" at its end, all names that begin so.
    `perdure` says what is there instead, `reason` why.
    """

    name: str
    perdure: str
    reason: str

    def covers(self, name: str) -> bool:
        """Return whether this is about `name`."""
        if self.name.endswith(".*"):
            return name.startswith(self.name[:-1]) or name == self.name[:-2]
        return name == self.name


DIFFERENCES: Final[tuple[Difference, ...]] = ()


def advice_on(name: str) -> str:
    """Return what to use instead of a name of ZODB that Perdure does not have."""
    for difference in DIFFERENCES:
        if difference.covers(name):
            return f"{difference.reason}; instead: {difference.perdure}"
    return "`perdure.compat.DIFFERENCES` lists what is missing, and the migration guide explains it"
