"""The records that the suites store: real ones, of classes that anybody can import.

A record is two pickles, the class and then the state; persistent references
stand in the state as `Ref`. Writing and reading happens here with nothing but
`pickle`, so that the suites do not depend on the code that they test.
"""

import io
import pickle
from dataclasses import dataclass
from typing import Any

from persistent import Persistent

__all__ = [
    "Cell",
    "Holder",
    "Obstinate",
    "Ref",
    "Tally",
    "cell",
    "holder",
    "record",
    "references",
    "state_of",
    "tally",
]

PROTOCOL = 3


@dataclass(frozen=True)
class Ref:
    """A persistent reference: to `oid`, an object of class `cls`."""

    oid: bytes
    cls: type


class Cell(Persistent):
    """Holds anything; two changes of one cell conflict."""


class Tally(Persistent):
    """Counts; changes of a tally add up."""

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:
        return {**new, "count": saved["count"] + new["count"] - old["count"]}


class Holder(Persistent):
    """Holds references by name; additions by both sides are united, the rest is a conflict."""

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:
        return {**saved, **new}


class Obstinate(Persistent):
    """Fails in conflict resolution with an error of its own."""

    def _p_resolveConflict(self, old: object, saved: object, new: object) -> object:
        raise LookupError("this class resolves nothing")


def record(cls: type, state: object) -> bytes:
    """Return the record of an object of class `cls` with `state`, `Ref`s within it."""
    file = io.BytesIO()
    pickler = _Writer(file, PROTOCOL)
    pickler.dump(cls)
    pickler.dump(state)
    return file.getvalue()


def cell(value: object) -> bytes:
    """Return the record of a `Cell` that holds `value`."""
    return record(Cell, {"value": value})


def tally(count: int) -> bytes:
    """Return the record of a `Tally` at `count`."""
    return record(Tally, {"count": count})


def holder(*oids: bytes, **named: bytes) -> bytes:
    """Return the record of a `Holder` that refers to the cells with these oids."""
    state = {oid.hex(): Ref(oid, Cell) for oid in oids}
    return record(Holder, state | {name: Ref(oid, Cell) for name, oid in named.items()})


def state_of(data: bytes) -> Any:
    """Return the state in a record, with a `Ref` for each reference."""
    return _read(data)[0]


def references(data: bytes, oids: list[bytes] | None = None) -> list[bytes]:
    """Return the oids that a record refers to, appended to `oids` if given."""
    found = [] if oids is None else oids
    found.extend(_read(data)[1])
    return found


class _Writer(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return (obj.oid, obj.cls) if isinstance(obj, Ref) else None


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.oids: list[bytes] = []

    def persistent_load(self, reference: Any) -> Ref:
        oid, cls = reference
        self.oids.append(oid)
        return Ref(oid, cls)


def _read(data: bytes) -> tuple[Any, list[bytes]]:
    reader = _Reader(data)
    reader.load()  # the class
    return reader.load(), reader.oids
