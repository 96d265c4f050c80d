"""The machine: hypothesis chooses what connections do, each step is held against the model.

What is loaded is compared after every step; what is not stays a ghost until a
rule reads it: objects that are loaded late, under an old snapshot, are the ones
that go wrong.
"""

import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.engines import Engine
from model.history import Ref
from model.session import Session
from model.world import SESSIONS, World

__all__ = ["DatabaseMachine"]

KEYS = st.sampled_from("abc")
TREE_KEYS = st.integers(0, 7)
PICKS = st.integers(0, 11)
WHO = st.integers(0, SESSIONS - 1)
PAST = st.integers(0, 63)


class Sabotage(Exception):
    """Another participant of the transaction failed."""


class Saboteur:
    """A participant that fails when voting; `sort_key` puts it before or behind a database."""

    def __init__(self, manager: Any, sort_key: str) -> None:
        self.transaction_manager = manager
        self._sort_key = sort_key

    def sortKey(self) -> str:
        return self._sort_key

    def tpc_begin(self, transaction: Any) -> None: ...
    def commit(self, transaction: Any) -> None: ...
    def tpc_abort(self, transaction: Any) -> None: ...
    def abort(self, transaction: Any) -> None: ...

    def tpc_vote(self, transaction: Any) -> None:
        raise Sabotage


def pick(session: Session, choice: int, kind: str | None = None) -> int | None:
    """Return an object that this connection reaches, of a kind if given, None if there is none."""
    view = session.view
    nodes = [node for node in view.reachable() if kind in (None, view.kind(node))]
    return nodes[choice % len(nodes)] if nodes else None


def pick_node(session: Session, choice: int) -> int:
    """Return a node that this connection reaches; the root is one."""
    node = pick(session, choice, "node")
    assert node is not None
    return node


