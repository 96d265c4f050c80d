"""Values of plain records taken apart: what is a key, a sequence, a reference.

`records.plain` says how a record looks as plain data. Here a literal that a
person typed becomes a value of that form, and a value of that form a name that
can be typed.
"""

import ast
import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from perdure.ids import oid_repr, parse_oid

__all__ = [
    "Plain",
    "comparable",
    "from_literal",
    "pairs_of",
    "places_of",
    "referred",
    "sequence_of",
    "typed_name",
]

Plain = Any
"""What JSON can hold; see `records.plain`."""

_QUOTED = re.compile(r"""\.|b?['"]""")
_SEQUENCES = ("$tuple", "$set", "$frozenset", "$deque")


def sequence_of(value: Plain) -> list[Plain] | None:
    """Return the items of a list, a tuple or a set; None for anything else."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        for kind in _SEQUENCES:
            if kind in value:
                items: list[Plain] = value[kind]
                return items
    return None


def pairs_of(value: Plain) -> Iterator[tuple[Plain, Plain]] | None:
    """Return the keys and values of a dictionary; None for anything else."""
    if not isinstance(value, dict):
        return None
    if "$dict" in value:
        return ((key, item) for key, item in value["$dict"])
    if any(name.startswith("$") for name in value):
        return None
    return iter(value.items())


def from_literal(text: str) -> Plain:
    """Return the plain form of a Python literal; `ValueError` if `text` is none."""
    try:
        literal = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is not a Python literal") from None
    return _plain(literal)


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return {"$tuple": [_plain(item) for item in value]}
    raise ValueError(f"{value!r} is no key")


def typed_name(key: Plain) -> str:
    """Return a key as a person types it in a path; what cannot be typed, as JSON."""
    if isinstance(key, str):
        return key if _stands_for_itself(key) else repr(key)
    try:
        return repr(comparable(key))
    except TypeError:
        return json.dumps(key)


def _stands_for_itself(key: str) -> bool:
    if not key or _QUOTED.match(key) or "/" in key or not key.isprintable():
        return False
    try:
        from_literal(key)
    except ValueError:
        return True
    return False


def comparable(key: Plain) -> Any:
    """Return the Python value of a key that is a number, text, bytes or a tuple of these.

    Raises `TypeError` for any other.
    """
    if key is None or isinstance(key, bool | int | float | str):
        return key
    if isinstance(key, dict) and len(key) == 1:
        if "$bytes" in key:
            return base64.b64decode(key["$bytes"])
        if "$tuple" in key:
            return tuple(map(comparable, key["$tuple"]))
    raise TypeError(f"{key!r} cannot be compared")


def referred(value: Plain) -> Iterator[bytes]:
    """Yield the oids that a value refers to, those that keep objects of this database alive."""
    for _, reference in _references(value, ""):
        if "database" not in reference and not reference.get("weak"):
            yield parse_oid(reference["$ref"])


def places_of(oid: bytes, value: Plain) -> Iterator[str]:
    """Yield where in `value` an object of this database is referred to: ``.data['books'][3]``."""
    wanted = oid_repr(oid)
    for place, reference in _references(value, ""):
        if reference["$ref"] == wanted and "database" not in reference:
            yield place


def _references(value: Plain, place: str) -> Iterator[tuple[str, dict[str, Plain]]]:
    if isinstance(value, dict) and "$ref" in value:
        yield place, value
        return
    sequence = sequence_of(value)
    pairs = pairs_of(value)
    if sequence is not None:
        for number, item in enumerate(sequence):
            yield from _references(item, f"{place}[{number}]")
    elif pairs is not None:
        for key, item in pairs:
            yield from _references(key, f"{place}.keys()")
            step = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
            yield from _references(item, f"{place}{step}")
    elif isinstance(value, dict):  # an object, with whatever made it
        for name, part in value.items():
            inside = place if name in ("state", "items", "pairs") else f"{place}.{name}"
            yield from _references(part, inside)
