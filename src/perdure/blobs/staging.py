"""The blobs of one transaction: they wait, are put in place for its tid, and stay or go."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from perdure.blobs.directory import BlobDirectory
from perdure.errors import FileAccessError

__all__ = ["StagedBlobs"]

log = logging.getLogger("perdure.blobs")

_NOTHING_KEPT = "nothing of the transaction was kept"


class StagedBlobs:
    """What one transaction brings into `directory`, from its beginning to its end.

    `place` belongs in the vote, before anything makes the transaction count;
    then `keep` when it is durable, or `discard` when it will never be.
    """

    def __init__(self, directory: BlobDirectory) -> None:
        self._directory = directory
        self._waiting: dict[bytes, Path] = {}
        self._placed: list[tuple[bytes, bytes]] = []
        self._failure: FileAccessError | None = None

    def add(self, oid: bytes, source: str) -> None:
        """Take over the file `source` as the blob of `oid`, in place of an earlier one.

        Raises `FileAccessError`; then `place` will raise it again: there must be
        no record without its blob.
        """
        directory = self._directory
        try:
            staged = directory.stage(oid, Path(source))
        except OSError as error:
            # Either may be what is missing, or not to be written.
            action = f"take it over into {directory.temporary}"
            raise self._fail(Path(source), action, error) from error
        earlier = self._waiting.pop(oid, None)
        self._waiting[oid] = staged
        if earlier is not None:
            directory.unstage(earlier)

    def place(self, tid: bytes, oids: Collection[bytes], reverted: Mapping[bytes, bytes]) -> None:
        """Put the blobs of `oids` where the transaction `tid` will find them, durable.

        `reverted` says, by oid, which earlier revision is the current one again:
        its blob, if it has one, is used. Raises `FileAccessError`.
        """
        if self._failure is not None:
            raise self._failure
        directory = self._directory
        try:
            for oid, earlier in reverted.items():
                if oid in self._waiting:
                    directory.unstage(self._waiting.pop(oid))
                if directory.has(oid, earlier):
                    self._waiting[oid] = directory.stage_again(oid, earlier)
            for oid, staged in self._waiting.items():
                if oid in oids:
                    self._placed.append((oid, tid))
                    directory.place(staged, oid, tid)
            if self._placed:
                directory.settle([oid for oid, _ in self._placed])
        except OSError as error:
            raise self._fail(directory.path, "put a blob there", error) from error

    def keep(self) -> None:
        """The transaction counts: its blobs stay."""
        self._placed.clear()
        self._forget()

    def discard(self) -> None:
        """The transaction never was: its blobs go."""
        for oid, tid in self._placed:
            try:
                self._directory.remove(oid, tid)
            except OSError as error:
                # Nobody will ever ask for it: a pack removes it.
                log.warning("%s: a blob could not be removed: %s", self._directory.path, error)
        self._placed.clear()
        self._forget()

    def _forget(self) -> None:
        for staged in self._waiting.values():
            try:
                self._directory.unstage(staged)
            except OSError as error:
                log.warning("%s could not be removed: %s", staged, error)
        self._waiting.clear()

    def _fail(self, path: Path, action: str, error: OSError) -> FileAccessError:
        self._failure = FileAccessError(path, action, error, _NOTHING_KEPT)
        return self._failure
