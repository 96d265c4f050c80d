"""Walking from the root by names: keys, indices and attributes, without importing a class.

    path := "/" name*          from the root; "/" between names
          | oid "/" name*      from an object: 0x1a/title

A name is a key of a mapping, an index of a sequence or an attribute; where a key
and an attribute have the same name it is the key. ``.title`` is only the
attribute. A key that is no text is written as a Python literal: ``12``,
``b'raw'``, ``('a', 1)``; where there is no such key, it is text after all. A name
in quotes is text, whatever is in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from perdure.errors import PathError, POSKeyError, StateLoadError
from perdure.ids import ROOT_OID, oid_repr, parse_oid
from perdure.interfaces import Loaded
from perdure.records import plain_record
from perdure.tools.moment import Moment
from perdure.tools.plainvalues import Plain, from_literal, pairs_of, sequence_of, typed_name
from perdure.tools.trees import LoadState, is_tree, look_up, tree_items

__all__ = ["Child", "Place", "children", "find", "record_at", "steps", "trail"]

_NAME: Final = re.compile(r"""(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|(?!b?['"])[^/]+)(?:/+|$)""")
_OID: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")
_NAMES_IN_ERRORS: Final = 5

_COLLECTION: Final = re.compile(
    r"((ZODB|persistent)\.)?(mapping|list|dict|PersistentMapping|PersistentList)"
    r"\.Persistent(Mapping|List|Dict)"
)
_HOLDERS: Final = ("data", "_container")
"""The attributes in which persistent mappings and lists keep what they hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to: an object, or a value inside the state of one.

    `oid` and `tid` are those of the object that it is, or stands in; `class_name`
    is None for a value inside. `value` is plain data, the state of an object.
    """

    path: str
    oid: bytes
    tid: bytes
    class_name: str | None
    value: Plain


@dataclass(frozen=True, slots=True)
class Child:
    """What stands in a place: its name, what kind of name that is, and its value.

    `kind` is "item" or "attribute". `oid` and `class_name` are those of the object
    that the value refers to, where it refers to one of this database.
    """

    name: str
    kind: str
    value: Plain
    oid: bytes | None
    class_name: str | None


def find(moment: Moment, path: str) -> Place:
    """Return what `path` leads to.

    Raises `PathError` where a name leads nowhere, and `StateLoadError` where the
    record of an object on the way is damaged.
    """
    return trail(moment, path)[-1]


def trail(moment: Moment, path: str) -> list[Place]:
    """Return the places on the way along `path`, from where it starts; raises what `find` does."""
    start, names = steps(path)
    place = _object_at(moment, start, "/" if start == ROOT_OID else oid_repr(start), path)
    places = [place]
    for name in names:
        child = _child_named(moment, place, name)
        if child is None:
            raise PathError(path, name, _why_not(moment, place))
        inner = f"{place.path.rstrip('/')}/{name}"
        if child.oid is not None:
            place = _object_at(moment, child.oid, inner, path)
        else:
            place = Place(inner, place.oid, place.tid, None, child.value)
        places.append(place)
    return places


def children(moment: Moment, place: Place) -> Iterator[Child]:
    """Yield what stands in a place: items in their order, then attributes."""
    for key, value in _items(moment, place):
        yield _child(typed_name(key), "item", value)
    for name, value in _attributes(place):
        yield _child(name, "attribute", value)


def record_at(moment: Moment, oid: bytes) -> tuple[dict[str, Plain], Loaded]:
    """Return an object's record as plain data, and as it is stored.

    Raises `POSKeyError` and `StateLoadError`, which name the object.
    """
    loaded = moment.load(oid)
    try:
        return plain_record(loaded.data), loaded
    except StateLoadError as error:
        raise StateLoadError(oid, None, error.reason) from error


def steps(path: str) -> tuple[bytes, list[str]]:
    """Return the oid where a path starts, and the names in it.

    Raises `PathError` if it is not one.
    """
    position = len(path) - len(path.lstrip("/"))
    names: list[str] = []
    while position < len(path):
        match = _NAME.match(path, position)
        if match is None:
            raise PathError(path, path[position:], 'needs a "/" behind the name in quotes')
        names.append(match[1])
        position = match.end()
    if names and not path.startswith("/") and _OID.fullmatch(names[0]):
        return parse_oid(names[0]), names[1:]
    return ROOT_OID, names


def _object_at(moment: Moment, oid: bytes, place: str, path: str) -> Place:
    try:
        record, loaded = record_at(moment, oid)
    except POSKeyError as error:
        raise PathError(path, place, f"leads nowhere: {error}") from error
    class_name = record["class"]
    if not isinstance(class_name, str):
        class_name = "persistent class"
    return Place(place, oid, loaded.tid, class_name, record["state"])


def _child_named(moment: Moment, place: Place, name: str) -> Child | None:
    if not name.startswith("."):
        keys = _keys(name)
        if place.class_name is not None and is_tree(place.class_name, place.value):
            item = look_up(place.class_name, place.value, keys, _loader(moment))
            if item is not None:
                return _child(name, "item", item[1])
        else:
            for wanted in keys:
                for key, value in _items(moment, place):
                    if type(key) is type(wanted) and key == wanted:
                        return _child(name, "item", value)
    attribute = name.removeprefix(".")
    for found, value in _attributes(place):
        if found == attribute:
            return _child(name, "attribute", value)
    return None


def _keys(name: str) -> list[Plain]:
    """Return the keys that a name can mean, in order: a literal, the text as it is."""
    try:
        literal = from_literal(name)
    except ValueError:
        return [name]
    return [literal] if name[0] in "'\"" else [literal, name]


def _items(moment: Moment, place: Place) -> Iterator[tuple[Plain, Plain]]:
    value = place.value
    if place.class_name is None:
        return _contents(value)
    if is_tree(place.class_name, value):
        return tree_items(place.class_name, value, _loader(moment))
    if _COLLECTION.fullmatch(place.class_name) and isinstance(value, dict):
        return chain.from_iterable(_contents(value[name]) for name in _HOLDERS if name in value)
    return iter(())


def _contents(value: Plain) -> Iterator[tuple[Plain, Plain]]:
    """Yield what is in a value: keys or indices, each with what stands there."""
    pairs = pairs_of(value)
    if pairs is not None:
        yield from pairs
    elif (sequence := sequence_of(value)) is not None:
        yield from enumerate(sequence)
    elif isinstance(value, dict):  # an object that was given items while it was loaded
        yield from enumerate(value.get("items", ()))
        yield from value.get("pairs", ())


def _attributes(place: Place) -> Iterator[tuple[str, Plain]]:
    """Yield attributes: of an object, or of an object inside the state of one."""
    state: Plain = place.value
    hidden: tuple[str, ...] = ()
    if place.class_name is None:
        if not (isinstance(state, dict) and "$object" in state):
            return
        state = state.get("state")
    elif is_tree(place.class_name, state):
        return
    elif _COLLECTION.fullmatch(place.class_name):
        hidden = _HOLDERS
    # What has slots too has two dictionaries as its state.
    for part in sequence_of(state) or [state]:
        for name, value in pairs_of(part) or ():
            if isinstance(name, str) and name not in hidden:
                yield name, value


def _child(name: str, kind: str, value: Plain) -> Child:
    oid = class_name = None
    if isinstance(value, dict):
        class_name = value.get("class") if "$ref" in value else value.get("$object")
        if "$ref" in value and "database" not in value:
            oid = parse_oid(value["$ref"])
    return Child(name, kind, value, oid, class_name if isinstance(class_name, str) else None)


def _loader(moment: Moment) -> LoadState:
    def load(reference: Plain) -> tuple[str, Plain]:
        record, _ = record_at(moment, parse_oid(reference["$ref"]))
        return str(record["class"]), record["state"]

    return load


def _why_not(moment: Moment, place: Place) -> str:
    if isinstance(place.value, dict) and "$ref" in place.value:
        return f"is in the database {place.value['database']!r}, which was not opened"
    names = [child.name for child in islice(children(moment, place), _NAMES_IN_ERRORS + 1)]
    if len(names) > _NAMES_IN_ERRORS:
        names[-1] = "..."
    what = place.class_name or "a value"
    inside = f"with {', '.join(names)}" if names else "with nothing in it"
    return f"is not in {place.path}: {what} {inside}"
