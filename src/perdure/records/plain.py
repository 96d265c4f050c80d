"""A record as plain data that JSON can hold, made without importing any class.

What JSON has stands for itself: None, booleans, finite numbers, text, lists, and
dictionaries whose keys are text that does not begin with "$". All else is a
dictionary with one key that begins with "$", and says what it is:

    {"$ref": "0x1a", "class": "m.C"}         a reference; also "database", "weak"
    {"$bytes": "..."}                        Base64
    {"$tuple": [...]}, "$set", "$frozenset", "$deque"
    {"$dict": [[key, value], ...]}           a dictionary with other keys
    {"$datetime": "..."}, "$date", "$time"   ISO 8601; "zone" if it is more than an offset
    {"$timedelta": [days, seconds, microseconds]}
    {"$decimal": "1.10"}, "$uuid", "$fraction", "$complex", "$float", "$int"
    {"$global": "m.name"}                    a class or a function
    {"$object": "m.C", "state": ...}         any other object; also "arguments", "items", "pairs"
    {"$call": "m.f", "arguments": [...]}     what a function was to return
    {"$same": "path"}                        what stands at that path already
    {"$deep": "..."}                         what is nested too deeply to show
"""

import base64
import datetime
import math
from typing import Any, Final

from perdure.ids import oid_repr
from perdure.records.inert import Inert, InertClass, class_name_of, load_inert
from perdure.records.names import local_name
from perdure.records.references import Reference, parse_reference

__all__ = ["plain_record"]

_MAX_DEPTH: Final = 100
_MAX_INT_BITS: Final = 4096  # beyond that Python may refuse to write the digits

_Path = tuple[Any, ...]  # (path of what it stands in, step), () for the record


def plain_record(record: bytes) -> dict[str, Any]:
    """Return what a record says: "class", perhaps "arguments", and "state".

    Raises `StateLoadError` if the record is damaged.
    """
    (metadata, state), _ = load_inert(record, parse_reference)
    cls, arguments = metadata, None
    if isinstance(metadata, tuple) and len(metadata) == 2:
        cls, arguments = metadata
    view = _View()
    shown: dict[str, Any] = {"class": class_name_of(cls) or view.plain(cls, ((), "class"))}
    if arguments is not None:
        shown["arguments"] = view.plain(arguments, ((), "arguments"))
    shown["state"] = view.plain(state, ((), "state"))
    return shown


class _View:
    """Makes values plain, each container once."""

    def __init__(self) -> None:
        self._seen: dict[int, _Path] = {}
        self._depth = 0

    def plain(self, value: Any, path: _Path) -> Any:
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= _MAX_INT_BITS else {"$int": hex(value)}
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, bytes | bytearray):
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        if isinstance(value, Reference):
            return _reference(value)
        if isinstance(value, InertClass):
            if value.reference is not None:
                return self.plain(value.reference, path)
            return {"$global": class_name_of(value)}
        return self._container(value, path)

    def _container(self, value: Any, path: _Path) -> Any:
        first = self._seen.setdefault(id(value), path)
        if first is not path and not (isinstance(value, tuple) and len(value) < 2):
            return {"$same": _written(first)}
        if self._depth >= _MAX_DEPTH:
            return {"$deep": type(value).__name__}
        self._depth += 1
        try:
            if isinstance(value, Inert):
                return self._object(value, path)
            if isinstance(value, dict):
                return self._pairs(list(value.items()), path)
            if isinstance(value, list):
                return self._items(value, path)
            if isinstance(value, tuple | set | frozenset):
                return {f"${type(value).__name__}": self._items(value, path)}
            return {"$deep": repr(type(value))}
        finally:
            self._depth -= 1

    def _items(self, values: Any, path: _Path) -> list[Any]:
        return [self.plain(value, (path, index)) for index, value in enumerate(values)]

    def _pairs(self, pairs: list[tuple[Any, Any]], path: _Path) -> dict[str, Any]:
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return {key: self.plain(value, (path, key)) for key, value in pairs}
        return {
            "$dict": [
                [self.plain(key, ((path, index), 0)), self.plain(value, ((path, index), 1))]
                for index, (key, value) in enumerate(pairs)
            ]
        }

    def _object(self, value: Inert, path: _Path) -> Any:
        name = ".".join(local_name(*type(value).stored)) if value.function is None else None
        if name in _WELL_KNOWN:
            try:
                return self._well_known(_WELL_KNOWN[name], value, path)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                pass  # not made as that class makes it; shown as any other object
        kind, made_by, args = _how_made(value, name)
        shown: dict[str, Any] = {kind: class_name_of(made_by) or self.plain(made_by, (path, kind))}
        if args or kind == "$call":
            shown["arguments"] = self._items(args, (path, "arguments"))
        if value.kwargs:
            shown["keywords"] = self.plain(value.kwargs, (path, "keywords"))
        if value.state:
            shown["state"] = self.plain(value.state[0], (path, "state"))
        if value.items:
            shown["items"] = self._items(value.items, (path, "items"))
        if value.pairs:
            shown["pairs"] = self._items(value.pairs, (path, "pairs"))
        return shown

    def _well_known(self, kind: Any, value: Inert, path: _Path) -> Any:
        if kind == "pairs":
            return self._pairs(list(dict(*value.args).items()) + value.pairs, path)
        if isinstance(kind, str):
            filled = [*(value.args[0] if value.args else ()), *value.items]
            return {kind: self._items(filled, path)}
        if isinstance(kind, type):
            return self._moment(kind, value, path)
        return kind(value)

    def _moment(self, cls: Any, value: Inert, path: _Path) -> dict[str, Any]:
        packed, *zones = value.args
        raw = packed.encode("latin-1") if isinstance(packed, str) else packed
        if not isinstance(raw, bytes):
            raise TypeError
        offsets = [_offset(zone) for zone in zones]
        shown = {f"${cls.__name__}": cls(raw, *filter(None, offsets)).isoformat()}
        if offsets == [None]:
            shown["zone"] = self.plain(zones[0], (path, "zone"))
        return shown


