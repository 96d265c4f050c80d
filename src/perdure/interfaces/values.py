"""Values that travel between the floors: metadata of transactions, revisions, records."""

import pickle
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

__all__ = [
    "EXTENSION_PROTOCOL",
    "Loaded",
    "PlainRevision",
    "Revision",
    "StoredRecord",
    "TransactionMetaData",
    "dump_extension",
    "load_extension",
]

EXTENSION_PROTOCOL: Final = 3
"""The pickle protocol of extensions: the one that ZODB writes, so that it reads ours."""


class Loaded(NamedTuple):
    """The current record of an object and the tid that wrote it."""

    data: bytes
    tid: bytes


class Revision(NamedTuple):
    """One record of an object and when it was current: from `tid`, until before `next_tid`.

    `next_tid` is None while the record is the current one.
    """

    data: bytes
    tid: bytes
    next_tid: bytes | None


PlainRevision = tuple[bytes, bytes, bytes | None]
"""A `Revision` as storages return it: a plain tuple, which servers can send to anybody."""


@dataclass(slots=True)
class StoredRecord:
    """One record as an iteration yields it; layers that transform data replace `data`.

    `data` is None where the object's creation was undone or the object was
    deleted. `data_txn` is the tid that first wrote these bytes, if the record
    only points back to them (an undo does that), else None.
    """

    oid: bytes
    tid: bytes
    data: bytes | None
    data_txn: bytes | None = None
    version: str = ""


def dump_extension(extension: dict[str, Any]) -> bytes:
    """Return an extension as bytes; nothing at all for an empty one."""
    return pickle.dumps(extension, EXTENSION_PROTOCOL) if extension else b""


def load_extension(extension_bytes: bytes) -> dict[str, Any]:
    """Return the extension that `extension_bytes` hold; short strings of Python 2 as text.

    Where Python 2 wrote bytes that are not ASCII, those stay `bytes`.
    """
    if not extension_bytes:
        return {}
    try:
        extension = pickle.loads(extension_bytes)
    except UnicodeDecodeError:
        extension = pickle.loads(extension_bytes, encoding="bytes")
        extension = {
            key.decode("ascii", "replace") if isinstance(key, bytes) else key: value
            for key, value in extension.items()
        }
    return dict(extension)


class TransactionMetaData:
    """What a storage is told about a transaction, and where it keeps its notes on it.

    `user` and `description` are bytes (text is encoded as UTF-8); `extension` is
    a dictionary of anything picklable, `extension_bytes` the same as it is
    stored. Given bytes, they are kept exactly as they are and read only when
    `extension` is asked for.
    """

    def __init__(
        self,
        user: str | bytes = "",
        description: str | bytes = "",
        extension: dict[str, Any] | bytes | None = None,
    ) -> None:
        # As the setters do, for a call less each: every commit makes one of these.
        self._user = user.encode() if isinstance(user, str) else user
        self._description = description.encode() if isinstance(description, str) else description
        self._dictionary: dict[str, Any] | None = None
        self._extension_bytes: bytes | None = None
        if isinstance(extension, bytes):
            self._extension_bytes = extension
        else:
            self._dictionary = {} if extension is None else extension
        self._data: dict[int, tuple[object, Any]] = {}

    @property
    def user(self) -> bytes:
        return self._user

    @user.setter
    def user(self, user: str | bytes) -> None:
        self._user = user.encode() if isinstance(user, str) else user

    @property
    def description(self) -> bytes:
        return self._description

    @description.setter
    def description(self, description: str | bytes) -> None:
        self._description = description.encode() if isinstance(description, str) else description

    @property
    def extension(self) -> dict[str, Any]:
        if self._dictionary is None:
            self._dictionary = load_extension(self._extension_bytes or b"")
        return self._dictionary

    @extension.setter
    def extension(self, extension: dict[str, Any]) -> None:
        self._dictionary = extension
        self._extension_bytes = None

    @property
    def extension_bytes(self) -> bytes:
        # Not remembered when dumped: the dictionary may still change.
        if self._extension_bytes is not None:
            return self._extension_bytes
        return dump_extension(self._dictionary) if self._dictionary else b""

    @extension_bytes.setter
    def extension_bytes(self, extension_bytes: bytes) -> None:
        self._extension_bytes = extension_bytes
        self._dictionary = None

    def data(self, ob: object) -> Any:
        """Return what `ob` kept here; `KeyError` if it kept nothing."""
        try:
            return self._data[id(ob)][1]
        except KeyError:
            raise KeyError(ob) from None

    def set_data(self, ob: object, data: Any) -> None:
        """Keep `data` for `ob`, told apart from others by identity."""
        # Holding the owner keeps its id from being given to another object.
        self._data[id(ob)] = (ob, data)

    def note(self, text: str) -> None:
        """Append a line to the description."""
        line = text.strip().encode()
        self.description = self.description + b"\n" + line if self.description else line


class HasMetaData(Protocol):
    """The part of a transaction that every storage reads."""

    user: bytes
    description: bytes

    @property
    def extension(self) -> dict[str, Any]: ...

    @property
    def extension_bytes(self) -> bytes: ...

    def data(self, ob: object) -> Any: ...

    def set_data(self, ob: object, data: Any) -> None: ...
