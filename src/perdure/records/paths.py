"""Where in a state a value stands that cannot be stored; looked up only after an error.

A path reads as one would write it in Python, from the persistent object on:
``.settings['callbacks'][2].function``.
"""

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["path_to"]

_Step = tuple[str, Any]


def _attributes(state: Any) -> Iterator[_Step]:
    """Yield what the parts of a state, or of `__reduce__`'s, are called in their object."""
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        yield from _attributes(state[0])  # (instance dictionary, slots)
        yield from _attributes(state[1])
    elif isinstance(state, dict):
        for name, value in state.items():
            yield (f".{name}" if isinstance(name, str) else f"[{name!r}]"), value
    elif state is not None:
        yield "", state


def _items(value: Any) -> Iterator[_Step]:
    """Yield the parts of a value that would be pickled with it, each with its step."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f".keys()[{key!r}]", key
            yield f"[{key!r}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield f"{{{item!r}}}", item
    if type(value).__module__ != "builtins":
        yield from _reduced(value)


def _reduced(value: Any) -> Iterator[_Step]:
    reduced = value.__reduce_ex__(3)
    if not isinstance(reduced, tuple):
        return
    for argument in reduced[1]:
        yield "", argument
    if len(reduced) > 2:
        yield from _attributes(reduced[2])
    if not isinstance(value, dict | list):
        for part in reduced[3:5]:
            for index, item in enumerate(part or ()):
                yield f"[{index}]", item


def path_to(
    state: Any, fails: Callable[[Any], bool], is_part: Callable[[Any], bool]
) -> tuple[str, Any]:
    """Return the path to the innermost value in `state` that fails by itself, and the value.

    `fails` says whether storing a value fails; `is_part` whether a value is
    stored as a part of the state, and so can be looked into, or by reference.
    The path is "" where it is the state itself, or where no part fails alone.
    """
    path, value, steps = "", state, _attributes(state)
    seen: set[int] = set()
    while True:
        step = _first_failing(steps, fails, seen)
        if step is None:
            return path, value
        path, value = path + step[0], step[1]
        if not is_part(value):
            return path, value
        seen.add(id(value))
        steps = _items(value)


def _first_failing(
    steps: Iterator[_Step], fails: Callable[[Any], bool], seen: set[int]
) -> _Step | None:
    try:
        for step in steps:
            if id(step[1]) not in seen and fails(step[1]):
                return step
    except Exception:
        # Taking the value apart failed, which is why it cannot be stored: this is the place.
        return None
    return None
