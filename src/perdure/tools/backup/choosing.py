"""Which backups of a repository hold a moment.

A chain is a full backup and what was added to it. A file that was packed has
lost what packing dropped: so for a moment before a full backup, the chain
before it is right, unless the file had only been added to.
"""

from pathlib import Path

from perdure.errors import BackupError
from perdure.fileops import FileOperations
from perdure.ids import ZERO, tid_repr
from perdure.tools.backup.chosen import Chosen
from perdure.tools.backup.manifest import BLOBS, REQUESTED, Manifest
from perdure.tools.backup.repository import Repository, piece_of

__all__ = ["choose"]


def choose(directory: Path, at: bytes | None) -> Chosen:
    """Return what to restore for the moment `at`, a tid, by default the newest.

    Raises `BackupError` if a manifest that is needed is missing or damaged.
    """
    repository = Repository(directory, FileOperations())
    chains = repository.chains()
    if not chains:
        for error in repository.damaged.values():
            raise error
        raise BackupError(directory, "no backup", "at least one")
    if at is None:
        chain, incomplete = chains[-1], ""
    else:
        chain, incomplete = _holding(chains, at)
    _refuse_gaps(repository, chain, at)
    return _chosen(repository, chain, at, incomplete)


def _holding(chains: list[list[Manifest]], at: bytes) -> tuple[list[Manifest], str]:
    number = len(chains) - 1
    while number > 0 and _last(chains[number][0]) > at:
        number -= 1
    chain = chains[number]
    if _last(chain[-1]) >= at or number + 1 == len(chains):
        return chain, ""
    following = chains[number + 1][0]
    if following.reason in (REQUESTED, BLOBS):
        return chains[number + 1], ""  # it has all that this chain has, unpacked, and more
    return chain, (
        f"what was committed after {tid_repr(_last(chain[-1]))} is in no backup of that moment: "
        f"the file was packed or replaced before the next one, {following.number:06}"
    )


def _last(manifest: Manifest) -> bytes:
    return manifest.last_tid or ZERO


def _refuse_gaps(repository: Repository, chain: list[Manifest], at: bytes | None) -> None:
    """Raise if what is wanted was perhaps added to a chain by something damaged or missing."""
    if at is not None and _last(chain[-1]) >= at:
        return
    later = [manifest for manifest in repository.manifests if manifest.number > chain[-1].number]
    until = min((m.number for m in later if m.is_full), default=None)
    for number, error in repository.damaged.items():
        if number > chain[-1].number and (until is None or number < until):
            raise error
    for manifest in later:
        if until is None or manifest.number < until:
            raise repository.gap_before(manifest)


def _chosen(
    repository: Repository, chain: list[Manifest], at: bytes | None, incomplete: str
) -> Chosen:
    needed = chain
    if at is not None:
        count = next((n for n, m in enumerate(chain, 1) if _last(m) >= at), len(chain))
        needed = chain[:count]
    blobs = [
        (blob, repository.blob_piece(blob))
        for manifest in needed
        for blob in manifest.blobs
        if at is None or blob.tid <= at
    ]
    return Chosen(
        pieces=tuple(piece_of(repository.path, manifest) for manifest in needed),
        cut_after=at,
        blob_layout=needed[0].blob_layout,
        blobs=tuple(blobs),
        incomplete=incomplete,
    )
