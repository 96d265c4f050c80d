"""Saving what can be read of a damaged data file into a new one.

Sound transactions are copied as they are, with their tids. Behind a damaged one
the next that is sound is looked for, and what lies between is searched for
records that are whole themselves. Those are saved too, and listed as doubtful:
no checksum speaks for them.

The damaged file is only read. Blobs are found by oid and tid, which stay the
same: a copy of the blob directory goes with the new file.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perdure.errors import (
    CorruptDataError,
    FileAccessError,
    FileStorageError,
    FileStorageFormatError,
    StateLoadError,
)
from perdure.fileops import FileOperations
from perdure.ids import ZERO
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.storages import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Metadata
from perdure.storages.file.format import MAGIC
from perdure.storages.file.iterate import read_transaction
from perdure.storages.file.lock import FileLock
from perdure.storages.file.openfile import access, open_data_file
from perdure.storages.file.reserve import end_without_reserve
from perdure.storages.file.resync import next_sound
from perdure.storages.file.scan import Scanner, Transaction, Unsound
from perdure.tools.progress import Progress
from perdure.tools.salvage import SavedRecord, data_of, salvage

__all__ = ["Doubt", "Recovered", "recover"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something at `position` of the damaged file that was lost, or saved without being sure.

    `oid` and `tid` are None where they are not known.
    """

    position: int
    oid: bytes | None
    tid: bytes | None
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is in the new file, `lost` what could not be saved, `doubtful` what may be wrong."""

    transactions: int
    records: int
    size_bytes: int
    lost: tuple[Doubt, ...]
    doubtful: tuple[Doubt, ...]


def recover(
    damaged: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Recovered:
    """Save what can be read of the file `damaged` into a new file `target`.

    `target` appears when it is complete, in place of an older file with `overwrite`.
    `progress` counts bytes of the damaged file.

    Raises `FileStorageError` if `target` is there already, or is the damaged file
    itself, `FileLockedError` if it is to be replaced and is in use, and what opening
    a file raises.
    """
    source, new = Path(os.path.abspath(damaged)), Path(os.path.abspath(target))
    if not new.exists():
        return _recover(source, new, progress)
    if not overwrite or os.path.samefile(source, new):
        raise FileStorageError(f"{new}: found a file, expected none; nothing was written")
    with access(new, "lock it", "nothing was changed"):
        lock = FileLock(new)
    try:
        return _recover(source, new, progress)
    finally:
        lock.release()


def _recover(source: Path, new: Path, progress: Progress | None) -> Recovered:
    file = _opened(source)
    draft = new.with_name(new.name + ".recovering")
    operations = FileOperations()
    try:
        storage = FileStorage(draft, create=True, operations=_SyncedAtTheEnd())
    except FileAccessError:
        for suffix in ("", ".lock"):
            with suppress(OSError):  # what refused to be written may not be removed either
                operations.unlink(draft.with_name(draft.name + suffix))
        raise
    try:
        work = _Recovery(file, storage, progress)
        work.run()
        done = work.result()
        storage.close()
        with access(new, "put it in place", f"what was saved is in {draft}"):
            _put_in_place(operations, draft, new)
    except BaseException:
        storage.close()
        storage.cleanup()
        raise
    return done


def _opened(path: Path) -> DataFile:
    """Open the damaged file; its magic may be part of the damage."""
    operations = FileOperations()
    try:
        return open_data_file(operations, path, read_only=True, create=False)
    except FileStorageFormatError:
        if not path.is_file():
            raise
        with access(path, "open it", "nothing was written"):
            file = DataFile(path, operations.open(path, os.O_RDONLY))
        if isinstance(Scanner(file, file.size()).examine(len(MAGIC)), Unsound):
            raise
        return file


class _SyncedAtTheEnd(FileOperations):
    """Syncs nothing: the draft counts only when it is complete, and is synced then."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


