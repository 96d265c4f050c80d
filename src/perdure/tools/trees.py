"""BTrees and their buckets as plain data: their items, without importing BTrees.

A tree is recognised by the name of its class; one of an unknown class by the
form of its state. These are the states:

    bucket := (items,) | (items, next bucket)         items: key, value, key, value ...
    set    := (keys,)  | (keys, next set)
    tree   := None                                    empty
            | ((bucket,),)                            one bucket, inside the tree
            | ((child, key, child ...), first bucket)
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final

from perdure.tools.plainvalues import Plain, comparable, sequence_of

__all__ = ["Item", "LoadState", "is_tree", "look_up", "tree_items"]

Item = tuple[Plain, Plain]
"""A key and its value; in a set the value is the key."""

LoadState = Callable[[Plain], tuple[str, Plain]]
"""From a reference to the class and the state of what it refers to."""

_CLASS: Final = re.compile(r"BTrees\.\w+BTree\.\w\w(BTree|TreeSet|Bucket|Set)(Py)?")


def is_tree(class_name: str, state: Plain) -> bool:
    """Return whether an object is a BTree, or one of its parts."""
    return _kind(class_name, state) is not None


def tree_items(class_name: str, state: Plain, load: LoadState) -> Iterator[Item]:
    """Yield the items of a tree, or of one bucket, in order."""
    kind = _kind(class_name, state)
    of_set = kind in ("TreeSet", "Set")
    parts = _parts(state)
    if not parts:
        return
    if kind in ("Bucket", "Set"):
        yield from _entries(parts, of_set)
    elif len(parts) == 1:
        yield from _entries(_parts(_parts(parts[0])[0]), of_set)
    else:
        yield from _chained(parts[1], of_set, load)


def look_up(class_name: str, state: Plain, keys: list[Plain], load: LoadState) -> Item | None:
    """Return the first item whose key is one of `keys`, tried in order; None if there is none."""
    for key in keys:
        for item in _near(class_name, state, key, load):
            if _same(item[0], key):
                return item
    return None


def _same(key: Plain, other: Plain) -> bool:
    return type(key) is type(other) and bool(key == other)


def _near(class_name: str, state: Plain, key: Plain, load: LoadState) -> Iterator[Item]:
    """Yield the items of the bucket where `key` would be; all of them if nobody can tell."""
    parts = _parts(state)
    if _kind(class_name, state) in ("BTree", "TreeSet") and len(parts) == 2:
        children = _parts(parts[0])
        try:
            separators = [comparable(separator) for separator in children[1::2]]
            number = bisect_right(separators, comparable(key))
        except TypeError:  # keys of different kinds, or objects
            return tree_items(class_name, state, load)
        return _near(*load(children[2 * number]), key, load)
    return tree_items(class_name, state, load)


def _chained(bucket: Plain, of_set: bool, load: LoadState) -> Iterator[Item]:
    seen: set[str] = set()
    while bucket is not None and bucket["$ref"] not in seen:
        seen.add(bucket["$ref"])
        parts = _parts(load(bucket)[1])
        yield from _entries(parts, of_set)
        bucket = parts[1] if len(parts) > 1 else None


def _entries(bucket: list[Plain], of_set: bool) -> Iterator[Item]:
    flat = _parts(bucket[0]) if bucket else []
    if of_set:
        return ((key, key) for key in flat)
    return zip(flat[::2], flat[1::2], strict=False)


def _kind(class_name: str, state: Plain) -> str | None:
    """Return "BTree", "TreeSet", "Bucket" or "Set", or None for what is none of these."""
    match = _CLASS.fullmatch(class_name)
    if match is not None:
        return match[1]
    return _kind_by_form(class_name, state)


def _kind_by_form(class_name: str, state: Plain) -> str | None:
    """Return the kind of an instance of a subclass: of what is inside, or of the class's name."""
    parts = _parts(state)
    if len(parts) == 2 and isinstance(parts[1], dict) and "$ref" in parts[1]:
        match = _CLASS.fullmatch(parts[1].get("class", ""))
        kinds: dict[str, Any] = {"Bucket": "BTree", "Set": "TreeSet"}
        return None if match is None else kinds.get(match[1])
    if len(parts) == 1 and _is_tuple(parts[0]):
        inside = _parts(parts[0])
        if len(inside) == 1 and _is_tuple(inside[0]) and len(_parts(inside[0])) == 1:
            return "TreeSet" if class_name.endswith("Set") else "BTree"
    return None


def _is_tuple(value: Plain) -> bool:
    return isinstance(value, dict) and "$tuple" in value


def _parts(value: Plain) -> list[Plain]:
    return (sequence_of(value) or []) if _is_tuple(value) else []
