"""What a check saw and found."""

from dataclasses import dataclass

from perdure.tools.census import ClassRoom
from perdure.tools.findings import Finding

__all__ = ["Checked"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and what was found.

    `size_bytes` is the part of the file that was looked at. `unchecked` counts
    transactions without a checksum, as ZODB writes them. `classes` counts the
    records that were seen, of a file those of every revision, the largest class
    first. `references` says whether references were followed. `index` says in
    words what the saved index of a file is good for.
    """

    name: str
    size_bytes: int
    transactions: int
    unchecked: int
    records: int
    objects: int
    references: bool
    classes: tuple[ClassRoom, ...]
    findings: tuple[Finding, ...]
    index: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing was found that is damage."""
        return not any(finding.damage for finding in self.findings)
