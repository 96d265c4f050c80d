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
        self.wrapper: StorageWrapper | None = None

    def resolve(
        self, oid: bytes, committed: bytes, read: bytes, data: bytes, committed_data: bytes = b""
    ) -> bytes:
        """Return the merged record; `ConflictError` where there is none.

        `data` was made from revision `read`; b"" for `committed_data` means that
        it is to be loaded.
        """
        wrapper = self.wrapper
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
            find_global=_class_finder(wrapper),
            untransform=wrapper.untransform_record_data,
            transform=wrapper.transform_record_data,
        )


def _class_finder(wrapper: Any) -> Callable[[str, str], Any]:
    """Return how `wrapper` finds classes; one that does not care has them imported."""
    if not capabilities_of(wrapper).class_finding:
        return find_global
    found: Callable[[str, str], Any] = wrapper.find_global
    return found
