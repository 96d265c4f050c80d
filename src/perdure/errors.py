"""The error tree: ZODB's names and bases, with Perdure's own errors inside it.

Every error is a `POSError`. It carries its facts as attributes (oid, tids,
class, path, position) and prints where, what was found, what was expected and
what to do next. Retry what is a `transaction.interfaces.TransientError`: the
conflicts. Everything below `StorageError` is the storage's: its bytes, its
locks, its state.
"""

import pickle
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any

import transaction.interfaces
import zc.lockfile
from persistent.timestamp import TimeStamp

from perdure.ids import oid_repr, tid_repr

__all__ = [
    "AddressError",
    "BTreesConflictError",
    "BackupError",
    "BaseChangedError",
    "BlobError",
    "ConflictError",
    "ConnectionStateError",
    "CorruptDataError",
    "DanglingReferenceError",
    "ExportError",
    "FileAccessError",
    "FileLockedError",
    "FileMissingError",
    "FileReplacedError",
    "FileStorageError",
    "FileStorageFormatError",
    "FileStorageQuotaError",
    "FileStorageSpaceError",
    "InvalidObjectReference",
    "MissingBlobError",
    "MountedStorageError",
    "MultipleUndoErrors",
    "OpenBlobError",
    "POSError",
    "POSKeyError",
    "PackCancelledError",
    "PathError",
    "ReadConflictError",
    "ReadOnlyError",
    "ReadOnlyHistoryError",
    "RecordTooLargeError",
    "SnapshotError",
    "StateLoadError",
    "StorageClosedError",
    "StorageError",
    "StorageStopIteration",
    "StorageSystemError",
    "StorageTransactionError",
    "TransactionTooLargeError",
    "UndoError",
    "UnpicklableError",
    "Unsupported",
    "VersionCommitError",
    "VersionError",
    "VersionLockError",
]

Path = str | PathLike[str]


