"""`ZODB.FileStorage.fsoids`: what happened to some objects, all over a data file."""

from typing import Final

from persistent.timestamp import TimeStamp

from perdure.ids import p64
from ZODB.FileStorage.FileStorage import FileIterator
from ZODB.serialize import get_refs
from ZODB.utils import get_pickle_metadata, oid_repr, tid_repr

__all__ = [
    "TimeStamp",
    "Tracer",
    "get_class",
    "get_pickle_metadata",
    "get_refs",
    "oid_repr",
    "p64",
    "shorten",
    "tid_repr",
]

_UNKNOWN: Final = "<unknown>"


def get_class(pickle: bytes) -> str:
    """Return "module.name" of a record's class."""
    return ".".join(get_pickle_metadata(pickle))


def shorten(s: str, size: int = 50) -> str:
    """Return text in at most `size` characters, its middle left out."""
    if len(s) <= size:
        return s
    kept = (size - 5) // 2
    return f"{s[:kept]} ... {s[-(size - 5 - kept) :]}"


class Tracer:
    """Reports, for registered oids, each revision and each reference to or from it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.oids: dict[bytes, int] = {}  # and how often each was written
        self.oid2name: dict[bytes, str] = {}
        self.msgs: list[tuple[bytes, bytes, str]] = []
        self.tid2info: dict[bytes, tuple[str, int, str]] = {}

    def register_oids(self, *oids: bytes | int) -> None:
        """Trace these, too; a number stands for an oid."""
        for oid in oids:
            self.oids[p64(oid) if isinstance(oid, int) else oid] = 0

    def run(self) -> None:
        """Read the file."""
        transactions = FileIterator(self.path)
        try:
            for transaction in transactions:
                for record in transaction:
                    self._look_at(transaction.tid, record.oid, record.data)
                    if self.msgs and self.msgs[-1][1] == transaction.tid:
                        text = f"{transaction.user.decode()!r} {transaction.description.decode()!r}"
                        info = (transaction.status, transaction.position, text)
                        self.tid2info[transaction.tid] = info
        finally:
            transactions.close()

    def _look_at(self, tid: bytes, oid: bytes, data: bytes | None) -> None:
        if oid in self.oids:
            self.oids[oid] += 1
            if data is None:
                self.msgs.append((oid, tid, "creation undone"))
            else:
                self.oid2name[oid] = get_class(data)
                self.msgs.append((oid, tid, f"new revision {get_class(data)}"))
        for target, _cls in get_refs(data) if data else ():
            if target in self.oids:
                by = f"{oid_repr(oid)} {get_class(data or b'')}"
                self.msgs.append((target, tid, f"referenced by {by}"))
            if oid in self.oids:
                self.msgs.append((oid, tid, f"references {oid_repr(target)}"))

    def report(self) -> None:
        """Print what was found, object by object, in the order of the file."""
        for oid, revisions in self.oids.items():
            print("oid", oid_repr(oid), self.oid2name.get(oid, _UNKNOWN), end=" ")
            print(f"{revisions} revision{'' if revisions == 1 else 's'}")
            last = None
            for found, tid, message in self.msgs:
                if found != oid:
                    continue
                if tid != last:
                    _, position, text = self.tid2info.get(tid, (" ", 0, ""))
                    print(f"    tid {tid_repr(tid)} {TimeStamp(tid)} offset={position} {text}")
                    last = tid
                print("       ", message)
