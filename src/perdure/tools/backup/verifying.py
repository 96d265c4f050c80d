"""Reading back all that a repository has stored, to see whether it is still what was stored."""

from collections.abc import Callable, Iterator

from perdure.errors import BackupError, FileAccessError
from perdure.tools.backup.manifest import ADVICE, Manifest
from perdure.tools.backup.pieces import Piece, read_piece
from perdure.tools.backup.repository import Repository, piece_of

__all__ = ["find_damage", "missing_data", "stored_bytes"]


def stored_bytes(repository: Repository) -> int:
    """Return how many bytes `find_damage` tells of in all, if nothing is damaged."""
    return sum(
        piece.end - piece.start
        for manifest in repository.manifests
        for piece in _pieces(repository, manifest)
    )


def find_damage(repository: Repository, told: Callable[[int], object]) -> dict[int, BackupError]:
    """Return what is wrong with data and blobs of the backups, the first error of each by number.

    `told` gets the number of bytes that were read, time after time.
    """
    damaged: dict[int, BackupError] = {}
    for manifest in repository.manifests:
        try:
            for piece in _pieces(repository, manifest):
                for _ in read_piece(piece, told):
                    pass  # reading to the end is what verifies it
        except BackupError as error:
            damaged[manifest.number] = error
        except FileAccessError as error:
            why = error.cause.strerror or str(error.cause)
            damaged[manifest.number] = BackupError(error.path, why, "a file that can be read")
    return damaged


def missing_data(repository: Repository, manifest: Manifest) -> BackupError | None:
    """Return the error about the data of a backup that are not there, else None."""
    path = repository.path / manifest.data
    if path.exists():
        return None
    return BackupError(path, "no file", f"the data of backup {manifest.number:06}", ADVICE)


def _pieces(repository: Repository, manifest: Manifest) -> Iterator[Piece]:
    yield piece_of(repository.path, manifest)
    yield from map(repository.blob_piece, manifest.blobs)
