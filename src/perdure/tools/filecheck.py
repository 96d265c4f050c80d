"""One check of one data file: its transactions in order, then what they come to.

Native code goes ahead as far as all is as it should be, references included; what stops it
is looked at here, and so is everything where there is none.
"""

from typing import Final

from perdure import native
from perdure.blobs import BlobDirectory
from perdure.ids import ZERO, oid_repr, tid_repr
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import MAGIC, NUMBER, RECORD_HEADER
from perdure.storages.file.positions import PurePositions, index_of
from perdure.storages.file.reserve import written_end
from perdure.storages.file.resync import next_sound
from perdure.storages.file.scan import Scanner, Transaction, Unsound, examine_again
from perdure.storages.file.tail import is_torn
from perdure.storages.file.window import Window
from perdure.tools.blobcheck import BlobCheck
from perdure.tools.checked import Checked
from perdure.tools.findings import (
    DamagedTransaction,
    Finding,
    TornEnd,
    UnfinishedEnd,
    WrongChecksum,
    WrongOrder,
    WrongPointer,
)
from perdure.tools.goneahead import GoneAhead
from perdure.tools.indexcheck import check_index
from perdure.tools.progress import Progress
from perdure.tools.readahead import ReadAhead
from perdure.tools.recordclasses import HEAD_SIZE, RecordClasses
from perdure.tools.referencecheck import ReferenceCheck

__all__ = ["FileCheck"]

_HEADER_SIZE: Final = RECORD_HEADER.size
_TELL_EVERY_BYTES: Final = 1 << 22


