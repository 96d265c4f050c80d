"""Opening what a crash left: is everything there that must be, and does the storage go on?"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from crash.expectation import Expectation, Pack, Seen
from crash.script import NAME, oid, shown
from perdure.errors import POSKeyError
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.tools import check_file
from samples.file_operations import Unsynced

__all__ = ["Violation", "emptied", "examine", "fast_directory"]

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


def examine(
    directory: Path, expected: Expectation, history: Sequence[Seen], packs: Mapping[int, Pack]
) -> None:
    """Open the database in `directory`, commit, open it again; raise `Violation` if it is wrong."""
    path = directory / NAME
    storage = _opened(path)
    try:
        found = shown(storage)
        possible = list(expected.contents(history, packs))
        if found not in possible:
            raise Violation(f"found {found}, expected one of {possible}")
        _examine_objects(storage, found)
        tid = _commit(storage)
    finally:
        storage.close()
    _check(path)
    again = _opened(path)
    try:
        found.append(Seen(tid, b"", b"", {_NEW: _RECORD}))
        if shown(again) != found:
            raise Violation(f"after a commit and reopening: {shown(again)}, expected {found}")
        _examine_objects(again, found)
    finally:
        again.close()


def _opened(path: Path) -> FileStorage:
    try:
        return FileStorage(path, operations=Unsynced())
    except Exception as error:
        raise Violation(f"it cannot be opened: {type(error).__name__}: {error}") from error


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
    try:
        serial = bytes(8)
        storage.store(_NEW, serial, _RECORD, "", metadata)
        storage.tpc_vote(metadata)
        return storage.tpc_finish(metadata)
    except Exception as error:
        storage.tpc_abort(metadata)
        raise Violation(f"the next commit fails: {type(error).__name__}: {error}") from error