def _how_made(value: Inert, name: str | None) -> tuple[str, Any, tuple[Any, ...]]:
    """Return "$object" or "$call", of what, and with which arguments."""
    if value.function is not None:
        return "$call", value.function, value.args
    if name == "copyreg._reconstructor" and len(value.args) == 3:
        # How protocols 0 and 1 made an object: class, class in C below it, and that one's state.
        return "$object", value.args[0], () if value.args[2] is None else value.args[2:]
    return "$call" if value.called else "$object", type(value), value.args


def _reference(reference: Reference) -> dict[str, Any]:
    shown: dict[str, Any] = {"$ref": oid_repr(reference.oid)}
    if reference.class_name is not None:
        shown["class"] = reference.class_name
    if reference.database_name is not None:
        shown["database"] = reference.database_name
    if reference.weak:
        shown["weak"] = True
    return shown


def _written(path: _Path) -> str:
    steps: list[str] = []
    while path:
        path, step = path
        steps.append(f".{step}" if isinstance(step, str) else f"[{step}]")
    return "".join(reversed(steps)).removeprefix(".")


# What is decoded here runs only code of the standard library, on bytes and numbers.


def _offset(zone: Any) -> datetime.tzinfo | None:
    """Return a fixed offset, None for a zone that has rules of its own."""
    if class_name_of(type(zone)) != "datetime.timezone":
        return None
    days, seconds, microseconds = zone.args[0].args
    return datetime.timezone(datetime.timedelta(days, seconds, microseconds))


def _timedelta(value: Inert) -> Any:
    return {"$timedelta": [int(part) for part in value.args]}


def _uuid(value: Inert) -> Any:
    digits = f"{value.state[0]['int']:032x}"
    return {
        "$uuid": "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    }


def _latin_1(value: Inert) -> Any:
    return {"$bytes": base64.b64encode(value.args[0].encode("latin-1")).decode("ascii")}


def _bytearray(value: Inert) -> Any:
    made = value.args[0] if value.args else b""
    raw = made.encode("latin-1") if isinstance(made, str) else bytes(made)
    return {"$bytes": base64.b64encode(raw).decode("ascii")}


def _decimal(value: Inert) -> Any:
    (digits,) = value.args
    return {"$decimal": digits + ""}


def _fraction(value: Inert) -> Any:
    return {"$fraction": "/".join(map(str, value.args))}


_WELL_KNOWN: Final[dict[str | None, Any]] = {
    "_codecs.encode": _latin_1,
    "builtins.bytearray": _bytearray,
    "builtins.complex": lambda value: {"$complex": [float(part) for part in value.args]},
    "builtins.frozenset": "$frozenset",
    "builtins.set": "$set",
    "collections.OrderedDict": "pairs",
    "collections.deque": "$deque",
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.time": datetime.time,
    "datetime.timedelta": _timedelta,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": _fraction,
    "uuid.UUID": _uuid,
}
"""How to show what these make: a function, a class of moments, or what a container is called."""
