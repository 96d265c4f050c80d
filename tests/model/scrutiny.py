"""Looking at the whole database from outside the sessions: its past, and its storage."""

from typing import Any

from ZODB.utils import maxtid, p64, u64

from model.engines import Engine
from model.history import History
from model.session import Session

__all__ = ["check_feed", "check_historical", "check_storage", "undo_ids"]


def undo_ids(db: Any, history: History, numbers: list[int]) -> list[bytes]:
    """Return what `undo` calls the transactions of these numbers, found by their notes."""
    ids = {entry["description"]: entry["id"] for entry in db.undoLog(0, 1000)}
    return [ids[history.notes[number]] for number in numbers]


def check_historical(
    engine: Engine, db: Any, history: History, number: int, *, at: bool, write: bool
) -> None:
    """Check everything as transaction `number` left it, and that it cannot be changed."""
    bounds = {"at": history.tids[number]}
    if not at and number < history.last:
        bounds = {"before": history.tids[number + 1]}
    session = Session(engine, db, history, explicit=False, past=(number, bounds))
    session.check_all()
    if write:
        session.connection.root()["a"] = 1
        try:
            session.manager.commit()
        except engine.error("ReadOnlyHistoryError"):
            session.manager.abort()
        else:
            raise AssertionError("the past was changed")
        session.check_all()
    session.close()


def check_feed(db: Any) -> None:
    """Check that the feed of changes lists what is stored, and goes on from anywhere."""
    stored = [
        (each.tid, tuple(record.oid for record in each), each.description.decode())
        for each in db.storage.iterator()
    ]
    changes = list(db.changes())
    assert [(change.tid, change.oids, change.description) for change in changes] == stored
    middle = len(changes) // 2
    assert list(db.changes(changes[middle].tid)) == changes[middle + 1 :]


def check_storage(db: Any, history: History) -> None:
    """Check what the storage holds, record by record: oids, tids and intervals.

    What a pack may drop may also remain: an undo can need it.
    """
    known = set(history.oids) - history.forgotten - history.gone
    for node in sorted(known):
        if not any(history.transactions[number][node] is None for number in history.versions(node)):
            _check_object(db, history, node)
    _check_transactions(db.storage, history, known)


def _check_object(db: Any, history: History, node: int) -> None:
    """Walk from the newest revision to the oldest, as `loadBefore` says."""
    oid = history.oids[node]
    tids = [history.tids[number] for number in reversed(history.versions(node))]
    found: list[bytes] = []
    revision = db.storage.loadBefore(oid, maxtid)
    while revision is not None:
        tid, until = revision[1:]
        assert until == (found[-1] if found else None), f"oid {oid!r} at {tid!r}"
        assert db.storage.loadBefore(oid, p64(u64(tid) + 1))[1:] == (tid, until)
        found.append(tid)
        revision = db.storage.loadBefore(oid, tid)
    assert [entry["tid"] for entry in db.history(oid, 1000)] == found
    kept = len(history.kept(node))
    assert found[:kept] == tids[:kept]
    assert set(found) <= set(tids)


def _check_transactions(storage: Any, history: History, known: set[int]) -> None:
    numbers = {tid: number for number, tid in enumerate(history.tids)}
    nodes = {oid: node for node, oid in history.oids.items()}
    found: list[dict[int, bool]] = [{} for _ in history.tids]
    for transaction in storage.iterator():
        records = {nodes[record.oid]: record.data is None for record in transaction}
        if records:
            found[numbers[transaction.tid]] = records
    for number, wrote in enumerate(history.transactions):
        expected = {node: state is None for node, state in wrote.items() if node in known}
        records = {node: gone for node, gone in found[number].items() if node in known}
        if number <= history.packed:
            # A pack may or may not keep the note that an object had ceased to exist.
            kept = {node for node, gone in expected.items() if not gone}
            kept = {node for node in kept if number in history.kept(node)}
            assert kept <= set(records) <= set(expected), f"transaction {number}"
            expected = {node: expected[node] for node in records}
        assert records == expected, f"transaction {number}"
