"""Checking a database: does everything in it fit together, and is nothing missing.

A data file is read once in order, for its structure, pointers and checksums, and
then record by record, each current one, for references. It may be in use: what
is looked at is the file up to the last transaction that was complete when the
check began. Any other storage is asked for its current records.

No class is imported, and nothing is written.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perdure.blobs import BlobDirectory, open_blob_directory
from perdure.errors import CorruptDataError, StateLoadError
from perdure.fileops import FileOperations
from perdure.ids import ZERO, oid_repr, tid_repr
from perdure.records import class_name, is_blob, references
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.format import (
    MAGIC,
    NUMBER,
    RECORD_HEADER,
)
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.openfile import open_data_file
from perdure.storages.file.resync import next_sound
from perdure.storages.file.scan import Scanner, Transaction, Unsound, examine_again
from perdure.storages.file.tail import is_torn
from perdure.storages.file.window import Window
from perdure.tools.census import DAMAGED, ClassRoom
from perdure.tools.findings import (
    DamagedTransaction,
    Finding,
    MissingBlob,
    MissingObject,
    TornEnd,
    UnfinishedEnd,
    UnreadableRecord,
    WrongChecksum,
    WrongOrder,
    WrongPointer,
)
from perdure.tools.moment import Moment
from perdure.tools.progress import Progress

__all__ = ["Checked", "check", "check_file"]

_HEADER_SIZE: Final = RECORD_HEADER.size
_TELL_EVERY_BYTES: Final = 1 << 22
_TELL_EVERY_OBJECTS: Final = 1000

# The class at the head of a record, in the plain form that nearly all have.
_HEAD: Final = re.compile(rb"\x80.c([^\n]+)\n([^\n]+)\Z", re.DOTALL)
_HEAD_SIZE: Final = 512


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and what was found.

    `size_bytes` is the part of the file that was looked at. `unchecked` counts
    transactions without a checksum, as ZODB writes them. `classes` counts the
    records that were seen, of a file those of every revision, the largest class
    first. `references` says whether references were followed.
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

    @property
    def sound(self) -> bool:
        """Whether nothing was found that is damage."""
        return not any(finding.damage for finding in self.findings)


def check_file(
    path: str | os.PathLike[str],
    *,
    blob_dir: str | os.PathLike[str] | None = None,
    follow_references: bool = True,
    progress: Progress | None = None,
) -> Checked:
    """Check the data file at `path`, and that its blobs are in `blob_dir` where that is given.

    `follow_references` looks into every current record: is it readable, and does
    what it refers to exist. `progress` counts bytes; with references the file
    counts twice.

    Raises what opening a file raises: `FileMissingError`, `FileAccessError`,
    `FileStorageFormatError`. Damage is not raised but found.
    """
    operations = FileOperations()
    file = open_data_file(operations, Path(path), read_only=True, create=False)
    blobs = None
    if blob_dir is not None:
        blobs = open_blob_directory(Path(blob_dir), operations, read_only=True)
    pass_ = _FileCheck(file, blobs, follow_references, progress)
    pass_.transactions_in_order()
    if follow_references:
        pass_.current_records()
    return pass_.result()


def check(storage: Any, progress: Progress | None = None) -> Checked:
    """Check the current records of any storage: are they readable, does what they refer to exist.

    `progress` counts objects. Raises `Unsupported` if the storage cannot list them.
    """
    moment = Moment(storage)
    census = _Census()
    findings: list[Finding] = []
    referred: dict[bytes, bytes] = {}  # to the first that refers
    existing = set()
    for oid, (data, _) in moment.records(progress):
        existing.add(oid)
        census.add(data, 0, len(data))
        try:
            for target in references(data):
                referred.setdefault(target, oid)
        except StateLoadError as error:
            findings.append(UnreadableRecord(None, str(error), "two pickles", oid))
    for target, oid in referred.items():
        if target not in existing and not _exists(storage, target):
            findings.append(_missing(None, oid, target))
    return Checked(
        name=storage.getName(),
        size_bytes=storage.getSize(),
        transactions=0,
        unchecked=0,
        records=len(existing),
        objects=len(existing),
        references=True,
        classes=census.rooms(),
        findings=tuple(findings),
    )


def _exists(storage: Any, oid: bytes) -> bool:
    """Return whether an object exists that was not listed: perhaps it is newer."""
    try:
        storage.load(oid)
    except KeyError:
        return False
    return True


def _missing(position: int | None, oid: bytes, target: bytes) -> MissingObject:
    found = f"a reference to oid {oid_repr(target)}"
    return MissingObject(position, found, "one to an object that exists", oid, target)


class _Census:
    """Counts records by class; the class is read once for each way to write it."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._rooms: dict[str, list[int]] = {}

    def add(self, data: bytes, start: int, size: int) -> None:
        """Count the record of `size` bytes that begins at `start` of `data`."""
        end = data.find(b"\n", data.find(b"\n", start, start + _HEAD_SIZE) + 1, start + _HEAD_SIZE)
        head = data[start:end] if end > start else b""
        name = self._names.get(head)
        if name is None:
            name = self._name(head, data[start : start + size])
        room = self._rooms.get(name)
        if room is None:
            self._rooms[name] = [1, size]
        else:
            room[0] += 1
            room[1] += size

    def _name(self, head: bytes, record: bytes) -> str:
        plain = _HEAD.match(head)
        if plain is not None:
            try:
                name = f"{plain[1].decode()}.{plain[2].decode()}"
            except UnicodeDecodeError:
                return DAMAGED
            self._names[head] = name
            return name
        try:
            return class_name(record)
        except StateLoadError:
            return DAMAGED

    def rooms(self) -> tuple[ClassRoom, ...]:
        rooms = [ClassRoom(name, count, size) for name, (count, size) in self._rooms.items()]
        return tuple(sorted(rooms, key=lambda room: (-room.size_bytes, room.class_name)))


