"""Opening what a crash left: is everything there that must be, and does the storage go on?"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from crash.expectation import Expectation, Pack, Seen
from crash.script import NAME, oid, shown
from perdure.errors import POSKeyError
from perdure.ids import ZERO
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.tools import check_file
from samples.file_operations import Unsynced

__all__ = ["Found", "Violation", "emptied", "examine", "fast_directory", "look"]

_NEW = oid(0xFFFF)
_RECORD = b"written after the crash"


class Violation(AssertionError):
    """A promise about crashes was broken."""


@contextmanager
def fast_directory(fallback: Path) -> Iterator[Path]:
    """Have a directory in memory where the system has that, else below `fallback`."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else fallback
    with tempfile.TemporaryDirectory(prefix="perdure-", dir=parent) as name:
        yield Path(name)


def emptied(directory: Path) -> Path:
    """Return the directory without what was in it."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            emptied(Path(entry.path)).rmdir()
        else:
            os.unlink(entry.path)
    return directory


@dataclass(frozen=True, slots=True)
class Found:
    """What the database shows that a crash left, and what opening it `set_aside`, or found so."""

    transactions: list[Seen]
    set_aside: tuple[bytes, ...]


def look(directory: Path) -> Found:
    """Open the database in `directory`, commit, open it again; return what was there first.

    Raises `Violation` where that is not possible, or the database contradicts itself.
    """
    path = directory / NAME
    try:
        with closing(FileStorage(path, operations=Unsynced())) as storage:
            found = shown(storage)
            _examine_objects(storage, found)
            tid = _commit(storage)
        _check(path)
        with closing(FileStorage(path, operations=Unsynced())) as storage:
            expected = [*found, Seen(tid, b"", b"", {_NEW: _RECORD})]
            again = shown(storage)
            if again != expected:
                raise Violation(f"after a commit and reopening: {again}, expected {expected}")
            _examine_objects(storage, expected)
    except Violation:
        raise
    except Exception as error:
        raise Violation(f"{type(error).__name__}: {error}") from error
    return Found(found, tuple(each.read_bytes() for each in directory.glob(f"{NAME}.tr*")))


def examine(
    found: Found, expected: Expectation, history: Sequence[Seen], packs: Mapping[int, Pack]
) -> None:
    """Raise `Violation` unless what was found is what may be there."""
    possible = list(expected.contents(history, packs))
    if found.transactions not in possible:
        raise Violation(f"found {found.transactions}, expected one of {possible}")


def _check(path: Path) -> None:
    # The records are not pickles, so there are no references to follow.
    checked = check_file(path, follow_references=False)
    if checked.findings:
        raise Violation(f"the check finds {'; '.join(map(str, checked.findings))}")


def _examine_objects(storage: FileStorage, transactions: Sequence[Seen]) -> None:
    """Compare what is loaded by oid, through the index, with the transactions."""
    current: dict[bytes, tuple[bytes | None, bytes]] = {}
    for seen in transactions:
        for key, data in seen.records.items():
            current[key] = data, seen.tid
    for key, (data, tid) in current.items():
        loaded = None
        with suppress(POSKeyError):
            loaded = tuple(storage.load(key))
        if loaded != (None if data is None else (data, tid)):
            raise Violation(f"oid {key.hex()}: loaded {loaded}, expected {(data, tid)}")


def _commit(storage: FileStorage) -> bytes:
    metadata = TransactionMetaData()
    storage.tpc_begin(metadata)
    storage.store(_NEW, ZERO, _RECORD, "", metadata)
    storage.tpc_vote(metadata)
    return storage.tpc_finish(metadata)
