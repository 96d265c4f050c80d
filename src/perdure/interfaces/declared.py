"""The contracts as zope interfaces: how a storage says what it can do.

Each interface is derived from a `Protocol`, so that the contract stands in one
place. It carries the name that ZODB gave it, module and all, which is how the two
know each other: zope takes interfaces of one name for equal, servers send them by
name, and `capabilities` reads declarations by name, whoever defined the interface.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from zope.interface import Interface, classImplements
from zope.interface.interface import Attribute, InterfaceClass, fromFunction

from perdure.interfaces import storage, values

__all__ = ["INTERFACES", "declares"]

_NAMES: dict[type, str] = {
    storage.StorageWrapper: "IStorageWrapper",
    storage.ClassFinder: "IClassFinder",
    storage.Storage: "IStorage",
    values.HasMetaData: "IStorageTransactionMetaData",
    storage.StoredTransaction: "IStorageTransactionInformation",
    storage.IterableStorage: "IStorageIteration",
    storage.UndoableStorage: "IStorageUndoable",
    storage.RestoreableStorage: "IStorageRestoreable",
    storage.RecordIterableStorage: "IStorageCurrentRecordIteration",
    storage.ExternalGCStorage: "IExternalGC",
    storage.ReadVerifyingStorage: "ReadVerifyingStorage",
    storage.MVCCStorage: "IMVCCStorage",
    storage.MeasuredStorage: "IMeasuredStorage",
    storage.BindingStorage: "IBindingStorage",
    storage.BatchStorage: "IBatchStorage",
    storage.RecordCheckingStorage: "IRecordCheckingStorage",
    storage.PrefetchStorage: "IPrefetchStorage",
    storage.BlobStorage: "IBlobStorage",
    storage.BlobRestoreableStorage: "IBlobStorageRestoreable",
    storage.SealedBlobStorage: "ISealedBlobStorage",
}

_OUR_OWN = {
    storage.ClassFinder,
    storage.MeasuredStorage,
    storage.BindingStorage,
    storage.BatchStorage,
    storage.RecordCheckingStorage,
    storage.SealedBlobStorage,
}

_SPECIAL = {"__iter__", "__len__"}

_Class = TypeVar("_Class", bound=type)


def _derive(protocol: type, known: dict[type, InterfaceClass]) -> InterfaceClass:
    members: dict[str, Any] = {}
    for name, value in vars(protocol).items():
        if inspect.isfunction(value) and (name in _SPECIAL or name[0] != "_"):
            members[name] = fromFunction(value, name=name, imlevel=1)
        elif isinstance(value, property):
            members[name] = Attribute(value.__doc__ or "")
    for name in vars(protocol).get("__annotations__", {}):
        members[name] = Attribute("")
    bases = tuple(known[base] for base in protocol.__bases__ if base in known) or (Interface,)
    module = __name__ if protocol in _OUR_OWN else "ZODB.interfaces"
    return InterfaceClass(
        _NAMES[protocol], bases, members, __doc__=protocol.__doc__, __module__=module
    )


def _derive_all() -> dict[type, InterfaceClass]:
    known: dict[type, InterfaceClass] = {}
    for protocol in _NAMES:  # bases stand before what extends them
        known[protocol] = _derive(protocol, known)
    return known


INTERFACES: dict[type, InterfaceClass] = _derive_all()
"""The zope interface of each contract, by its Protocol."""

# By their names too, so that they can be imported without ZODB's names.
globals().update({interface.__name__: interface for interface in INTERFACES.values()})


def declares(*protocols: type) -> Callable[[_Class], _Class]:
    """Return a class decorator that declares these contracts for every instance."""

    def decorate(cls: _Class) -> _Class:
        classImplements(cls, *(INTERFACES[protocol] for protocol in protocols))
        return cls

    return decorate
