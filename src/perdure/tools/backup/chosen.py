"""What to restore for a moment: the pieces of a data file, and where to cut."""

from dataclasses import dataclass
from pathlib import Path

from perdure.tools.backup.manifest import BackedUpBlob
from perdure.tools.backup.pieces import Piece

__all__ = ["Chosen"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Pieces that make a data file, and its blobs, each with the file that has its bytes.

    `cut_after` is the tid after which nothing is wanted, None if all is. `incomplete`
    says what is missing although it was asked for, or is "".
    """

    pieces: tuple[Piece, ...]
    cut_after: bytes | None
    blob_layout: str | None = None
    blobs: tuple[tuple[BackedUpBlob, Piece], ...] = ()
    incomplete: str = ""

    @property
    def directory(self) -> Path:
        """Where the pieces are."""
        return self.pieces[0].path.parent
