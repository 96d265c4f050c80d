"""Readers and writers without native code, and what two states have to have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from perdure import native
from perdure.records import RecordReader, RecordWriter
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Slotted, TakesArguments

__all__ = ["likeness", "pure_reader", "pure_writer", "unspoilt_classes"]

_SPOILABLE = (
    Node,
    Point,
    Slotted,
    TakesArguments,
    PersistentList,
    PersistentMapping,
    WeakRef,
    UUID,
)


@contextmanager
def _without_native_code() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "decoder", None)
        patch.setattr(native, "encoder", None)
        yield


def pure_reader(jar: Jar) -> RecordReader:
    """Return a reader for `jar` that uses no native code."""
    with _without_native_code():
        return RecordReader(jar, jar._cache, jar._find)


def pure_writer(jar: Jar) -> RecordWriter:
    """Return a writer for `jar` that uses no native code."""
    with _without_native_code():
        return RecordWriter(jar)


@contextmanager
def unspoilt_classes() -> Iterator[None]:
    """Undo what damaged records do to classes: a state can be given to a class, too."""
    before = {cls: dict(vars(cls)) for cls in _SPOILABLE}
    yield
    for cls, attributes in before.items():
        for name in set(vars(cls)) - set(attributes):
            type.__delattr__(cls, name)
        for name, value in attributes.items():
            if vars(cls).get(name) is not value:
                type.__setattr__(cls, name, value)


def likeness(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Return what is to be equal in two copies of a value: contents, classes and sharing."""
    seen = {} if seen is None else seen
    if value is None or isinstance(value, int | float | complex | str | bytes):
        return type(value), repr(value)
    if id(value) in seen:
        return "seen", seen[id(value)]
    seen[id(value)] = len(seen)
    kind = type(value)
    if isinstance(value, type | Jar):
        return repr(value) if isinstance(value, type) else value.database_name
    if isinstance(value, Persistent):
        return kind.__name__, value._p_oid
    if isinstance(value, list | tuple):
        return kind, [likeness(item, seen) for item in value]
    if isinstance(value, dict):
        return kind, [(likeness(key, seen), likeness(item, seen)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return kind, sorted(map(_shown, value))
    if isinstance(value, Slotted):
        return kind, [likeness(getattr(value, name, None), seen) for name in Slotted.__slots__]
    if isinstance(getattr(value, "__dict__", None), dict):
        return kind.__name__, likeness(value.__dict__, seen)
    return kind.__name__, _shown(value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # a damaged record may make what cannot be shown
        return type(error).__name__
