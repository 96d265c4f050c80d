"""Resolving the conflicts of a storage, whose wrapper may transform records."""

from collections.abc import Callable
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.interfaces import StorageWrapper
from perdure.records import find_global
from perdure.records.conflict import RecordMerger

__all__ = ["Resolver"]


class Resolver:
    """Merges two changes of one record, through the class of the object.

    `load_serial` returns a record by oid and tid, as it is stored; it must also
    find those that are committed and not visible yet.
    """

    def __init__(self, load_serial: Callable[[bytes, bytes], bytes]) -> None:
        self._load_serial = load_serial
        self._wrapper: StorageWrapper | None = None
        self._merger = RecordMerger()

    @property
    def wrapper(self) -> StorageWrapper | None:
        """What records are transformed by, and where their classes are found; None: nothing."""
        return self._wrapper

    @wrapper.setter
    def wrapper(self, wrapper: StorageWrapper | None) -> None:
        self._wrapper = wrapper
        self._merger = RecordMerger() if wrapper is None else _merger_for(wrapper)

    def resolve(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        """Return the merged record; `ConflictError` where there is none.

        `data` was made from revision `read`; b"" for `committed_data` means that
        it is to be loaded.
        """
        return self._merger.resolve(
            self._load_serial, oid, committed, read, data, committed_data or None
        )


def _merger_for(wrapper: Any) -> RecordMerger:
    finds_classes = capabilities_of(wrapper).class_finding
    return RecordMerger(
        # One that does not care has them imported.
        wrapper.find_global if finds_classes else find_global,
        wrapper.untransform_record_data,
        wrapper.transform_record_data,
    )