def _put_in_place(operations: FileOperations, draft: Path, new: Path) -> None:
    descriptor = operations.open(draft, os.O_RDWR)
    try:
        operations.sync(descriptor)
    finally:
        operations.close(descriptor)
    for suffix in (".index", ".lock"):  # made again when it is opened
        with suppress(FileNotFoundError):
            operations.unlink(draft.with_name(draft.name + suffix))
    with suppress(FileNotFoundError):
        operations.unlink(new.with_name(new.name + ".index"))
    operations.rename(draft, new)
    operations.sync_directory(new.parent)


class _Recovery:
    """One walk through a damaged file."""

    def __init__(self, file: DataFile, storage: FileStorage, progress: Progress | None) -> None:
        self._file = file
        self._storage = storage
        self._progress = progress
        self._size = end_without_reserve(file, len(MAGIC), file.size())
        self._transactions = self._records = 0
        self._last_tid = ZERO
        self._lost: list[Doubt] = []
        self._doubtful: list[Doubt] = []

    def run(self) -> None:
        scanner = Scanner(self._file, self._size)
        position = len(MAGIC)
        while position < self._size:
            found = scanner.examine(position)
            if isinstance(found, Transaction) and self._is_in_order(found):
                self._save(found)
                position = found.end
            else:
                position = self._past_damage(position, found, scanner)
            if self._progress is not None:
                self._progress(position, self._size)

    def _is_in_order(self, transaction: Transaction) -> bool:
        tid = transaction.header.tid
        if tid <= self._last_tid:
            return False
        # Without a checksum, a damaged tid shows by those of the records.
        return transaction.trailer is not None or all(
            self._file.record_header(at).tid == tid for at in transaction.records.values()
        )

    def _save(self, transaction: Transaction) -> None:
        header, metadata = read_transaction(self._file, transaction.position)
        if header.status == b"u":
            return  # undone in place long ago: its records do not count
        records = []
        for oid, at in transaction.records.items():
            try:
                data, data_txn = data_of(self._file, at, self._file.record_header(at, oid))
                if data is not None and transaction.trailer is None:
                    references(data)
            except CorruptDataError as error:
                self._lost.append(Doubt(at, oid, header.tid, str(error)))
                continue
            except StateLoadError as error:
                self._doubtful.append(Doubt(at, oid, header.tid, str(error)))
            records.append(SavedRecord(at, oid, data, data_txn))
        self._write(header.tid, header.status.decode(), metadata, records)

    def _past_damage(self, position: int, found: Transaction | Unsound, scanner: Scanner) -> int:
        """Save what is left of what begins at `position`; return where to go on."""
        structure = scanner.structure(position)
        end, before = self._size, None
        following = next_sound(self._file, scanner, position, self._last_tid)
        if following is not None:
            end, before = following.position, following.header.tid
        known = dict(structure.records) if isinstance(structure, Transaction) else {}
        why = f"found {found.found}" if isinstance(found, Unsound) else "its tid is damaged"
        parts = salvage(self._file, position, end, self._last_tid, before)
        count = 0
        for part in parts:
            for record in part.records:
                self._doubtful.append(Doubt(record.position, record.oid, part.tid, why))
                known.pop(record.oid, None)
                count += 1
            self._write(part.tid, " ", part.metadata, part.records)
        if known:
            for oid, at in known.items():
                self._lost.append(Doubt(at, oid, None, f"{why}; the record cannot be read"))
        elif not isinstance(structure, Transaction):
            reason = f"{why}; of {end - position} bytes, {count} records were saved"
            self._lost.append(Doubt(position, None, None, reason))
        return end

    def _write(
        self, tid: bytes, status: str, metadata: Metadata, records: Iterable[SavedRecord]
    ) -> None:
        transaction = TransactionMetaData(*metadata)
        self._storage.tpc_begin(transaction, tid, status)
        for record in records:
            self._storage.restore(record.oid, tid, record.data, "", record.data_txn, transaction)
            self._records += 1
        self._storage.tpc_vote(transaction)
        self._storage.tpc_finish(transaction)
        self._transactions += 1
        self._last_tid = tid

    def result(self) -> Recovered:
        return Recovered(
            self._transactions,
            self._records,
            self._storage.getSize(),
            tuple(self._lost),
            tuple(self._doubtful),
        )