def _rebuild(cls: type["POSError"], args: tuple[Any, ...], facts: dict[str, Any]) -> "POSError":
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class POSError(Exception):
    """Anything that goes wrong in a persistent object system.

    Errors pickle with their facts whatever the arguments of their constructor.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class POSKeyError(POSError, KeyError):
    """No record with this oid can be seen.

    `oid` is what was looked for. Where the object was reached through another
    one, `referrer_oid` and `referrer_class` name that object; `class_name` is
    the class that the reference recorded. Each is None where it is unknown.
    """

    def __init__(
        self,
        oid: bytes | None = None,
        *more: object,
        class_name: str | None = None,
        referrer_oid: bytes | None = None,
        referrer_class: str | None = None,
    ) -> None:
        super().__init__(oid, *more)
        self.oid = oid
        self.class_name = class_name
        self.referrer_oid = referrer_oid
        self.referrer_class = referrer_class

    def __str__(self) -> str:
        text = f"no object with oid {oid_repr(self.oid)}"
        if self.class_name is not None:
            text += f" (class {self.class_name})"
        if self.referrer_oid is not None:
            text += f", referred to by oid {oid_repr(self.referrer_oid)}"
            if self.referrer_class is not None:
                text += f" (class {self.referrer_class})"
        return text


class MissingBlobError(POSKeyError):
    """A blob has no file for this revision: `oid`, `tid`, and the `path` that was looked at."""

    def __init__(self, oid: bytes, tid: bytes, path: Path) -> None:
        super().__init__(oid, tid, path)
        self.tid = tid
        self.path = fspath(path)

    def __str__(self) -> str:
        return (
            f"{self.path}: found no file, expected the blob of oid {oid_repr(self.oid)} as the "
            f"transaction {tid_repr(self.tid)} wrote it; bring it back from a backup, "
            "unless that revision was packed away"
        )


class ConflictError(POSError, transaction.interfaces.TransientError):
    """Two transactions wanted to change the same object; run this one again.

    `oid` and `class_name` name the object, `message` says what happened.
    `serials` is a pair of tids: the revision committed meanwhile, then the one
    that this transaction had read. Unknown facts are None.

    The object is given as `object` or as `oid`; its class by `object`, by
    `class_name`, or by `data`, a record that begins with the name of its class.
    """

    def __init__(
        self,
        message: str | None = None,
        object: Any = None,  # noqa: A002  ZODB's name for this argument
        oid: bytes | None = None,
        serials: tuple[bytes, bytes] | None = None,
        data: bytes | None = None,
        class_name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = "database conflict error" if message is None else message
        self.oid = oid
        self.class_name = class_name
        self.serials = serials
        if object is not None:
            self.oid = object._p_oid
            self.class_name = dotted_name(type(object))
        elif data is not None and class_name is None:
            self.class_name = _class_name_in(data)

    def __str__(self) -> str:
        facts = []
        if self.oid is not None:
            facts.append(f"oid {oid_repr(self.oid)}")
        if self.class_name is not None:
            facts.append(f"class {self.class_name}")
        if self.serials is not None:
            committed, read = self.serials
            facts.append(f"this transaction read revision {_tid_and_time(read)}")
            facts.append(f"committed meanwhile is {_tid_and_time(committed)}")
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def get_oid(self) -> bytes | None:
        return self.oid

    def get_class_name(self) -> str | None:
        return self.class_name

    def get_old_serial(self) -> bytes:
        return self.get_serials()[1]

    def get_new_serial(self) -> bytes:
        return self.get_serials()[0]

    def get_serials(self) -> tuple[bytes, bytes]:
        if self.serials is None:
            raise ValueError("this conflict does not know its serials")
        return self.serials


class ReadConflictError(ConflictError):
    """An object that this transaction relied on was changed by another one."""

    def __init__(
        self,
        message: str | None = None,
        object: Any = None,  # noqa: A002  ZODB's name for this argument
        serials: tuple[bytes, bytes] | None = None,
        oid: bytes | None = None,
        data: bytes | None = None,
        class_name: str | None = None,
    ) -> None:
        super().__init__(
            "database read conflict error" if message is None else message,
            object=object,
            oid=oid,
            serials=serials,
            data=data,
            class_name=class_name,
        )


# By the number that BTrees' merge gives up with (`MergeTemplate.c`).
_BTREE_REASONS = (
    "a bucket was split, so the two cannot be lined up",
    "both changed the value of one key, differently",
    "the other transaction changed the value of a key that this one deleted",
    "this transaction changed the value of a key that the other one deleted",
    "both inserted one key, or both deleted it",
    "both deleted one key",
    "both inserted one key",
    "both deleted one key, or the other changed what this one deleted",
    "both deleted one key, or this one changed what the other deleted",
    "both deleted one key",
    "together they empty the bucket, which its tree would have to unlink",
    "an inner node of the tree changed, not just a bucket",
    "one of them left the bucket empty",
    "the first key was deleted, which changes the node above",
)


class BTreesConflictError(ConflictError):
    """Two transactions changed one BTree bucket in ways that do not merge.

    `p1`, `p2` and `p3` are the positions in the original, the committed and the
    new bucket at which merging gave up (-1: past the end); `reason` is BTrees'
    number for why.
    """

    msgs = _BTREE_REASONS

    def __init__(self, p1: int, p2: int, p3: int, reason: int) -> None:
        super().__init__()
        self.p1 = p1
        self.p2 = p2
        self.p3 = p3
        self.reason = reason

    def __repr__(self) -> str:
        return f"BTreesConflictError({self.p1}, {self.p2}, {self.p3}, {self.reason})"

    def __str__(self) -> str:
        known = 0 <= self.reason < len(self.msgs)
        why = self.msgs[self.reason] if known else f"reason {self.reason}"
        return f"BTrees conflict error at {self.p1}/{self.p2}/{self.p3}: {why}"


class DanglingReferenceError(POSError, transaction.interfaces.TransactionError):
    """An object refers to an object that is gone: `referer` to `missing`."""

    def __init__(self, referer: bytes, missing: bytes) -> None:
        super().__init__(referer, missing)
        self.referer = referer
        self.missing = missing

    def __str__(self) -> str:
        return (
            f"from oid {oid_repr(self.referer)} to oid {oid_repr(self.missing)}, "
            "which does not exist"
        )


class VersionError(POSError):
    """Versions, which ZODB gave up long ago, were asked for."""


class VersionCommitError(VersionError):
    """An invalid combination of versions was committed (kept for its name)."""


class VersionLockError(VersionError, transaction.interfaces.TransactionError):
    """An object was locked by a version (kept for its name)."""


class UndoError(POSError):
    """A transaction cannot be undone: `reason`, and the `oid` it failed at, or None."""

    def __init__(self, reason: str, oid: bytes | None = None) -> None:
        super().__init__(reason, oid)
        self.reason = reason
        self.oid = oid

    def __str__(self) -> str:
        where = f" at oid {oid_repr(self.oid)}" if self.oid is not None else ""
        return f"cannot undo{where}: {self.reason}"


class MultipleUndoErrors(UndoError):
    """Undo failed at several objects; `errors` lists (oid, reason) pairs."""

    def __init__(self, errors: Sequence[tuple[bytes, str]]) -> None:
        super().__init__("several objects changed since", errors[0][0] if errors else None)
        self.args = (errors,)
        self.errors = self._errs = list(errors)

    def __str__(self) -> str:
        return "cannot undo:\n" + "\n".join(
            f"  oid {oid_repr(oid)}: {reason}" for oid, reason in self.errors
        )


class StorageError(POSError):
    """A storage refuses or fails."""


class StorageTransactionError(StorageError):
    """A two-phase call came with the wrong transaction or at the wrong time."""


class TransactionTooLargeError(StorageTransactionError):
    """A transaction exceeds what the storage can take in one."""


class StorageSystemError(StorageError):
    """A storage's own machinery failed: the disk, the network, a lock."""