class FileCheck:
    """What is known so far of the first bytes of `file`, and what was found."""

    def __init__(
        self,
        file: DataFile,
        blobs: BlobDirectory | None,
        follow_references: bool,
        progress: Progress | None,
    ) -> None:
        self._file = file
        self._follow_references = follow_references
        self._progress = progress
        self._size = max(file.size(), len(MAGIC))
        self._end = len(MAGIC)
        self._findings: list[Finding] = []
        self._classes = RecordClasses()
        self._ahead = GoneAhead(file, self._size, follow_references) if native.filescan else None
        self._positions = self._ahead.positions if self._ahead else PurePositions()
        self._blobs = BlobCheck(file, blobs, self._positions, self._findings) if blobs else None
        self._read_ahead = ReadAhead(file, self._size)
        self._references = ReferenceCheck(file, self._size, self._positions, self._findings)
        self._transactions = self._unchecked = self._records = 0
        self._last_tid = ZERO
        self._told = 0

    def run(self) -> Checked:
        """Check all there is."""
        with self._read_ahead:
            self._transactions_in_order()
        ahead = self._ahead
        if self._follow_references and (ahead is None or ahead.something_lacks()):
            self._references.current_records(self._tell_more)
        self._tell(self._whole)
        lost = any(isinstance(found, DamagedTransaction) for found in self._findings)
        if self._blobs is not None and not lost:
            self._blobs.orphans(self._last_tid)
        index, wrong = check_index(self._file, self._end, index_of(self._positions))
        if wrong is not None and not lost:
            self._findings.append(wrong)
        if ahead is not None:
            self._classes.add_counted(ahead.sweep.classes())
        return Checked(
            name=str(self._file.path),
            size_bytes=self._end,
            transactions=self._transactions + (ahead.sweep.transactions if ahead else 0),
            unchecked=self._unchecked + (ahead.sweep.unchecked if ahead else 0),
            records=self._records + (ahead.sweep.records if ahead else 0),
            objects=self._positions.count(),
            references=self._follow_references,
            classes=self._classes.rooms(),
            findings=tuple(self._findings),
            index=index,
        )

    def _transactions_in_order(self) -> None:
        """Check structure, order, pointers, checksums and blobs."""
        scanner = Scanner(self._file, self._size)
        while self._end < self._size:
            if self._ahead is not None and self._go_ahead(self._ahead):
                continue
            found = scanner.examine(self._end)
            if isinstance(found, Unsound):
                # Its writer may have gone on meanwhile; what is read again is newer.
                found = examine_again(self._file, self._end)
                if isinstance(found, Transaction) and found.end > self._size:
                    break  # finished since the check began
            if isinstance(found, Unsound):
                following = self._past_damage(found)
                if following is None:
                    break
                found = following
            # A window of its own: an older one may show what its writer has overwritten since.
            self._transaction(found, Window(self._file, found.end))
            self._end = found.end
            if self._ahead is not None:
                self._ahead.sweep.resume(self._end, self._last_tid)
            if self._end - self._told >= _TELL_EVERY_BYTES:
                self._went_on()
        self._tell(self._end)

    def _go_ahead(self, ahead: GoneAhead) -> bool:
        """Have native code take what it can; return whether that was something."""
        before = self._end
        ahead.sweep.run(_TELL_EVERY_BYTES)
        self._end = ahead.sweep.position
        if self._end == before:
            return False
        self._last_tid = ahead.sweep.last_tid
        ahead.look_into_odd(self._classes)
        for position in ahead.sweep.take_blobs():
            if self._blobs is not None:
                self._blobs.record_at(position)
        self._went_on()
        return True

    def _went_on(self) -> None:
        self._read_ahead.reached(self._end)
        self._tell(self._end)

    @property
    def _whole(self) -> int:
        return self._size * (2 if self._follow_references else 1)

    def _tell(self, done: int) -> None:
        if self._progress is not None and done != self._told:
            self._told = done
            self._progress(done, self._whole)

    def _tell_more(self, position: int) -> None:
        if self._size + position - self._told >= _TELL_EVERY_BYTES:
            self._tell(self._size + position)

    def _past_damage(self, unsound: Unsound) -> Transaction | None:
        """Report a transaction that is not sound; return the next one to look at, if any."""
        position, found, expected = unsound.position, unsound.found, unsound.expected
        scanner = Scanner(self._file, self._size)
        if unsound.unfinished and written_end(self._file, self._end, self._size) == self._end:
            return None  # a reserve
        if unsound.unfinished:
            self._findings.append(UnfinishedEnd(self._end, found, expected))
            return None
        if is_torn(self._file, self._size, unsound, self._end):
            self._findings.append(TornEnd(position, found, expected))
            return None
        structure = scanner.structure(self._end)
        if isinstance(structure, Transaction):
            self._findings.append(WrongChecksum(position, found, expected))
            return structure
        following = next_sound(self._file, scanner, self._end, self._last_tid)
        resumed_at = None if following is None else following.position
        self._findings.append(DamagedTransaction(position, found, expected, resumed_at=resumed_at))
        return following

    def _transaction(self, transaction: Transaction, window: Window) -> None:
        tid, status = transaction.header.tid, transaction.header.status
        self._transactions += 1
        if transaction.trailer is None:
            self._unchecked += 1
        if tid <= self._last_tid:
            found, expected = tid_repr(tid), f"a tid later than {tid_repr(self._last_tid)}"
            self._findings.append(WrongOrder(transaction.position, found, expected))
        if transaction.broken_trailer:
            found = "a trailer that is not bound to its transaction any more"
            expected = "one that is; the rest of it fits"
            self._findings.append(WrongChecksum(transaction.position, found, expected))
        self._last_tid = max(tid, self._last_tid)
        self._walk(transaction, window, packed=status != b" ")
        if status != b"u":
            for oid, position in transaction.records.items():
                self._positions.put(oid, position)

    def _walk(self, transaction: Transaction, window: Window, packed: bool) -> None:
        tid, positions = transaction.header.tid, self._positions
        unpack = RECORD_HEADER.unpack_from
        cover, read_size = window.cover, _HEADER_SIZE + HEAD_SIZE
        self._records += len(transaction.records)
        for oid, at in transaction.records.items():
            start = window.start
            if at < start or at + read_size > start + len(window.data):
                cover(at, read_size)
                start = window.start
            _, record_tid, previous, _, _, size = unpack(window.data, at - start)
            if record_tid != tid:
                expected = f"that of its transaction, {tid_repr(tid)}"
                self._findings.append(WrongOrder(at, tid_repr(record_tid), expected, oid))
            if previous != positions.get(oid) and (previous or not packed):
                self._previous(oid, at, previous)
            if size:
                self._classes.add(window.data, at - start + _HEADER_SIZE, size)
                positions.set_gone(oid, False)
                if self._ahead is not None:
                    self._ahead.follow(at)
            else:
                self._back(oid, at, window.data, at - start + _HEADER_SIZE)
            if self._blobs is not None:
                self._blobs.record(oid, at, tid, size)

    def _previous(self, oid: bytes, at: int, previous: int) -> None:
        found = f"a previous record at {previous}"
        newest = self._positions.get(oid)
        expected = f"it at {newest}" if newest else "none"
        self._findings.append(WrongPointer(at, found, expected, oid))

    def _back(self, oid: bytes, at: int, data: bytes, offset: int) -> None:
        """Check where a record points that has no data of its own."""
        back: int
        (back,) = NUMBER.unpack_from(data, offset)
        if not back:
            self._positions.set_gone(oid, True)
            return
        self._positions.set_gone(oid, False)
        head = self._file.read(back, _HEADER_SIZE) if back < at else b""
        if len(head) < _HEADER_SIZE or head[:8] != oid:
            found = f"data at {back}"
            expected = f"data of oid {oid_repr(oid)}, before this record"
            self._findings.append(WrongPointer(at, found, expected, oid))
