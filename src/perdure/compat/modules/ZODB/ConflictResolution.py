"""`ZODB.ConflictResolution`: conflicts resolved by the class of the object."""

import logging
from _pickle import PicklingError
from io import BytesIO
from typing import Any, NoReturn

from zope.interface import Attribute, Interface, classImplements

from perdure.capabilities import capabilities_of
from perdure.errors import ConflictError
from perdure.records import PersistentReference, resolve_conflict
from perdure.records import find_global as _find_global
from perdure.records.broken import BrokenClass
from ZODB._compat import PersistentPickler, PersistentUnpickler
from ZODB.loglevels import BLATHER

__all__ = [
    "BLATHER",
    "BadClass",
    "BadClassName",
    "BytesIO",
    "ConflictError",
    "ConflictResolvingStorage",
    "IPersistentReference",
    "PersistentPickler",
    "PersistentReference",
    "PersistentReferenceFactory",
    "PersistentUnpickler",
    "PicklingError",
    "find_global",
    "logger",
    "persistent_id",
    "state",
    "tryToResolveConflict",
]

logger = logging.getLogger("ZODB.ConflictResolution")


class IPersistentReference(Interface):
    """A reference as `_p_resolveConflict` sees it."""

    oid = Attribute("the oid that it leads to")
    database_name = Attribute("the database's name; None for the same one")
    weak = Attribute("whether it is weak")
    klass = Attribute("the class, or (module, name), or None")

    # zope reads the signature off a function without `self`.
    def __cmp__(other: Any) -> Any:
        """Equal references can be compared; others raise `ValueError`."""


classImplements(PersistentReference, IPersistentReference)


class BadClassName(Exception):
    """A class that a conflict needs cannot be imported."""


class BadClass:
    """Stands for a class that cannot be imported: (module, name), and not to be pickled."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> NoReturn:
        raise BadClassName(*self.args)


def find_global(*args: Any) -> Any:
    """Return the class named by (module, name), or a `BadClass` instead of it.

    Raises `BadClassName` for what is no pair of names: classes in databases, of long ago.
    """
    if [type(arg) for arg in args] != [str, str]:
        raise BadClassName(*args)
    found = _find_global(*args)
    return BadClass(*args) if isinstance(found, BrokenClass) else found


class PersistentReferenceFactory:
    """Makes the references in the states of one object, the same for the same reference."""

    data: dict[Any, PersistentReference] | None = None

    def persistent_load(self, ref: Any) -> PersistentReference:
        """Return what stands for a stored reference."""
        if self.data is None:
            self.data = {}
        key = tuple(ref) if isinstance(ref, list) else ref
        if key not in self.data:
            self.data[key] = PersistentReference(ref)
        return self.data[key]


def persistent_id(object: Any) -> Any:
    """Return what stands in a record for a `PersistentReference`; None for all else."""
    return object.data if type(object) is PersistentReference else None


def state(
    self: Any, oid: bytes, serial: bytes, prfactory: PersistentReferenceFactory, p: Any = ""
) -> Any:
    """Return the state in the record `p`, by default what `self`, a storage, has loaded."""
    record = self._crs_untransform_record_data(p or self.loadSerial(oid, serial))
    unpickler = PersistentUnpickler(find_global, prfactory.persistent_load, BytesIO(record))
    unpickler.load()
    return unpickler.load()


def tryToResolveConflict(
    self: Any,
    oid: bytes,
    committedSerial: bytes,
    oldSerial: bytes,
    newpickle: bytes,
    committedData: bytes = b"",
) -> bytes:
    """Return the record that merges two changes; `ConflictError` where there is none.

    `self` is a storage with `loadSerial`, and with what `registerDB` has set.
    """
    return resolve_conflict(
        self.loadSerial,
        oid,
        committedSerial,
        oldSerial,
        newpickle,
        committedData or None,
        find_global=self._crs_find_global,
        untransform=self._crs_untransform_record_data,
        transform=self._crs_transform_record_data,
    )


class ConflictResolvingStorage:
    """Resolves conflicts for the storage class that inherits it."""

    def _crs_transform_record_data(self, data: bytes) -> bytes:
        return data

    _crs_untransform_record_data = _crs_transform_record_data

    # How classes are found; a database's own way, once that is known.
    _crs_find_global: Any = staticmethod(_find_global)

    tryToResolveConflict = tryToResolveConflict

    def registerDB(self, wrapper: Any) -> None:
        """Use what `wrapper` says about its records and classes."""
        transform: Any = wrapper.transform_record_data
        untransform: Any = wrapper.untransform_record_data
        vars(self)["_crs_transform_record_data"] = transform
        vars(self)["_crs_untransform_record_data"] = untransform
        if capabilities_of(wrapper).class_finding:
            self._crs_find_global = wrapper.find_global
        pass_on = getattr(super(), "registerDB", None)
        if pass_on is not None:
            pass_on(wrapper)
