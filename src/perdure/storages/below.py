"""What layers have in common: what they arrange with the storage below, and the newest record."""

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from zope.interface import alsoProvides

from perdure.capabilities import Capabilities, capabilities_of
from perdure.errors import POSKeyError
from perdure.ids import MAX_TID
from perdure.interfaces import (
    INTERFACES,
    BatchStorage,
    BindingStorage,
    BlobRestoreableStorage,
    BlobStorage,
    ExternalGCStorage,
    IterableStorage,
    Loaded,
    MeasuredStorage,
    MVCCStorage,
    PrefetchStorage,
    ReadVerifyingStorage,
    RecordIterableStorage,
    References,
    RestoreableStorage,
    SealedBlobStorage,
    UndoableStorage,
)

__all__ = ["current", "declare_as", "have_conflicts_resolved", "pack_below", "sync_of"]

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


def current(layer: Any, oid: bytes) -> Loaded:
    """Return the newest record that `layer` shows; `POSKeyError` if there is none."""
    revision = layer.loadBefore(oid, MAX_TID)
    if revision is None:
        raise POSKeyError(oid)
    return Loaded(revision[0], revision[1])


def pack_below(
    storage: Any,
    pack_time: float,
    references: References,
    gc: bool | None,
    progress: Callable[[int, int], object] | None,
) -> None:
    """Pack `storage`, which gets of the options those that are given: not all know them."""
    options: dict[str, Any] = {}
    if gc is not None:
        options["gc"] = gc
    if progress is not None:
        options["progress"] = progress
    storage.pack(pack_time, references, **options)


def sync_of(storage: Any) -> Callable[[], object] | None:
    """Return what has `storage` catch up with its server, None if it has none.

    None, too, for one with snapshots of its own: those catch up, each by itself.
    """
    if capabilities_of(storage).mvcc:
        return None
    # Not part of the contract, but storages that talk to a server have it.
    sync: Callable[[], object] | None = getattr(storage, "sync", None)
    return sync
