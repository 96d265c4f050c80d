"""One file, written and read by ZODB and by Perdure in turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import ZODB.FileStorage
import ZODB.POSException
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ZODB.Connection import TransactionMetaData as ZODBMetaData
from ZODB.fsIndex import fsIndex

from perdure.errors import StorageError, UndoError
from perdure.ids import MAX_TID, ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell, holder, references
from samples.file_operations import Unsynced

OIDS = [ZERO, *(p64(n) for n in (1, 2, 70000))]

GONE = (KeyError,)
REFUSED = (UndoError, ZODB.POSException.UndoError)


def open_ours(path: Path, **options: Any) -> FileStorage:
    return FileStorage(path, operations=Unsynced(), **options)


def open_theirs(path: Path, **options: Any) -> Any:
    index = path.with_name(path.name + ".index")
    if index.exists() and not len(fsIndex.load(str(index))["index"]):
        # ZODB 6.4 saves such an index, and then looks for its last record before the file.
        index.unlink()
    return ZODB.FileStorage.FileStorage(str(path), **options)


@contextmanager
def opened(path: Path, ours: bool, **options: Any) -> Iterator[Any]:
    storage = (open_ours if ours else open_theirs)(path, **options)
    try:
        yield storage
    finally:
        storage.close()


def commit(storage: Any, work: Callable[[Any], object], extension: Any = None) -> bytes:
    kind = TransactionMetaData if isinstance(storage, FileStorage) else ZODBMetaData
    transaction = kind("user é", "description é", extension or {})
    storage.tpc_begin(transaction)
    try:
        work(transaction)
        storage.tpc_vote(transaction)
        tid: bytes = storage.tpc_finish(transaction)
        return tid
    except BaseException:
        storage.tpc_abort(transaction)
        raise


def serial_of(storage: Any, oid: bytes) -> bytes:
    history = None
    with suppress(*GONE):
        history = storage.history(oid, 1)
    return history[0]["tid"] if history else ZERO


def store(storage: Any, records: dict[bytes, bytes], extension: Any = None) -> bytes:
    def work(transaction: Any) -> None:
        for oid, data in records.items():
            storage.store(oid, serial_of(storage, oid), data, "", transaction)

    return commit(storage, work, extension)


def undo(storage: Any, *ids: bytes) -> bytes:
    def work(transaction: Any) -> None:
        for transaction_id in ids:
            storage.undo(transaction_id, transaction)

    return commit(storage, work)


def everything(storage: Any) -> dict[str, Any]:
    """Return all that can be read, in a form that is the same for both."""
    tids = [transaction.tid for transaction in storage.iterator()]
    return {
        "transactions": [
            (
                t.tid,
                t.status,
                t.user,
                t.description,
                dict(t.extension),
                # ZODB names the transaction that a pointer leads to, even if all is gone there.
                [(r.oid, r.tid, r.data, r.data is None or r.data_txn is None) for r in t],
            )
            for t in storage.iterator()
        ],
        "last": storage.lastTransaction(),
        "size": storage.getSize(),
        "count": len(storage),
        "undo": storage.undoLog(0, -100),
        "before": {
            (oid, tid): asked(lambda: storage.loadBefore(oid, tid))  # noqa: B023  called at once
            for oid in OIDS
            for tid in [*tids, *map(after, tids), MAX_TID]
        },
        "serial": {
            (oid, tid): asked(lambda: storage.loadSerial(oid, tid))  # noqa: B023  called at once
            for oid in OIDS
            for tid in tids
        },
        "history": {oid: asked(lambda: storage.history(oid, 100)) for oid in OIDS},  # noqa: B023
        "current": {oid: asked(lambda: tuple(storage.load(oid))) for oid in OIDS},  # noqa: B023
        "invalidations": storage.lastInvalidations(3),
    }


def asked(call: Callable[[], Any]) -> Any:
    try:
        found = call()
    except GONE:
        return "gone"
    return tuple(found) if isinstance(found, tuple) else found


def check_same(path: Path) -> None:
    """Both see the same in the file, with its index and without."""
    index = path.with_name(path.name + ".index")
    with opened(path, ours=True, read_only=True) as ours:
        expected = everything(ours)
    with opened(path, ours=False, read_only=True) as theirs:
        assert everything(theirs) == expected
    if index.exists():
        index.unlink()
    with opened(path, ours=False, read_only=True) as theirs:
        assert everything(theirs) == expected
    with opened(path, ours=True, read_only=True) as ours:
        assert everything(ours) == expected


steps = st.one_of(
    st.tuples(
        st.just("store"),
        st.dictionaries(st.sampled_from(OIDS[1:]), st.integers(0, 3), min_size=1),
    ),
    st.tuples(st.just("undo"), st.lists(st.integers(0, 4), min_size=1, max_size=3)),
    st.tuples(st.just("delete"), st.sampled_from(OIDS[1:])),
    st.tuples(st.just("pack"), st.booleans()),
    st.tuples(st.just("extension"), st.dictionaries(st.text(max_size=3), st.integers())),
)


def take(storage: Any, step: str, argument: Any) -> None:
    """Take one step, or none where it is refused."""
    if step == "store":
        store(storage, {oid: cell(value) for oid, value in argument.items()})
    elif step == "extension":
        store(storage, {OIDS[1]: cell("extension")}, argument)
    elif step == "undo":
        log = storage.undoLog(0, -5)
        ids = dict.fromkeys(log[n]["id"] for n in argument if n < len(log))
        with suppress(*REFUSED):
            if ids:  # ZODB's pack drops an empty transaction at the end, ours keeps its tid
                undo(storage, *ids)
    elif step == "delete":
        with suppress(*GONE):
            serial = storage.load(argument)[1]
            commit(storage, lambda t: storage.deleteObject(argument, serial, t))
    elif step == "pack":
        # ZODB does not collect garbage where a reference dangles; both need a root for it.
        with suppress(*GONE, StorageError):
            storage.pack(time.time() + 10, references, gc=argument)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(steps, max_size=4)), max_size=5))
@example([(True, [("undo", [0]), ("store", {OIDS[1]: 0}), ("extension", {"": 0}), ("pack", True)])])
@example(
    [
        (True, [("undo", [0]), ("store", {OIDS[1]: 0}), ("extension", {"": 0}), ("pack", True)]),
        (False, []),
    ]
)
def test_in_turns_they_write_one_history(turns: list[tuple[bool, list[tuple[str, Any]]]]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "data.fs"
        with opened(path, ours=False) as storage:
            store(storage, {ZERO: holder(*OIDS[1:3]), OIDS[1]: cell(0), OIDS[2]: cell(0)})
        for ours, todo in turns:
            with opened(path, ours) as storage:
                for step, argument in todo:
                    take(storage, step, argument)
            check_same(path)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=6))
def test_the_same_steps_lead_to_the_same_objects(todo: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as directory:
        found = []
        for ours in (True, False):
            with opened(Path(directory) / f"{ours}.fs", ours) as storage:
                store(storage, {ZERO: holder(*OIDS[1:3])})
                for step, argument in todo:
                    if step == "pack":
                        argument = False
                    elif step == "undo":
                        # Of several at once ZODB refuses some that follow from one another.
                        argument = argument[:1]
                    take(storage, step, argument)
                found.append(
                    {oid: asked(lambda: storage.load(oid)[0]) for oid in OIDS}  # noqa: B023
                )
        assert found[0] == found[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.fs"


def test_zodb_uses_the_index_that_we_saved(path: Path) -> None:
    with opened(path, ours=True) as storage:
        store(storage, {oid: cell(1) for oid in OIDS})
    with opened(path, ours=False) as theirs:
        assert theirs._used_index
        assert len(theirs) == len(OIDS)


def test_zodb_packs_what_we_wrote_and_we_go_on(path: Path) -> None:
    with opened(path, ours=True) as storage:
        store(storage, {ZERO: holder(OIDS[1]), OIDS[1]: cell(1), OIDS[2]: cell("garbage")})
        store(storage, {OIDS[1]: cell(2)}, {"kept": "by the pack"})
    with opened(path, ours=False) as theirs:
        theirs.pack(time.time() + 10, references)
    check_same(path)
    with opened(path, ours=True) as storage:
        assert [t.status for t in storage.iterator()] == ["p", "p"]
        # Our trailers moved with it, and count no more: neither shown nor checked.
        assert [t.extension for t in storage.iterator()] == [{}, {"kept": "by the pack"}]
        store(storage, {OIDS[1]: cell(3)})
    check_same(path)


def test_what_zodb_copies_from_our_file_shows_no_trailer_either(path: Path) -> None:
    copy = path.with_name("copy.fs")
    with opened(path, ours=True) as storage:
        store(storage, {ZERO: cell(1)}, {"a": 1})
        store(storage, {ZERO: cell(2)})
    with opened(path, ours=False) as source, opened(copy, ours=False) as target:
        target.copyTransactionsFrom(source)
    with opened(copy, ours=True) as storage:
        assert [t.extension for t in storage.iterator()] == [{"a": 1}, {}]
        assert [t.extension_bytes for t in storage.iterator()][1] == b""


@pytest.mark.parametrize("to_ours", [True, False])
def test_either_copies_from_the_other(path: Path, to_ours: bool) -> None:
    copy = path.with_name("copy.fs")
    with opened(path, ours=not to_ours) as storage:
        store(storage, {ZERO: holder(OIDS[1]), OIDS[1]: cell(1)}, {"a": 1})
        store(storage, {OIDS[1]: cell(2), OIDS[2]: cell(1)})
        undo(storage, storage.undoLog()[0]["id"])
        undo(storage, storage.undoLog()[0]["id"])
        expected = everything(storage)
        with opened(copy, ours=to_ours) as target:
            target.copyTransactionsFrom(storage)
            found = everything(target)
    for same in ("transactions", "last", "count", "before", "serial", "current", "invalidations"):
        assert found[same] == expected[same]
    check_same(copy)


def test_what_zodb_voted_for_and_did_not_finish_is_not_there(path: Path) -> None:
    theirs = open_theirs(path)
    tid = store(theirs, {ZERO: cell(1)})
    transaction = ZODBMetaData()
    theirs.tpc_begin(transaction)
    theirs.store(ZERO, tid, cell(2), "", transaction)
    theirs.tpc_vote(transaction)
    with opened(path, ours=True, read_only=True) as storage:
        assert storage.load(ZERO) == (cell(1), tid)
    theirs.tpc_finish(transaction)
    theirs.close()
    check_same(path)


def test_a_back_pointer_to_a_back_pointer_is_followed(path: Path) -> None:
    with opened(path, ours=False) as theirs:
        first = store(theirs, {OIDS[1]: cell(1)})
        store(theirs, {OIDS[1]: cell(2)})
        for _ in range(5):  # each undoes the one before: chains of pointers in ZODB
            undo(theirs, theirs.undoLog()[0]["id"])
    with opened(path, ours=True) as storage:
        assert storage.load(OIDS[1])[0] == cell(1)
        sources = [r.data_txn for t in storage.iterator() for r in t if r.oid == OIDS[1]]
        assert sources[-1] == first
        undo(storage, storage.undoLog()[0]["id"])
        assert storage.load(OIDS[1])[0] == cell(2)
    check_same(path)
