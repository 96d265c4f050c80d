"""One connection beside its view: what it holds is compared with what it must hold."""

from collections.abc import Mapping
from typing import Any

import transaction
from BTrees.IOBTree import IOBTree
from persistent import Persistent

from model.engines import Engine
from model.history import History, Ref
from model.view import View
from samples.model_objects import Counter, Node

__all__ = ["Session", "contents_of", "new_object"]


def new_object(kind: str) -> Any:
    """Return a new, empty object of the class that stands for `kind`."""
    return {"node": Node, "counter": Counter, "tree": IOBTree}[kind]()


def contents_of(obj: Any) -> dict[Any, Any]:
    """Return the state of an object as a dictionary; loads it if it is a ghost."""
    if isinstance(obj, Counter):
        return {"value": obj.value}
    return dict(obj.items())


class Session:
    """A connection with a transaction manager of its own, and the model's view of it.

    `handles` keeps objects of the connection by number: as an application does,
    some for long, some not at all. New objects are here until they are dropped.
    """

    def __init__(
        self,
        engine: Engine,
        db: Any,
        history: History,
        *,
        explicit: bool = False,
        past: tuple[int, dict[str, bytes]] | None = None,
    ) -> None:
        """`past` opens the connection in the past: a transaction's number and how to say it."""
        self.engine = engine
        self.history = history
        self.manager = transaction.TransactionManager(explicit=explicit)
        self.explicit = explicit
        self.savepoints: list[Any] = []
        self.open(db, past)

    def open(self, db: Any, past: tuple[int, dict[str, bytes]] | None = None) -> None:
        number, bounds = past or (None, {})
        self.connection = db.open(self.manager, **bounds)
        self.handles: dict[int, Any] = {}
        if self.explicit:
            self.manager.begin()
        self.view = View(self.history, number)

    def close(self) -> None:
        self.manager.abort()
        self.connection.close()
        self.handles.clear()
        self.savepoints.clear()

    def restart(self, *, failed: bool = False) -> None:
        """Follow the connection into its next transaction, after a commit or an abort."""
        for node in self.view.changes.made:
            if node not in self.history.oids:
                if failed and not self.engine.disowns:
                    del self.handles[node]
                else:
                    self.disown(node)
        self.savepoints.clear()
        if self.explicit:
            self.manager.begin()
        self.view.refresh()

    def abort(self, *, failed: bool = False) -> None:
        """Abort; `failed` says that a commit was tried in vain."""
        self.manager.abort()
        self.restart(failed=failed)

    def disown(self, node: int) -> None:
        """Check that a dropped new object belongs to nobody, and let go of it."""
        obj = self.handles.pop(node)
        assert obj._p_jar is None, f"object {node} was dropped and kept its connection"
        assert obj._p_oid is None, f"object {node} was dropped and kept its oid"

    def drop_unattached(self) -> None:
        """Let go of new objects that nothing leads to any more: a commit would not store them."""
        for node in self.view.drop_unattached():
            del self.handles[node]

    def object(self, node: int) -> Any:
        """Return the object of that number, as this connection has it; perhaps a ghost."""
        if node not in self.handles:
            self.handles[node] = self.connection.get(self.history.oids[node])
        return self.handles[node]

    def check(self, node: int) -> None:
        """Load an object, and check that it is what this connection must see."""
        expected = self.view.state(node)
        if expected is None:
            gone = (self.engine.error("POSKeyError"), self.engine.error("ReadConflictError"))
            try:
                found = contents_of(self.object(node))
            except gone:
                self.handles.pop(node, None)
                return
            raise AssertionError(f"object {node} should not exist, found {found}")
        obj = self.object(node)
        self._compare(node, obj, contents_of(obj), expected)

    def check_all(self) -> None:
        """Check everything that the root leads to."""
        for node in self.view.reachable():
            self.check(node)

    def check_loaded(self) -> None:
        """Check what is loaded at the moment, without loading anything."""
        for node, obj in self.handles.items():
            if obj._p_changed is None or node in self.history.gone | self.history.forgotten:
                continue
            expected = self.view.state(node)
            assert expected is not None, f"object {node} should not exist, but is loaded"
            self._compare(node, obj, contents_of(obj), expected)

    def _compare(
        self, node: int, obj: Any, found: Mapping[Any, Any], expected: Mapping[Any, Any]
    ) -> None:
        where = f"object {node}, seen from transaction {self.view.snapshot}"
        plain = {key: self._number(node, key, value) for key, value in found.items()}
        assert plain == dict(expected), f"{where}: found {plain}, expected {dict(expected)}"
        changes = self.view.changes
        if node not in changes.made:
            assert obj._p_jar is self.connection, where
            assert obj._p_oid == self.history.oids[node], where
        if node not in changes.states:
            assert obj._p_changed is False, f"{where}: unchanged, yet {obj._p_changed=}"
            version = self.history.version(node, self.view.snapshot)
            assert version is not None
            tid = self.history.tids[version]
            assert obj._p_serial == tid, f"{where}: serial {obj._p_serial!r}, expected {tid!r}"

    def _number(self, node: int, key: Any, value: Any) -> Any:
        """Return a reference as the model writes it, any other value as it is."""
        if not isinstance(value, Persistent):
            return value
        state = self.view.state(node)
        expected = None if state is None else state.get(key)
        if isinstance(expected, Ref):
            handle = self.handles.get(expected.node)
            if handle is not None:
                # One object has one identity in a connection.
                return expected if value is handle else ("another object than", handle)
            if value._p_oid == self.history.oids.get(expected.node):
                return expected
        return ("unexpected", value._p_oid)
