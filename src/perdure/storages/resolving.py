"""Resolving the conflicts of a storage, whose wrapper may transform records."""

from collections.abc import Callable
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.interfaces import StorageWrapper
from perdure.records import find_global
from perdure.records.conflict import resolve_conflict

__all__ = ["Resolver"]


class Resolver:
    """Merges two changes of one record, through the class of the object.

    `load_serial` returns a record by oid and tid, as it is stored; it must also
    find those that are committed and not visible yet.
    """

    def __init__(self, load_serial: Callable[[bytes, bytes], bytes]) -> None:
        self._load_serial = load_serial
        self._wrapper: StorageWrapper | None = None
        self._finds_classes = False

    @property
    def wrapper(self) -> StorageWrapper | None:
        """What records are transformed by, and where their classes are found; None: nothing."""
        return self._wrapper

    @wrapper.setter
    def wrapper(self, wrapper: StorageWrapper | None) -> None:
        # Looked up once: that takes as long as a third of a resolution.
        self._finds_classes = wrapper is not None and capabilities_of(wrapper).class_finding
        self._wrapper = wrapper

    def resolve(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        """Return the merged record; `ConflictError` where there is none.

        `data` was made from revision `read`; b"" for `committed_data` means that
        it is to be loaded.
        """
        wrapper = self._wrapper
        if wrapper is None:
            return resolve_conflict(
                self._load_serial, oid, committed, read, data, committed_data or None
            )
        return resolve_conflict(
            self._load_serial,
            oid,
            committed,
            read,
            data,
            committed_data or None,
            find_global=self._class_finder(wrapper),
            untransform=wrapper.untransform_record_data,
            transform=wrapper.transform_record_data,
        )

    def _class_finder(self, wrapper: Any) -> Callable[[str, str], Any]:
        """Return how `wrapper` finds classes; one that does not care has them imported."""
        if not self._finds_classes:
            return find_global
        found: Callable[[str, str], Any] = wrapper.find_global
        return found
