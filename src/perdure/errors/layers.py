"""Errors of layers: records that cannot be turned back, keys, backups that are replicated to."""

from collections.abc import Iterable
from os import fspath

from perdure.errors.root import Path, POSError
from perdure.errors.storages import StorageError
from perdure.ids import oid_repr, tid_repr


class TransformError(StorageError):
    """A stored record cannot be turned back into what it was.

    `oid` and `tid` say which record, None where that is not known (a pack looks at
    records without knowing whose they are).
    """

    def __init__(self, oid: bytes | None, tid: bytes | None, found: str, advice: str) -> None:
        super().__init__(oid, tid, found, advice)
        self.oid = oid
        self.tid = tid
        self.found = found
        self.advice = advice

    def __str__(self) -> str:
        of = "a record" if self.oid is None else f"the record of oid {oid_repr(self.oid)}"
        by = "" if self.tid is None else f" as of {tid_repr(self.tid)}"
        return f"{of}{by}: {self.found}; {self.advice}"


class UnknownMarkerError(TransformError):
    """A record begins with a marker that this layer does not know; `marker` is its two bytes."""

    def __init__(self, oid: bytes | None, tid: bytes | None, marker: bytes, advice: str) -> None:
        super().__init__(oid, tid, f"found the unknown marker {marker!r}", advice)
        self.marker = marker


class DamagedRecordError(TransformError):
    """What a layer wrote is not what it reads now: bytes of the record, or blob, changed."""


class MisplacedRecordError(TransformError):
    """An encrypted record is genuine, and is not where it was written.

    It was put in the place of another object, or of another revision of its own.
    """


class UnknownKeyError(TransformError):
    """A record was encrypted with a key that is not among those that were given.

    `key_id` is the id of that key, `known` those of the keys at hand, in hexadecimal.
    """

    def __init__(
        self, oid: bytes | None, tid: bytes | None, key_id: str, known: Iterable[str]
    ) -> None:
        self.key_id = key_id
        self.known = tuple(known)
        super().__init__(
            oid,
            tid,
            f"encrypted with key {key_id}, and the keys given are {', '.join(self.known)}",
            "this is the wrong key, not damage: give the right one, too",
        )


class UnknownDictionaryError(TransformError):
    """A record was compressed with a dictionary that was not given; `dictionary_id` is its id."""

    def __init__(
        self, oid: bytes | None, tid: bytes | None, dictionary_id: int, known: Iterable[int]
    ) -> None:
        self.dictionary_id = dictionary_id
        self.known = tuple(known)
        given = ", ".join(map(str, self.known)) or "none"
        super().__init__(
            oid,
            tid,
            f"compressed with dictionary {dictionary_id}, and those given are: {given}",
            "give the file of that dictionary, too",
        )


class KeySourceError(StorageError):
    """There is no usable key where one should be: a file, an environment variable, a function.

    `source` says where, `found` what is there, `expected` what should be.
    """

    def __init__(self, source: Path, found: str, expected: str) -> None:
        super().__init__(fspath(source), found, expected)
        self.source = fspath(source)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.source}: found {self.found}, expected {self.expected}"


class MissingExtraError(POSError, ImportError):
    """Something needs a package that is not installed; `extra` is Perdure's extra that has it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what = what
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs the package {self.package}, which is not installed; "
            f"install it with: pip install 'perdure[{self.extra}]'"
        )


class ReplicaDivergedError(StorageError):
    """A backup has something that its primary does not have: it is a copy of another database.

    `replica` and `primary` name the storages; `tid` is the transaction in question.
    """

    def __init__(self, replica: str, primary: str, tid: bytes, found: str) -> None:
        super().__init__(replica, primary, tid, found)
        self.replica = replica
        self.primary = primary
        self.tid = tid
        self.found = found

    def __str__(self) -> str:
        return (
            f"{self.replica} is no copy of {self.primary}: {self.found} {tid_repr(self.tid)}; "
            "nothing was written to it; replicate to an empty storage"
        )


class ReplicaAwayError(StorageError):
    """A backup that every commit has to reach cannot be written; nothing was committed.

    `replica` names it, `reason` says why.
    """

    def __init__(self, replica: str, reason: str) -> None:
        super().__init__(replica, reason)
        self.replica = replica
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the backup {self.replica} cannot be written: {self.reason}; "
            "nothing was committed; bring it back, or replicate asynchronously"
        )
