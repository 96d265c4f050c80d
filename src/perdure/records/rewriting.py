"""A record with other oids in its references, made without importing a class.

The oids are exchanged in the bytes of the record. A string of 8 bytes that is
not in a reference could equal one, so the result is read, and compared with what
it should say; in the rare case that it says something else, the record is taken
apart and pickled anew.
"""

import copyreg
import pickle
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from perdure.errors import StateLoadError
from perdure.records.codec import PROTOCOL
from perdure.records.inert import Inert, InertClass, load_inert
from perdure.records.references import parse_reference

__all__ = ["with_other_oids"]

NewOid = Callable[[bytes], bytes]

_OID_STRING: Final = re.compile(rb"([CU]\x08)(.{8})", re.DOTALL)


class _Stored:
    """A reference while its record is being taken apart: what was stored for it."""

    __slots__ = ("stored",)

    def __init__(self, stored: Any) -> None:
        self.stored = stored

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stored) and self.stored == other.stored

    __hash__ = object.__hash__


def with_other_oids(record: bytes, new_oid: NewOid) -> bytes:
    """Return `record` with every oid in a reference replaced by `new_oid(oid)`.

    Strong and weak references alike; those to other databases stay as they are.
    `new_oid` is called once for each oid, in the order of their references.

    Raises `StateLoadError` if the record is damaged.
    """
    oids: dict[bytes, bytes] = {}

    def renew(stored: Any) -> Any:
        reference = parse_reference(stored)
        if reference.database_name is not None:
            return _Stored(stored)
        if reference.oid not in oids:
            oids[reference.oid] = new_oid(reference.oid)
        return _Stored(_with_oid(stored, oids[reference.oid]))

    after, _ = load_inert(record, renew)
    if all(old == new for old, new in oids.items()):
        return record
    patched = _OID_STRING.sub(lambda found: found[1] + oids.get(found[2], found[2]), record)
    try:
        if load_inert(patched, _Stored)[0] == after:
            return patched
    except (StateLoadError, RecursionError):
        pass  # it hit more than references, or the state goes in circles: pickle it anew
    return _pickled(after)


def _with_oid(stored: Any, oid: bytes) -> Any:
    if isinstance(stored, tuple):
        return oid, stored[1]
    if not isinstance(stored, list):
        return oid
    return [oid] if len(stored) == 1 else [stored[0], (oid, *stored[1][1:])]


def _pickled(values: list[Any]) -> bytes:
    """Return inert values as pickles in a row, with one memo for all."""
    file = BytesIO()
    pickler = _InertPickler(file, PROTOCOL)
    for value in values:
        pickler.dump(value)
    return file.getvalue()


class _InertPickler(pickle._Pickler):
    """Pickles what `inert` read as what it was; Python's pickler, for it must not import names."""

    dispatch = pickle._Pickler.dispatch.copy()

    def persistent_id(self, value: Any) -> Any:
        if type(value) is InertClass and value.reference is not None:
            value = value.reference
        return value.stored if type(value) is _Stored else None

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Inert):
            return NotImplemented
        make: tuple[Any, ...]
        if value.function is not None:
            make = value.function, value.args
        elif value.called:
            make = type(value), value.args
        elif value.kwargs:
            make = _copyreg.__newobj_ex__, (type(value), value.args, value.kwargs)
        else:
            make = _copyreg.__newobj__, (type(value), *value.args)
        state = value.state[0] if value.state else None
        return *make, state, iter(value.items), iter(value.pairs)


def _save_class(pickler: Any, value: InertClass) -> None:
    module, name = value.stored
    if value.outer is not None:
        pickler.save_reduce(getattr, (value.outer, name.rpartition(".")[2]), obj=value)
        return
    pickler.write(b"c%s\n%s\n" % (module.encode(), name.encode()))
    pickler.memoize(value)


# The types known for these modules leave out what is used here.
_copyreg: Any = copyreg
_dispatch: Any = _InertPickler.dispatch
_dispatch[InertClass] = _save_class
