"""How the classes of the model merge two changes of one object: states in, state out.

A state is a dictionary. `merge_tree` says what BTrees does with a tree that is
one bucket; the trees of the model stay that small.
"""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["MERGES", "Unmergeable"]

State = Mapping[Any, Any]


class Unmergeable(Exception):
    """The two changes exclude one another."""


def merge_counter(old: State, committed: State, new: State) -> State:
    """Return the state with both changes added up."""
    return {"value": committed["value"] + new["value"] - old["value"]}


def merge_tree(old: State, committed: State, new: State) -> State:
    """Return the items with both changes; raise `Unmergeable` where a bucket would."""
    if not committed or not new:
        raise Unmergeable("one of them emptied the bucket")
    merged = {}
    for key in {*old, *committed, *new}:
        if key not in old:
            if key in committed and key in new:
                raise Unmergeable("both inserted one key")
            merged[key] = committed[key] if key in committed else new[key]
        elif key in committed and key in new:
            if old[key] not in (committed[key], new[key]):
                raise Unmergeable("both changed one value")
            merged[key] = new[key] if committed[key] == old[key] else committed[key]
        else:
            _check_deletion(key, old, committed, new)
    if not merged:
        raise Unmergeable("together they empty the bucket")
    return merged


def _check_deletion(key: int, old: State, committed: State, new: State) -> None:
    if key not in committed and key not in new:
        raise Unmergeable("both deleted one key")
    deleting, keeping = (new, committed) if key in committed else (committed, new)
    if keeping[key] != old[key]:
        raise Unmergeable("one deleted what the other changed")
    if key < min(deleting):
        raise Unmergeable("the first key was deleted")


MERGES: dict[str, Callable[[State, State, State], State]] = {
    "counter": merge_counter,
    "tree": merge_tree,
}
"""How an object merges, by its kind; other kinds do not."""