class DatabaseMachine(RuleBasedStateMachine):
    """Three connections to one database, against the model."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        super().__init__()
        self.world = World(engine, directory)

    def teardown(self) -> None:
        try:
            # After a failure the model is behind; comparing on would bury what went wrong.
            if sys.exception() is None:
                self.world.check()
                if self.world.engine.lasts:
                    self.world.reopen()
                    self.world.check()
        finally:
            self.world.close()

    @invariant()
    def what_is_loaded_is_right(self) -> None:
        for session in self.world.sessions:
            session.check_loaded()

    # Changing

    @rule(who=WHO, choice=PICKS, key=KEYS)
    def set_value(self, who: int, choice: int, key: str) -> None:
        session = self.world.sessions[who]
        self.world.put(session, pick_node(session, choice), key)

    @rule(who=WHO, choice=PICKS, key=KEYS)
    def delete_key(self, who: int, choice: int, key: str) -> None:
        session = self.world.sessions[who]
        node = pick_node(session, choice)
        if key in (session.view.state(node) or {}):
            # The stamp keeps states apart: none comes back but by undo.
            self.world.put(session, node, "stamp")
            self.world.delete(session, node, key)

    @rule(who=WHO, choice=PICKS, key=KEYS, to=PICKS)
    def link(self, who: int, choice: int, key: str, to: int) -> None:
        session = self.world.sessions[who]
        node, other = pick_node(session, choice), pick(session, to)
        assert other is not None
        self.world.put(session, node, "stamp")
        self.world.put(session, node, key, Ref(other))

    @rule(
        who=WHO, choice=PICKS, key=KEYS, kind=st.sampled_from(["node", "node", "counter", "tree"])
    )
    def create_linked(self, who: int, choice: int, key: str, kind: str) -> None:
        session = self.world.sessions[who]
        node = pick_node(session, choice)
        self.world.put(session, node, key, Ref(self.world.make(session, kind)))
        self.world.put(session, node, "stamp")

    @rule(who=WHO, choice=PICKS, key=KEYS)
    def create_chain(self, who: int, choice: int, key: str) -> None:
        """Two new objects that refer to one another, one of them linked."""
        session = self.world.sessions[who]
        node = pick_node(session, choice)
        first = self.world.make(session, "node")
        self.world.put(session, node, key, Ref(first))
        second = self.world.make(session, "node")
        self.world.put(session, first, "b", Ref(second))
        self.world.put(session, second, "b", Ref(first))
        self.world.put(session, node, "stamp")

    @rule(who=WHO)
    def create_by_add(self, who: int) -> None:
        session = self.world.sessions[who]
        number = self.world.make(session, "node")
        session.connection.add(session.handles[number])
        session.view.add(number)

    @rule(who=WHO, choice=PICKS, by=st.integers(-3, 3))
    def count(self, who: int, choice: int, by: int) -> None:
        session = self.world.sessions[who]
        node = pick(session, choice, "counter")
        if node is not None:
            self.world.count(session, node, by)

    @rule(who=WHO, choice=PICKS, key=TREE_KEYS)
    def insert(self, who: int, choice: int, key: int) -> None:
        session = self.world.sessions[who]
        node = pick(session, choice, "tree")
        if node is not None:
            self.world.put_into_tree(session, node, key)

    @rule(who=WHO, choice=PICKS, key=TREE_KEYS)
    def remove(self, who: int, choice: int, key: int) -> None:
        session = self.world.sessions[who]
        node = pick(session, choice, "tree")
        if node is not None and key in (session.view.state(node) or {}):
            self.world.delete(session, node, key)

    # Reading

    @rule(who=WHO, choice=PICKS)
    def read(self, who: int, choice: int) -> None:
        session = self.world.sessions[who]
        node = pick(session, choice)
        assert node is not None
        session.check(node)

    @rule(who=WHO)
    def read_all(self, who: int) -> None:
        self.world.sessions[who].check_all()

    @rule(who=WHO, choice=PICKS)
    def read_by_oid(self, who: int, choice: int) -> None:
        """Whatever was committed, linked or not, seen in this snapshot or not."""
        history = self.world.history
        known = sorted(set(history.oids) - history.gone - history.forgotten)
        self.world.sessions[who].check(known[choice % len(known)])

    @rule(who=WHO, choice=PICKS)
    def rely_on(self, who: int, choice: int) -> None:
        session = self.world.sessions[who]
        node = pick(session, choice)
        assert node is not None
        if node not in session.view.changes.states:
            self.world.rely(session, node)

    @rule(who=WHO, sweep=st.booleans())
    def forget(self, who: int, sweep: bool) -> None:
        """Empty the cache, and keep no committed object alive."""
        session = self.world.sessions[who]
        for node in set(session.handles) - session.view.changes.made:
            del session.handles[node]
        if sweep:
            session.connection.cacheMinimize()
        else:
            session.connection.cacheGC()

    @rule(who=WHO)
    def minimize(self, who: int) -> None:
        self.world.sessions[who].connection.cacheMinimize()

    # Savepoints

    @rule(who=WHO)
    def savepoint(self, who: int) -> None:
        session = self.world.sessions[who]
        session.savepoints.append(session.manager.savepoint())
        session.view.savepoint()

    @precondition(lambda self: any(session.savepoints for session in self.world.sessions))
    @rule(who=WHO, choice=PICKS)
    def rollback(self, who: int, choice: int) -> None:
        session = self.world.sessions[who]
        if not session.savepoints:
            session = next(each for each in self.world.sessions if each.savepoints)
        self.world.rollback(session, choice % len(session.savepoints))

    # Ending a transaction

    @rule(who=WHO)
    def begin(self, who: int) -> None:
        session = self.world.sessions[who]
        if session.explicit:
            session.manager.abort()
        else:
            session.manager.begin()
        session.restart()

    @rule(who=WHO)
    def abort(self, who: int) -> None:
        self.world.sessions[who].abort()

    @rule(who=WHO)
    def commit(self, who: int) -> None:
        self.world.commit(self.world.sessions[who])

    @rule(who=WHO, other=WHO, choice=PICKS, kind=st.sampled_from(["node", "counter", "tree"]))
    def collide(self, who: int, other: int, choice: int, kind: str) -> None:
        """Two connections change the same object, then both commit."""
        one, two = self.world.sessions[who], self.world.sessions[other]
        both = set(one.view.reachable()) & set(two.view.reachable())
        nodes = [node for node in sorted(both) if one.view.kind(node) == kind]
        if one is two or not nodes:
            return
        node = nodes[choice % len(nodes)]
        for session, key in ((one, choice % 8), (two, choice // 2)):
            if kind == "counter":
                self.world.count(session, node, 1)
            elif kind == "tree":
                self.world.put_into_tree(session, node, key)
            else:
                self.world.put(session, node, "a")
        self.world.commit(one)
        self.world.commit(two)

    @rule(who=WHO, other=WHO, choice=PICKS)
    def skew(self, who: int, other: int, choice: int) -> None:
        """Two connections each change what the other one relied on."""
        one, two = self.world.sessions[who], self.world.sessions[other]
        both = set(one.view.reachable()) & set(two.view.reachable())
        both -= set(one.view.changes.states) | set(two.view.changes.states)
        nodes = sorted(node for node in both if one.view.kind(node) == "node")
        if one is two or len(nodes) < 2:
            return
        first, second = nodes[choice % len(nodes)], nodes[(choice + 1) % len(nodes)]
        for session, changed, relied_on in ((one, first, second), (two, second, first)):
            self.world.rely(session, relied_on)
            self.world.put(session, changed, "a")
        self.world.commit(one)
        self.world.commit(two)

    @rule(who=WHO, sort_key=st.sampled_from(["", "~"]))
    def fail_to_commit(self, who: int, sort_key: str) -> None:
        """Another participant fails, before or after the database could vote."""
        session = self.world.sessions[who]
        session.manager.get().join(Saboteur(session.manager, sort_key))
        try:
            session.manager.commit()
        except (Sabotage, self.world.engine.error("ConflictError")):
            session.abort(failed=True)
        else:
            raise AssertionError("committed although a participant failed")

    @rule(who=WHO, choice=PICKS, with_savepoint=st.booleans())
    def commit_what_cannot_be_pickled(self, who: int, choice: int, with_savepoint: bool) -> None:
        session = self.world.sessions[who]
        node = pick_node(session, choice)
        if with_savepoint:
            session.manager.savepoint()
        session.object(node)["bad"] = lambda: None
        try:
            session.manager.commit()
        except Exception as error:
            expected = isinstance(error, self.world.engine.error("ConflictError"))
            if not expected and "pickle" not in str(error).lower():
                raise
            session.abort(failed=True)
        else:
            raise AssertionError("committed a lambda")

    # Opening and closing

    @rule(who=WHO)
    def reopen_connection(self, who: int) -> None:
        session = self.world.sessions[who]
        if session.view.joined:
            try:
                session.connection.close()
            except self.world.engine.error("ConnectionStateError"):
                pass
            else:
                raise AssertionError("closed a connection that had changes")
        session.close()
        session.open(self.world.db)

    @precondition(lambda self: self.world.engine.lasts)
    @rule()
    def reopen_database(self) -> None:
        self.world.reopen()

    # The past

    @rule(choice=PAST, at=st.booleans(), write=st.booleans())
    def look_back(self, choice: int, at: bool, write: bool) -> None:
        history = self.world.history
        number = history.packed + choice % (history.last - history.packed + 1)
        self.world.look_back(number, at=at, write=write)

    @precondition(lambda self: self.world.db.supportsUndo())
    @rule(choice=PICKS, count=st.sampled_from([1, 1, 2, 3]), who=WHO)
    def undo(self, choice: int, count: int, who: int) -> None:
        """Undo some of the last transactions; a connection looks at once."""
        history = self.world.history
        numbers = list(range(history.last, max(history.packed, 1), -1))
        if numbers:
            self.world.undo(numbers[choice % len(numbers) :][:count])
            self.world.sessions[who].abort()
            self.world.sessions[who].check_all()

    @precondition(lambda self: self.world.engine.packs)
    @rule(choice=PAST, now=st.booleans())
    def pack(self, choice: int, now: bool) -> None:
        history = self.world.history
        candidates = range(history.packed + 1, history.last + 1)
        if candidates:
            to = history.last if now else candidates[choice % len(candidates)]
            self.world.pack(to if history.can_pack(to) else history.last)
