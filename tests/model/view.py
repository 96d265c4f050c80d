"""What one connection must see: a snapshot, its own changes over it, and its savepoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.history import History, references

__all__ = ["View"]

State = Mapping[Any, Any]


@dataclass
class Changes:
    """What a transaction did so far.

    `states` are the objects it changed or made, as they are now. `made` are the
    new ones. `dirty` changed since the last savepoint, or were added by name;
    `stored` are those that a savepoint took: they are committed even when
    nothing leads to them any more.
    """

    states: dict[int, dict[Any, Any]] = field(default_factory=dict)
    made: set[int] = field(default_factory=set)
    dirty: set[int] = field(default_factory=set)
    stored: dict[int, State] = field(default_factory=dict)
    joined: bool = False

    def copy(self) -> "Changes":
        return Changes(
            {node: dict(state) for node, state in self.states.items()},
            set(self.made),
            set(self.dirty),
            dict(self.stored),
            self.joined,
        )


class View:
    """A connection as the model sees it; one to the past stays at `past`."""

    def __init__(self, history: History, past: int | None = None) -> None:
        self._history = history
        self._past = past
        self.refresh()

    def refresh(self) -> None:
        """Start a transaction: see everything committed by now, and nothing else."""
        self.snapshot = self._history.last if self._past is None else self._past
        self.changes = Changes()
        self.savepoints: list[Changes] = []
        self.relied_on: set[int] = set()  # by readCurrent, changed since or not

    @property
    def joined(self) -> bool:
        return self.changes.joined

    def state(self, node: int) -> State | None:
        """Return what this connection must find in `node`; None: no such object."""
        if node in self.changes.states:
            return self.changes.states[node]
        return self._history.state(node, self.snapshot)

    def kind(self, node: int) -> str:
        return self._history.kinds[node]

    def reachable(self) -> list[int]:
        """Return what this connection finds by walking from the root, sorted; no dead ends."""
        found: set[int] = set()
        todo = {0}
        while todo:
            node = todo.pop()
            found.add(node)
            todo |= references(self.state(node)) - found
        return sorted(node for node in found if self.state(node) is not None)

    def change(self, node: int) -> dict[Any, Any]:
        """Return the state of `node` to be changed in place."""
        changes = self.changes
        if node not in changes.states:
            state = self.state(node)
            assert state is not None
            changes.states[node] = dict(state)
        if node not in changes.made or node in changes.stored:
            changes.dirty.add(node)
            changes.joined = True
        return changes.states[node]

    def make(self, node: int, kind: str, state: State) -> None:
        """Note a new object, which nothing leads to yet."""
        self._history.kinds[node] = kind
        self.changes.states[node] = dict(state)
        self.changes.made.add(node)

    def add(self, node: int) -> None:
        """Give a new object a place in the database by name (`Connection.add`)."""
        self.changes.dirty.add(node)
        self.changes.joined = True

    def _to_store(self) -> set[int]:
        found: set[int] = set()
        todo = set(self.changes.dirty)
        while todo:
            node = todo.pop()
            found.add(node)
            new = self.changes.made - set(self.changes.stored) - found
            todo |= references(self.changes.states[node]) & new
        return found

    def drop_unattached(self) -> set[int]:
        """Forget new objects that nothing would store, return them."""
        changes = self.changes
        dropped = changes.made - self._to_store() - set(changes.stored)
        for node in dropped:
            del changes.states[node]
        changes.made -= dropped
        return dropped

    def store(self) -> set[int]:
        """Put changed and new objects where a commit takes them from; return which."""
        stored = self._to_store()
        for node in stored:
            self.changes.stored[node] = dict(self.changes.states[node])
        self.changes.dirty.clear()
        return stored

    def savepoint(self) -> None:
        if self.joined:
            self.store()
        self.savepoints.append(self.changes.copy())

    def rollback(self, index: int) -> set[int]:
        """Go back to a savepoint, which stays valid; return the new objects that are no more."""
        made = self.changes.made
        self.changes = self.savepoints[index].copy()
        del self.savepoints[index + 1 :]
        return made - self.changes.made
