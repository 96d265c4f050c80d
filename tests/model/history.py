"""What has been committed: the model's side of a storage.

Objects are numbered, 0 is the root. Transactions are numbered from 0 in the
order of their commits; each maps the objects it wrote to their new states. A
state is a dictionary, whose values are integers or `Ref`s; None stands for an
object whose creation was undone.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from model.merging import MERGES, Unmergeable

__all__ = ["Conflict", "History", "Ref", "UndoRefused", "Unspecified", "references"]


class Ref(NamedTuple):
    """A reference to the object of that number."""

    node: int


State = Mapping[Any, Any]


class Conflict(Exception):
    """A commit must fail: `written` by somebody else meanwhile, or only `read` by this one."""

    def __init__(self, written: set[int], read: set[int]) -> None:
        super().__init__(written, read)
        self.written = written
        self.read = read


class UndoRefused(Exception):
    """An undo must fail with `UndoError`."""


class Unspecified(Exception):
    """The contract leaves the outcome open; the machine keeps away from it."""


def references(state: State | None) -> set[int]:
    """Return the numbers of the objects that `state` refers to."""
    return {value.node for value in (state or {}).values() if isinstance(value, Ref)}


class History:
    """All committed states, and the rules by which a transaction gets among them.

    `resolves` says whether the storage asks the objects to merge conflicting changes;
    transactions up to number `base` lie in another storage, below a layer.
    """

    def __init__(self, *, resolves: bool, base: int = -1) -> None:
        self._base = base
        self._merges = MERGES if resolves else {}
        self.kinds: dict[int, str] = {}
        self.transactions: list[dict[int, State | None]] = []
        self.tids: list[bytes] = []
        self.notes: list[str] = []
        self.oids: dict[int, bytes] = {}
        self.packed = 0  # number of the transaction that the last pack went up to
        self.gone: set[int] = set()  # collected as garbage
        self.forgotten: set[int] = set()  # may have been collected or not

    @property
    def last(self) -> int:
        return len(self.transactions) - 1

    def version(self, node: int, at: int) -> int | None:
        """Return the number of the transaction whose state of `node` is current at `at`."""
        for number in range(at, -1, -1):
            if node in self.transactions[number]:
                return number
        return None

    def versions(self, node: int) -> list[int]:
        """Return the numbers of all transactions that wrote `node`, oldest first."""
        return [number for number, wrote in enumerate(self.transactions) if node in wrote]

    def state(self, node: int, at: int) -> State | None:
        """Return the state of `node` at `at`, None where there is none."""
        number = self.version(node, at)
        return None if number is None else self.transactions[number][node]

    def reachable(self, at: int) -> set[int]:
        """Return what the root leads to at `at`, in as many steps as it takes."""
        found: set[int] = set()
        todo = {0}
        while todo:
            node = todo.pop()
            found.add(node)
            todo |= references(self.state(node, at)) - found
        return found

    def merged(self, writes: Mapping[int, State], reads: set[int], snapshot: int) -> dict[int, Any]:
        """Return what committing `writes` made from `snapshot` writes; raise `Conflict`."""
        result: dict[int, Any] = {}
        written: set[int] = set()
        for node, state in writes.items():
            base, current = self.version(node, snapshot), self.version(node, self.last)
            if base == current:
                result[node] = state
                continue
            try:
                result[node] = self._merge(node, base, self.state(node, self.last), state)
            except Unmergeable:
                written.add(node)
        read = {
            node
            for node in reads - set(writes)
            if self.version(node, snapshot) != self.version(node, self.last)
        }
        if written or read:
            raise Conflict(written, read)
        return result

    def _merge(
        self, node: int, base: int | None, committed: State | None, new: State | None
    ) -> State:
        old = None if base is None else self.transactions[base][node]
        merge = self._merges.get(self.kinds[node])
        if merge is None or old is None or committed is None or new is None:
            raise Unmergeable
        return merge(old, committed, new)

    def append(self, writes: Mapping[int, State | None], tid: bytes, note: str = "") -> None:
        """Make `writes` the newest transaction; `note` is its description."""
        self.transactions.append(dict(writes))
        self.tids.append(tid)
        self.notes.append(note)

    def undone(self, numbers: Iterable[int]) -> dict[int, State | None]:
        """Return what undoing these transactions, in this order, writes.

        Raises `UndoRefused`, or `Unspecified` where an object does not exist at
        the moment.
        """
        writes: dict[int, State | None] = {}
        for number in numbers:
            for node, undone in self.transactions[number].items():
                # The state before is looked up by number: it is what stood there.
                prior = self.state(node, number - 1)
                is_current = node not in writes and self.version(node, self.last) == number
                current = writes[node] if node in writes else self.state(node, self.last)
                if is_current:
                    writes[node] = prior
                elif current is None or undone is None:
                    raise Unspecified
                elif current == undone:
                    writes[node] = prior
                elif (self.version(node, number - 1) or 0) <= self._base:
                    # A layer may refuse to merge with what lies below it.
                    raise Unspecified
                else:
                    try:
                        writes[node] = self._merge(node, number, current, prior)
                    except Unmergeable:
                        raise UndoRefused(number, node) from None
        return writes

    def can_pack(self, to: int) -> bool:
        """Say whether a pack up to `to` is harmless: nothing unreachable then is used later.

        Whoever packs with a time in the past takes that on himself, in every storage.
        """
        garbage = self._written(to) - self.reachable(to)
        return not any(
            garbage & (set(self.transactions[number]) | self.reachable(number))
            for number in range(to + 1, self.last + 1)
        )

    def _written(self, to: int) -> set[int]:
        return {node for wrote in self.transactions[: to + 1] for node in wrote}

    def pack(self, to: int) -> None:
        """Note a pack up to `to`: what was current then, and all that is newer, must remain."""
        garbage = self._written(to) - self.reachable(to)
        remaining = set().union(*(self.reachable(at) for at in range(to, self.last + 1)))
        # Written later and never linked: a storage that collects by what is left drops
        # them, one that copies what is newer than the pack keeps them.
        self.forgotten |= self._written(self.last) - self._written(to) - remaining
        self.packed = to
        self.gone |= garbage

    def kept(self, node: int) -> list[int]:
        """Return the numbers of the transactions whose states of `node` no pack dropped."""
        floor = self.version(node, self.packed) or 0
        return [number for number in self.versions(node) if number >= floor]
