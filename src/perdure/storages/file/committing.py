"""Committing to a data file: what transactions plan, the bytes they append, when they count.

Between `begin` and `vote` a transaction is only a plan. The vote takes the
commit lock, makes sure of the plan, and of room for the bytes. A small one is kept, if
there is a reserve for it, which it will overwrite; any other is appended with the
status "unfinished". A crash, or `abort`, leaves nothing of either. Finishing gives the
lock back; writes and syncs are shared, see `fileend` and `groups`.

The blobs of a transaction are in place and durable before any of its bytes is in
the file. What a crash leaves of them belongs to no transaction, and is removed
when the storage is opened.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from perdure.blobs import BlobDirectory, StagedBlobs
from perdure.errors import (
    FileAccessError,
    FileReplacedError,
    FileStorageError,
    FileStorageQuotaError,
    StorageClosedError,
)
from perdure.fileops import FileOperations
from perdure.interfaces import Bind, HasMetaData
from perdure.storages.binding import bound
from perdure.storages.changes import Changes
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.encoding import NOTHING_ENCODED, Encoded, Metadata, encode
from perdure.storages.file.fileend import FileEnd
from perdure.storages.file.format import check_metadata
from perdure.storages.file.groups import EVERYTHING, CommitQueue, Written
from perdure.storages.file.reader import View
from perdure.storages.file.reserve import RESERVE_BYTES
from perdure.storages.file.spool import Spool
from perdure.storages.gate import Gate, Phase
from perdure.storages.plan import Resolve, no_blobs

__all__ = ["Committer"]

log = logging.getLogger("perdure.storages.file")


_UNKNOWN: Final = (
    "what the disk holds is not known any more, so the storage refuses everything; open it again"
)
_MEMORY_LIMIT: Final = 64 << 20
"""Bytes of records that a transaction keeps in memory before its vote."""

_STATUSES: Final = (" ", "p", "u")
_NOTHING_KEPT: Final = "nothing of the transaction was kept"


@dataclass(slots=True)
class Draft:
    """One transaction: as it began, and from the vote on as it stands in the file."""

    metadata: Metadata
    status: bytes  # once it is finished
    tid: bytes  # b"" until the vote, unless it was asked for
    changes: Changes[int]
    spool: Spool
    blobs: StagedBlobs | None
    encoded: Encoded = NOTHING_ENCODED
    kept: bytes = b""  # all of it, if it is written later


class Committer:
    """Appends transactions to the file of a view, and publishes them in it.

    `failed` is called if it can no longer be known what the file holds. Then, and
    after `close`, everything but aborting is refused. `published` is called with the
    view and the bytes of each transaction that becomes visible, before the next one does.
    With `settled` False it is the first vote that makes sure of the name of the file,
    and that what was cut off behind its end is gone. `reserve_bytes` limits what is
    written ahead.
    """

    def __init__(
        self,
        operations: FileOperations,
        view: View,
        quota: int | None,
        resolve: Resolve,
        failed: Callable[[], object],
        blobs: BlobDirectory | None = None,
        published: Callable[[View, int], object] | None = None,
        settled: bool = True,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self._operations = operations
        self._published = published
        self._directory = view.file.path.parent
        self._quota = quota
        self._reserve_bytes = reserve_bytes
        self._resolve = resolve
        self._failed = failed
        self._blobs = blobs
        self._gate: Gate[Draft] = Gate(view.last_tid)
        self.draft_of = self._gate.changes
        """Returns what a transaction that may still add to it has planned and brings so far."""
        self._commits = 0  # and packs: whatever makes the plans of others stale
        self.bind: Bind | None = None  # what a layer above makes of records
        self._file_lock = threading.Lock()  # for moments; the gate's is held through a commit
        self._settled = settled
        self._cut = not settled  # was there something, at the last sync?
        self._why_closed = ""
        self._use(view)

    @property
    def why_closed(self) -> str:
        """Why everything is refused; "" while it is not."""
        return self._why_closed

    @property
    def syncs(self) -> int:
        """How many syncs commits have waited for."""
        return self._queue.syncs

    @property
    def sync_s(self) -> float:
        """How long they took, in seconds."""
        return self._queue.sync_s

    @property
    def transaction(self) -> Any:
        """The transaction that is being committed, or None."""
        return self._gate.transaction

    def begin(self, transaction: HasMetaData, tid: bytes | None, status: str) -> None:
        """Let a transaction in; `FileStorageError` if its metadata are too long."""
        user, description = transaction.user, transaction.description
        extension = transaction.extension_bytes
        if status not in _STATUSES:
            raise FileStorageError(f"found status {status!r}, expected one of {_STATUSES}")
        check_metadata(user, description, extension, self._view.file.path)
        if tid is not None:
            self._gate.check_tid(tid)
        metadata = Metadata(user, description, extension)
        basis = self._commits  # before the records: a plan may be taken for older, not for newer
        spool = Spool(self._directory)
        has_blob = no_blobs if self._blobs is None else self._has_blob
        changes = Changes(self._records, self._resolve, basis, _MEMORY_LIMIT, spool.keep, has_blob)
        blobs = None if self._blobs is None else StagedBlobs(self._blobs)
        draft = Draft(metadata, status.encode(), tid or b"", changes, spool, blobs)
        self._gate.begin(transaction, draft)

    def load_serial(self, oid: bytes, serial: bytes) -> bytes:
        """Return a committed record, visible or not; `POSKeyError` if there is none."""
        return self._records.load_serial(oid, serial)

    def vote(self, transaction: HasMetaData) -> list[bytes]:
        """Make sure that the transaction can finish; return the oids whose conflicts were resolved.

        Raises `FileAccessError` if the file cannot take it; then nothing of it is there.
        """
        with self._gate.voting(transaction) as draft:
            end, changes, bind = self._end, draft.changes, self.bind
            if end.unfinished or self._cut or not self._settled:
                self._clear_the_end()
            if changes.basis != self._commits:
                self._plan_again(changes)
            tid = draft.tid = self._gate.next_tid(draft.tid)
            encoded = draft.encoded = encode(
                tid,
                draft.metadata,
                changes.planned if bind is None else bound(changes.planned, tid, bind),
                end.position,
                self._queue.durable,
                draft.status,
                draft.spool.empty,
            )
            if self._quota is not None and encoded.end > self._quota:
                raise self._over_quota(encoded.end)
            if not encoded.sealed:
                # What stands before a transaction without a trailer counts as complete.
                self._queue.make_durable(end.position)
            if draft.blobs is not None:
                self._place_blobs(draft, draft.blobs)
            with self._file_lock:
                if self._why_closed:
                    raise StorageClosedError(self._why_closed)
                self._refuse_if_replaced()
                if encoded.sealed and end.keeps(encoded):
                    draft.kept = encoded.whole
                else:
                    self._append(encoded, tid)
            if not encoded.sealed:
                # Torn, it could pass for complete: all of it goes before the status.
                self._queue.make_durable(EVERYTHING)
        return changes.resolved

    def finish(self, transaction: HasMetaData, func: Callable[[bytes], object] | None) -> bytes:
        """Make the transaction count; return its tid when it is durable and visible.

        `func` is called with the tid when it is durable and not yet visible.
        """
        with self._gate.finishing(transaction) as draft, self._file_lock:
            if self._why_closed:
                raise StorageClosedError(self._why_closed)
            encoded, queue, end = draft.encoded, self._queue, self._end
            if not draft.kept:
                try:
                    end.finish(encoded, draft.status)
                except OSError as error:
                    raise self._fail(error) from error
            end.position = encoded.end
            written = Written(draft.tid, encoded.positions, encoded.end, func, draft.kept)
            # First: who finds its records must not take their tid for an older one.
            self._records.follow(encoded.position, draft.tid, encoded.positions)
            queue.append(written)
            self._gate.passed(draft.tid)
            self._commits += 1
        queue.complete(written)
        if draft.blobs is not None:
            draft.blobs.keep()
        return draft.tid

    def abort(self, transaction: HasMetaData) -> None:
        """Forget a transaction, if it is known here, and cut off what it wrote."""
        with self._gate.aborting(transaction) as known:
            if known is not None and known[1] is Phase.VOTED:
                with self._file_lock:
                    self._cut_off()
            if known is not None and known[0].blobs is not None:
                known[0].blobs.discard()

    def close(self) -> None:
        """Refuse everything from now on, and return when what is under way is visible."""
        failed = bool(self._why_closed)
        why = self._why_closed or f"{self._view.file.path} is closed"
        self._gate.shut(partial(StorageClosedError, why))
        with self._file_lock:
            self._cut_off()  # what voted and will not finish
            self._why_closed = self._why_closed or why
        self._gate.expel()
        self._queue.wait_until_empty()
        if not failed and not self._queue.failed:
            self._end.give_up_reserve()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep everybody from committing, when what is under way is visible."""
        with self._gate.exclusive():
            self._queue.wait_until_empty()
            with self._file_lock:
                if not self._why_closed:
                    self._end.give_up_reserve()  # a file that is packed away has none
            yield

    def switch(self, view: View) -> None:
        """Go on with another file, which has taken the place of this one; only in `exclusive`.

        Raises `FileAccessError`, and refuses everything from then on, if it is not certain
        that it keeps that place.
        """
        before = self._queue
        self._use(view)
        self._queue.syncs, self._queue.sync_s = before.syncs, before.sync_s
        self._commits += 1
        # After a crash the name may stand for the old file again, without
        # whatever would be committed to the new one.
        self._sync_directory()

    def _use(self, view: View) -> None:
        self._view = view
        self._end = FileEnd(self._operations, view.file, view.end, self._reserve_bytes, self._quota)
        sync = partial(self._operations.sync, view.file.descriptor)
        self._queue = CommitQueue(view.end, self._end.write, sync, self._publish, self._fail)
        self._records = CommittedRecords(view, self._queue)

    def _plan_again(self, changes: Changes[int]) -> None:
        """Make sure of a plan that does not know of all commits; raises what planning does."""
        records = self._records
        changes.plan_again(self._commits, records, records.lately(self._commits - changes.basis))

    def _place_blobs(self, draft: Draft, blobs: StagedBlobs) -> None:
        reverted = {
            oid: self._records.tid_at(oid, place) for oid, place in draft.changes.reverted().items()
        }
        blobs.place(draft.tid, draft.changes.planned, reverted)

    def _has_blob(self, oid: bytes, place: int) -> bool:
        return self._blobs is not None and self._blobs.has(oid, self._records.tid_at(oid, place))

    def _over_quota(self, end: int) -> FileStorageQuotaError:
        return FileStorageQuotaError(
            f"{self._view.file.path}: found a transaction that ends at byte {end}, "
            f"expected at most {self._quota}, the quota; nothing was written"
        )

    def _refuse_if_replaced(self) -> None:
        """Raise if whoever opens the path next would not see what is committed here."""
        file = self._view.file
        try:
            in_place = file.is_at_its_path()
        except OSError as error:
            path, what = file.path, "see whether it is still there"
            raise FileAccessError(path, what, error, "nothing was written") from error
        if not in_place:
            raise FileReplacedError(file.path)

    def _refuse_if_closed(self) -> None:
        if self._why_closed:
            raise StorageClosedError(self._why_closed)

    def _clear_the_end(self) -> None:
        """Make sure that nothing stands behind the end, nor will after a crash."""
        if self._end.unfinished:  # of a vote that was interrupted after it had written
            with self._file_lock:
                self._refuse_if_closed()
                self._cut_off()
        if self._cut:
            # Sectors of what was cut off must not appear amid what is written there next.
            self._queue.make_durable(EVERYTHING)
            self._cut = False
        if not self._settled:
            # Else a crash could take the file, with what is committed to it.
            self._sync_directory()
            self._settled = True

    def _append(self, encoded: Encoded, tid: bytes) -> None:
        self._queue.write_kept()  # what is before it
        try:
            self._end.append(encoded, tid)
        except OSError as error:
            self._cut_off()
            path = self._view.file.path
            raise FileAccessError(path, "write a transaction", error, _NOTHING_KEPT) from error

    def _cut_off(self) -> None:
        """Remove what a vote wrote, unless it is finished."""
        if self._end.unfinished and not self._why_closed:
            try:
                self._end.cut_off()
            except OSError as error:
                # What is left there could pass for a part of what is written over it.
                raise self._fail(error) from error
            self._cut = True

    def _sync_directory(self) -> None:
        try:
            self._operations.sync_directory(self._directory)
        except OSError as error:
            raise self._fail(error) from error

    def _publish(self, written: Written) -> None:
        view = self._view
        size_bytes = written.end - view.end
        view.publish(written.tid, written.positions, written.end)
        if self._published is not None:
            self._published(view, size_bytes)

    def _fail(self, cause: OSError) -> Exception:
        """Refuse everything from now on; return the error to be raised now."""
        path = self._view.file.path
        if not self._why_closed:
            self._why_closed = f"{path}: {cause}; {_UNKNOWN}"
            log.critical("%s", self._why_closed)
            self._gate.shut(partial(StorageClosedError, self._why_closed))
            self._failed()
        return FileAccessError(path, "write to it", cause, _UNKNOWN)
