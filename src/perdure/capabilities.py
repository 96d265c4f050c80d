"""What one storage can do, read once from what it declares.

A storage says what it can do by declaring interfaces, on its class or on the
instance. They are recognised by name, so that a declaration of ZODB's interface
counts as one of ours. Methods do not count: a file storage without a blob
directory has `storeBlob`, and cannot store blobs.
"""

from dataclasses import dataclass

from zope.interface import providedBy

__all__ = ["Capabilities", "capabilities_of"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which of the contracts in `perdure.interfaces` a storage, or a wrapper, keeps."""

    undo: bool
    iteration: bool
    record_iteration: bool
    restore: bool
    read_verification: bool
    external_gc: bool
    mvcc: bool
    prefetch: bool
    mvcc_prefetch: bool
    after_completion: bool
    multi_commit: bool
    blobs: bool
    blob_restore: bool
    class_finding: bool
    counting: bool
    binding: bool
    batches: bool
    record_checking: bool
    sealed_blobs: bool


def capabilities_of(storage: object) -> Capabilities:
    """Return what `storage` declares, through its class and on itself."""
    names = {interface.__name__ for interface in providedBy(storage).flattened()}
    return Capabilities(
        undo="IStorageUndoable" in names,
        iteration="IStorageIteration" in names,
        record_iteration="IStorageCurrentRecordIteration" in names,
        restore="IStorageRestoreable" in names,
        read_verification="ReadVerifyingStorage" in names,
        external_gc="IExternalGC" in names,
        mvcc="IMVCCStorage" in names,
        prefetch="IPrefetchStorage" in names,
        mvcc_prefetch="IMVCCPrefetchStorage" in names,
        after_completion="IMVCCAfterCompletionStorage" in names,
        multi_commit="IMultiCommitStorage" in names,
        blobs="IBlobStorage" in names,
        blob_restore="IBlobStorageRestoreable" in names,
        class_finding="IClassFinder" in names,
        counting="IMeasuredStorage" in names and _defines(storage, "counters"),
        binding="IBindingStorage" in names and _defines(storage, "bind_records"),
        batches="IBatchStorage" in names and _defines(storage, "store_all"),
        record_checking="IRecordCheckingStorage" in names and _defines(storage, "check_record"),
        sealed_blobs="ISealedBlobStorage" in names,
    )


def _defines(storage: object, method: str) -> bool:
    """Return whether the class itself has a method that ZODB's contract does not have.

    ZODB's wrappers copy the declarations of what they wrap, and pass on calls that they
    do not know: records that came that way would never be transformed.
    """
    return hasattr(type(storage), method)