class _FileCheck:
    """One check of one file: what is known so far, and what was found."""

    def __init__(
        self,
        file: DataFile,
        blobs: BlobDirectory | None,
        follow_references: bool,
        progress: Progress | None,
    ) -> None:
        self._file = file
        self._blobs = blobs
        self._follow_references = follow_references
        self._progress = progress
        self._size = max(file.size(), len(MAGIC))
        self._end = len(MAGIC)
        self._index = PositionIndex()
        self._gone: set[bytes] = set()
        self._blob_oids: set[bytes] = set()
        self._census = _Census()
        self._transactions = self._unchecked = self._records = 0
        self._last_tid = ZERO
        self._findings: list[Finding] = []

    def transactions_in_order(self) -> None:
        """Check structure, order, pointers, checksums and blobs."""
        scanner = Scanner(self._file, self._size)
        window = Window(self._file, self._size)
        told = 0
        while self._end < self._size:
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
            self._transaction(found, window)
            self._end = found.end
            if self._progress is not None and self._end - told >= _TELL_EVERY_BYTES:
                told = self._end
                self._progress(told, self._whole)
        if self._progress is not None:
            self._progress(self._end, self._whole)

    @property
    def _whole(self) -> int:
        return self._size * (2 if self._follow_references else 1)

    def _past_damage(self, unsound: Unsound) -> Transaction | None:
        """Report a transaction that is not sound; return the next one to look at, if any."""
        position, found, expected = unsound.position, unsound.found, unsound.expected
        scanner = Scanner(self._file, self._size)
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
            self._index.update(transaction.records)

    def _walk(self, transaction: Transaction, window: Window, packed: bool) -> None:
        tid, newest, census, gone = (
            transaction.header.tid,
            self._index.get,
            self._census,
            self._gone,
        )
        unpack = RECORD_HEADER.unpack_from
        cover, read_size = window.cover, _HEADER_SIZE + _HEAD_SIZE
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
            if previous != newest(oid) and (previous or not packed):
                self._previous(oid, at, previous)
            if size:
                census.add(window.data, at - start + _HEADER_SIZE, size)
                gone.discard(oid)
            else:
                self._back(oid, at, window.data, at - start + _HEADER_SIZE)
            if self._blobs is not None:
                self._blob(oid, at, tid, size)

    def _previous(self, oid: bytes, at: int, previous: int) -> None:
        found = f"a previous record at {previous}"
        newest = self._index.get(oid)
        expected = f"it at {newest}" if newest else "none"
        self._findings.append(WrongPointer(at, found, expected, oid))

    def _back(self, oid: bytes, at: int, data: bytes, offset: int) -> None:
        """Check where a record points that has no data of its own."""
        back: int
        (back,) = NUMBER.unpack_from(data, offset)
        if not back:
            self._gone.add(oid)
            return
        self._gone.discard(oid)
        head = self._file.read(back, _HEADER_SIZE) if back < at else b""
        if len(head) < _HEADER_SIZE or head[:8] != oid:
            found = f"data at {back}"
            expected = f"data of oid {oid_repr(oid)}, before this record"
            self._findings.append(WrongPointer(at, found, expected, oid))

    def _blob(self, oid: bytes, at: int, tid: bytes, size: int) -> None:
        if size:
            record = self._file.read(at + _HEADER_SIZE, min(size, _HEAD_SIZE))
            if not is_blob(record):
                self._blob_oids.discard(oid)
                return
            self._blob_oids.add(oid)
        if oid in self._blob_oids and oid not in self._gone:
            assert self._blobs is not None  # noqa: S101  `_walk` saw to it
            if not self._blobs.has(oid, tid):
                path = self._blobs.path_of(oid, tid)
                self._findings.append(MissingBlob(at, "no file", str(path), oid, tid))

    def current_records(self) -> None:
        """Check that every current record can be read and refers to objects that exist."""
        positions = sorted(position for _, position in self._index.items())
        window = Window(self._file, self._size)
        told = 0
        for at in positions:
            window.cover(at, _HEADER_SIZE)
            oid, _, _, _, _, size = RECORD_HEADER.unpack_from(window.data, at - window.start)
            if oid not in self._gone:
                self._record(oid, at, window.read(at + _HEADER_SIZE, size or NUMBER.size), size)
            if self._progress is not None and at - told >= _TELL_EVERY_BYTES:
                told = at
                self._progress(self._size + at, self._whole)
        if self._progress is not None:
            self._progress(self._whole, self._whole)

    def _record(self, oid: bytes, at: int, data: bytes, size: int) -> None:
        back = at
        try:
            while not size:
                back = int.from_bytes(data, "big")
                header = self._file.record_header(back, oid)
                size = header.data_size
                data = self._file.read_exactly(back + _HEADER_SIZE, size or NUMBER.size, oid)
                if not size and int.from_bytes(data, "big") in (0, back):
                    return  # it points to an object that was gone
            targets = references(data)
        except CorruptDataError:
            return  # found before, as a wrong pointer
        except StateLoadError as error:
            self._findings.append(UnreadableRecord(at, str(error), "two pickles", oid))
            return
        index, gone = self._index.get, self._gone
        for target in targets:
            if target in gone or not index(target):
                self._findings.append(_missing(at, oid, target))

    def result(self) -> Checked:
        return Checked(
            name=str(self._file.path),
            size_bytes=self._end,
            transactions=self._transactions,
            unchecked=self._unchecked,
            records=self._records,
            objects=len(self._index) - len(self._gone),
            references=self._follow_references,
            classes=self._census.rooms(),
            findings=tuple(self._findings),
        )
