"""The database and the model side by side: every method does the same to both.

`machine` decides what happens; what it means for both sides stands here.
"""

import contextlib
import itertools
import shutil
from pathlib import Path
from typing import Any

from persistent.timestamp import TimeStamp
from transaction import TransactionManager

from model.engines import Engine, engine
from model.history import Conflict, History, Ref, UndoRefused, Unspecified
from model.scrutiny import check_feed, check_historical, check_storage, undo_ids
from model.session import Session, new_object

__all__ = ["SESSIONS", "World"]

SESSIONS = 3


class World:
    """A database with a few connections, and what the model knows of them."""

    def __init__(self, first: Engine, directory: Path) -> None:
        self.engine = first
        self.directory = directory
        self.history = History(resolves=first.resolves, base=1 if first.layered else -1)
        self.fresh = itertools.count(1)  # every value is written once: equal means same
        self.numbers = itertools.count(5)  # of objects; the root and four others come first
        directory.mkdir()
        self.db = first.make(first.product, directory, self._populate)
        self.open_sessions()

    def _populate(self, db: Any) -> None:
        kinds = {1: "node", 2: "node", 3: "counter", 4: "tree"}
        states: dict[int, dict[Any, Any]] = {
            0: {f"o{number}": Ref(number) for number in kinds},
            1: {"a": next(self.fresh)},
            2: {"a": Ref(1)},
            3: {"value": 0},
            4: {},
        }
        manager = TransactionManager()
        connection = db.open(manager)
        root = connection.root()
        self.history.append({0: {}}, db.storage.lastTransaction())
        objects = {number: new_object(kind) for number, kind in kinds.items()}
        objects[1]["a"] = states[1]["a"]
        objects[2]["a"] = objects[1]
        for number, obj in objects.items():
            root[f"o{number}"] = obj
        manager.commit()
        self.history.kinds = {0: "node", **kinds}
        self.history.oids = {0: root._p_oid} | {n: obj._p_oid for n, obj in objects.items()}
        self.history.append(states, db.storage.lastTransaction())
        connection.close()

    def open_sessions(self) -> None:
        """Open connections; the second one has an explicit transaction manager."""
        self.sessions = [
            Session(self.engine, self.db, self.history, explicit=number == 1)
            for number in range(SESSIONS)
        ]

    def close(self) -> None:
        """Close and delete everything, whatever state it is in."""
        for session in self.sessions:
            # After a failure a session may be between two transactions.
            with contextlib.suppress(Exception):
                session.close()
        self.db.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def check(self) -> None:
        """Check every connection, as it is and when it has caught up, and the storage."""
        for session in self.sessions:
            session.check_all()
            session.abort()
            session.check_all()
        check_storage(self.db, self.history)
        if self.engine.has_feed:
            check_feed(self.db)

    # Changing

    def put(self, session: Session, node: int, key: Any, value: Any = None) -> None:
        """Set an item, by default to a value that was never used before."""
        value = next(self.fresh) if value is None else value
        session.object(node)[key] = session.object(value.node) if isinstance(value, Ref) else value
        session.view.change(node)[key] = value
        session.drop_unattached()

    def delete(self, session: Session, node: int, key: Any) -> None:
        """Delete an item that is there."""
        del session.object(node)[key]
        del session.view.change(node)[key]
        session.drop_unattached()

    def count(self, session: Session, node: int, by: int) -> None:
        """Change a counter."""
        session.object(node).value += by
        session.view.change(node)["value"] += by

    def put_into_tree(self, session: Session, node: int, key: int) -> None:
        """Insert or replace an item of a tree, which relies on the tree, as BTrees does."""
        self.put(session, node, key)
        if node not in session.view.changes.made:
            session.view.relied_on.add(node)

    def make(self, session: Session, kind: str) -> int:
        """Make a new object, return its number; link or add it before the next change."""
        number = next(self.numbers)
        obj = session.handles[number] = new_object(kind)
        state: dict[Any, Any] = {}
        if kind == "node":
            state = {"a": next(self.fresh)}
            obj["a"] = state["a"]
        elif kind == "counter":
            state = {"value": 0}
        session.view.make(number, kind, state)
        return number

    def rely(self, session: Session, node: int) -> None:
        """Make the transaction depend on an object that it does not change."""
        session.object(node)._p_activate()  # a ghost has no serial to rely on
        session.connection.readCurrent(session.object(node))
        session.view.relied_on.add(node)

    def rollback(self, session: Session, index: int) -> None:
        """Go back to a savepoint."""
        session.savepoints[index].rollback()
        del session.savepoints[index + 1 :]
        for node in session.view.rollback(index):
            session.disown(node)
        # Whether a rollback brings readCurrent back or forgets it is left open: say it again.
        for node in sorted(session.view.relied_on):
            self.rely(session, node)

    # Ending transactions

    def _note(self, manager: Any) -> str:
        # Not the transaction's number: one that changes nothing is stored too, perhaps.
        note = f"note {next(self.fresh)}"
        manager.get().note(note)
        return note

    def commit(self, session: Session) -> None:
        """Commit; it must fail if and only if the model says so."""
        view, history = session.view, self.history
        note = self._note(session.manager)
        view.store()
        try:
            writes = history.merged(view.changes.stored, view.relied_on, view.snapshot)
        except Conflict as conflict:
            if view.joined:
                self._commit_in_vain(session, conflict)
                return
            writes = {}
        session.manager.commit()
        if writes:
            for node in view.changes.stored:
                if node not in history.oids:
                    history.oids[node] = session.handles[node]._p_oid
            history.append(writes, self.db.storage.lastTransaction(), note)
        session.restart()

    def _commit_in_vain(self, session: Session, conflict: Conflict) -> None:
        expected = "ConflictError" if conflict.written else "ReadConflictError"
        try:
            session.manager.commit()
        except self.engine.error(expected):
            session.abort(failed=True)
        else:
            raise AssertionError(f"committed in spite of {conflict!r}")

    def undo(self, numbers: list[int]) -> None:
        """Undo transactions in one; it must fail if and only if the model says so."""
        history = self.history
        try:
            writes = history.undone(numbers)
        except Unspecified:
            return
        except UndoRefused:
            writes = {}
        manager = TransactionManager()
        note = self._note(manager)
        try:
            self.db.undoMultiple(undo_ids(self.db, history, numbers), manager.get())
            manager.commit()
        except self.engine.error("UndoError"):
            manager.abort()
            assert not writes, f"undo of {numbers} was refused, expected {writes}"
        else:
            assert writes, f"undo of {numbers} should have been refused"
            history.append(writes, self.db.storage.lastTransaction(), note)

    # The whole database

    def reopen(self) -> None:
        """Close the database and open it again, through the engine's heir if it has one."""
        for session in self.sessions:
            session.close()
        self.db.close()
        if self.engine.heir:
            self.engine = engine(self.engine.heir)
        assert self.engine.reopen is not None
        self.db = self.engine.reopen(self.engine.product, self.directory)
        self.open_sessions()

    def pack(self, to: int) -> None:
        """Pack up to a transaction, that one included; connections let go of what they had."""
        for session in self.sessions:
            session.abort()
            session.handles.clear()
        # A time as a float is no finer than a quarter of a microsecond.
        self.db.pack(TimeStamp(self.history.tids[to]).timeTime() + 1e-6)
        self.history.pack(to)

    def look_back(self, number: int, *, at: bool, write: bool) -> None:
        """Look at everything as transaction `number` left it; try to change it if `write`."""
        check_historical(self.engine, self.db, self.history, number, at=at, write=write)
