"""What a layer arranges with the storage below it: what it can do, and who resolves conflicts."""

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from zope.interface import alsoProvides

from perdure.capabilities import Capabilities
from perdure.interfaces import (
    INTERFACES,
    BatchStorage,
    BindingStorage,
    BlobRestoreableStorage,
    BlobStorage,
    ExternalGCStorage,
    IterableStorage,
    MeasuredStorage,
    MVCCStorage,
    PrefetchStorage,
    ReadVerifyingStorage,
    RecordIterableStorage,
    RestoreableStorage,
    SealedBlobStorage,
    UndoableStorage,
)

__all__ = ["declare_as", "have_conflicts_resolved"]

_PROTOCOLS: Final[dict[str, type]] = {
    "undo": UndoableStorage,
    "iteration": IterableStorage,
    "record_iteration": RecordIterableStorage,
    "restore": RestoreableStorage,
    "read_verification": ReadVerifyingStorage,
    "external_gc": ExternalGCStorage,
    "mvcc": MVCCStorage,
    "prefetch": PrefetchStorage,
    "blobs": BlobStorage,
    "blob_restore": BlobRestoreableStorage,
    "sealed_blobs": SealedBlobStorage,
    "counting": MeasuredStorage,
    "binding": BindingStorage,
    "batches": BatchStorage,
}


class _Resolving(Protocol):
    """A storage asks itself for the resolution of a conflict, by this name."""

    tryToResolveConflict: Callable[..., bytes]  # noqa: N815  the name that storages call


def declare_as(layer: object, capabilities: Capabilities) -> None:
    """Have `layer` declare what `capabilities` say, as far as a layer can do it."""
    has = [protocol for name, protocol in _PROTOCOLS.items() if getattr(capabilities, name)]
    alsoProvides(layer, *(INTERFACES[protocol] for protocol in has))


def have_conflicts_resolved(storage: Any, resolve: Callable[..., bytes]) -> None:
    """Have `storage` ask `resolve`, which takes the arguments of `tryToResolveConflict`."""
    cast(_Resolving, storage).tryToResolveConflict = resolve