class MountedStorageError(StorageError):
    """A mounted storage cannot be reached."""


class StorageClosedError(StorageError):
    """A storage was used after it was closed, or after a fault that closed it for good."""


class BaseChangedError(StorageError):
    """The storage below a layer changed, which the layer relies on not to happen.

    `base` names the storage; `expected` is the newest tid that it had when the
    layer was made, `found` the one that it has now.
    """

    def __init__(self, base: str, expected: bytes, found: bytes) -> None:
        super().__init__(base, expected, found)
        self.base = base
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"the base {self.base} changed below its layer: found transaction "
            f"{tid_repr(self.found)}, expected {tid_repr(self.expected)} to be the last; "
            "put the layer on a BeforeStorage over the base, which stays as it is"
        )


class SnapshotError(StorageError):
    """A moment of the past cannot be shown.

    `storage` names the storage, `before` is the tid that bounds the moment,
    `reason` says what is in the way.
    """

    def __init__(self, storage: str, before: bytes, reason: str) -> None:
        super().__init__(storage, before, reason)
        self.storage = storage
        self.before = before
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.storage} cannot be shown as before {_tid_and_time(self.before)}: {self.reason}"
        )


class FileLockedError(StorageError, zc.lockfile.LockError):
    """Another process, or another storage of this one, has the file open for writing.

    `path` is the database file; `holder` says who has it, as far as is known.
    """

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(path, holder)
        self.path = fspath(path)
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"{self.path} is open for writing by {self.holder}; "
            "close it there, or open it with read_only=True"
        )


class FileStorageError(StorageError):
    """A data file cannot be used as asked."""


class FileStorageFormatError(FileStorageError):
    """A file is not a database, or one of a format that this version does not read."""

    def __init__(self, path: Path, found: str, expected: str, advice: str = "") -> None:
        super().__init__(path, found, expected, advice)
        self.path = fspath(path)
        self.found = found
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{advice}"


class CorruptDataError(FileStorageError, StorageSystemError):
    """Bytes on disk contradict the format or their checksum; reading on would be guessing.

    `path` is the file, `position` counts bytes from its start, `oid` is the
    record's, or None where the damage is not inside one record.
    """

    def __init__(
        self, path: Path, position: int, found: str, expected: str, oid: bytes | None = None
    ) -> None:
        super().__init__(path, position, found, expected, oid)
        self.path = fspath(path)
        self.position = position
        self.found = found
        self.expected = expected
        self.oid = oid

    def __str__(self) -> str:
        where = f", oid {oid_repr(self.oid)}" if self.oid is not None else ""
        return (
            f"{self.path}, byte {self.position}{where}: found {self.found}, "
            f"expected {self.expected}; run `perdure check {self.path}`"
        )


class FileMissingError(FileStorageError, FileNotFoundError):
    """A data file that should be read is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = fspath(path)

    def __str__(self) -> str:
        return f"{self.path}: there is no such file; without read_only=True it would be created"


class FileAccessError(FileStorageError, StorageSystemError, OSError):
    """The operating system refused something: no permission, a full disk, a broken one.

    `path` is the file, `action` what was to be done with it, `cause` the
    `OSError` that says why (its `errno` is also this error's). `consequence`
    says what that means for the storage.
    """

    def __init__(self, path: Path, action: str, cause: OSError, consequence: str) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.args = (path, action, cause, consequence)
        self.path = fspath(path)
        self.action = action
        self.cause = cause
        self.consequence = consequence

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __str__(self) -> str:
        why = self.cause.strerror or str(self.cause)
        return f"{self.path}: cannot {self.action}: {why}; {self.consequence}"


class FileReplacedError(FileStorageError, StorageSystemError):
    """The open file was deleted, or another one has taken its name; nothing was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = fspath(path)

    def __str__(self) -> str:
        return (
            f"{self.path}: found another file or none at this path, expected the one that is "
            "open; nothing was written; put the file back, or close the storage and open it again"
        )


class FileStorageQuotaError(FileStorageError, StorageSystemError):
    """A commit would make the file larger than its quota; nothing was written."""


class FileStorageSpaceError(FileStorageError, StorageSystemError):
    """There is no room for the copy that a pack makes; the file is as it was.

    `needed_bytes` is about the size of the copy, `free_bytes` what the file system of
    `path` has.
    """

    def __init__(self, path: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(path, needed_bytes, free_bytes)
        self.path = fspath(path)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes

    def __str__(self) -> str:
        return (
            f"{self.path}: found {self.free_bytes} free bytes, expected {self.needed_bytes} for "
            "a packed copy; the file is as it was; make room there, and pack again"
        )


class PackCancelledError(StorageError):
    """A pack was told to end before it was done; the database is as it was."""


class ReadOnlyError(StorageError):
    """A write to a storage, or through a connection, that only reads."""


class ReadOnlyHistoryError(POSError):
    """A write through a connection that shows the past."""


class ExportError(POSError):
    """An export file is not one, or is cut short."""


class Unsupported(POSError):
    """A storage does not have the capability that was asked for."""


class _FoundOnTheWayError(POSError):
    """An error about one of many objects that a commit stores; `trail` led to it."""

    trail: tuple[str, ...] = ()

    def found_through(self, trail: Sequence[str]) -> None:
        """Remember the objects, outermost first, through which the commit came here."""
        self.trail = tuple(trail)

    def _through(self) -> str:
        return f"; reached through {' -> '.join(self.trail)}" if len(self.trail) > 1 else ""


class InvalidObjectReference(_FoundOnTheWayError):
    """An object refers to one that it must not: of another connection, or of two databases.

    Where it was noticed while storing an object, `oid` and `class_name` name that
    object, `path` says where in its state the reference stands, and `trail`
    lists the new objects that led to it, outermost first.
    """

    oid: bytes | None = None
    class_name: str | None = None
    path: str | None = None

    def found_in(self, oid: bytes | None, class_name: str, path: str) -> None:
        """Remember the object being stored and the place in its state."""
        self.oid = oid
        self.class_name = class_name
        self.path = path

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else "an object refers to one that it must not"
        if self.class_name is not None:
            text += f" (found in oid {oid_repr(self.oid)}, class {self.class_name}"
            text += f", at {self.path})" if self.path else ")"
        return text + self._through()


class ConnectionStateError(POSError):
    """A connection is closed, in use elsewhere, or cannot do this in its present state."""


class StateLoadError(POSError):
    """A record was read but its state cannot be given to the object.

    `oid` and `class_name` name the object and `reason` says what failed; each is
    None where it is unknown. The error that was met is its `__cause__`.
    """

    def __init__(
        self,
        oid: bytes | None = None,
        class_name: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(oid, class_name, reason)
        self.oid = oid
        self.class_name = class_name
        self.reason = reason

    def __str__(self) -> str:
        which = f"oid {oid_repr(self.oid)}" if self.oid is not None else "a record"
        if self.class_name is not None:
            which += f" (class {self.class_name})"
        return f"cannot load {which}: {self.reason or 'its state was refused'}"


class UnpicklableError(_FoundOnTheWayError, pickle.PicklingError, TypeError):
    """An object's state cannot be stored.

    `oid` and `class_name` name the persistent object, `reason` says what in its
    state was refused. It is also the error that `pickle` itself would raise.
    """

    def __init__(self, oid: bytes | None, class_name: str, reason: str) -> None:
        super().__init__(oid, class_name, reason)
        self.oid = oid
        self.class_name = class_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"cannot store oid {oid_repr(self.oid)} (class {self.class_name}): {self.reason}"
            f"{self._through()}; keep it in a _v_ attribute, or leave it out in __getstate__"
        )


class RecordTooLargeError(UnpicklableError):
    """One object's state has more bytes than a record can hold."""

    def __str__(self) -> str:
        return (
            f"cannot store oid {oid_repr(self.oid)} (class {self.class_name}): {self.reason}"
            f"{self._through()}; split it into several persistent objects, or keep it in a blob"
        )


class BlobError(Exception):
    """A blob was used against its rules (its base is `Exception`, as in ZODB)."""


class OpenBlobError(BlobError, ValueError):
    """A blob was to be stored while a file of it is open (also a `ValueError`, as in ZODB)."""


class StorageStopIteration(IndexError, StopIteration):
    """The end of an iteration over a storage (ZODB's bases)."""


class AddressError(POSError, ValueError):
    """A database address that cannot be understood.

    `address` is the whole of it, `part` the piece that is wrong, `reason` why,
    and `nearest` an address that would be right, or "".
    """

    def __init__(self, address: str, part: str, reason: str, nearest: str = "") -> None:
        super().__init__(address, part, reason, nearest)
        self.address = address
        self.part = part
        self.reason = reason
        self.nearest = nearest

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"address {self.address!r}: {self.part!r} {self.reason}{hint}"


class BackupError(POSError):
    """A file of a backup is missing or damaged, or a directory is not used for backups.

    `path` is the file or directory; `advice` says what to do, or is "".
    """

    def __init__(self, path: Path, found: str, expected: str, advice: str = "") -> None:
        super().__init__(path, found, expected, advice)
        self.path = fspath(path)
        self.found = found
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{advice}"


class PathError(POSError, LookupError):
    """A path from the root leads nowhere; `part` is the piece of it that does, `reason` why."""

    def __init__(self, path: str, part: str, reason: str) -> None:
        super().__init__(path, part, reason)
        self.path = path
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        return f"path {self.path!r}: {self.part!r} {self.reason}"


def dotted_name(cls: type) -> str:
    """Return the name by which errors call a class: its module and its name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _tid_and_time(tid: bytes) -> str:
    moment = datetime.fromtimestamp(TimeStamp(tid).timeTime(), UTC)
    return f"{tid_repr(tid)} of {moment:%Y-%m-%d %H:%M:%S.%f}"


# PROTO, then perhaps MARK, then GLOBAL: how the class stands at the head of a record.
_CLASS_AT_HEAD = re.compile(rb"\x80.\(?c([^\n]+)\n([^\n]+)\n", re.DOTALL)


def _class_name_in(record: bytes) -> str | None:
    match = _CLASS_AT_HEAD.match(record)
    return b".".join(match.groups()).decode("utf-8", "replace") if match else None
