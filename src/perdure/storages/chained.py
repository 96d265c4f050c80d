"""What a transforming layer is to the storage below it: its wrapper, and a link of a chain.

    database  <-  compressing layer  <-  encrypting layer  <-  file

Each storage asks the wrapper above it about records, which are then as that
storage has them. A link turns them back one step and asks the next one up.
"""

from collections.abc import Iterable
from typing import Any

from perdure.capabilities import capabilities_of
from perdure.interfaces import Bind, ClassFinder, References, StorageWrapper, declares
from perdure.records import find_global, references
from perdure.records.transforms import RecordTransform

__all__ = ["Link", "references_turned_back"]


def references_turned_back(transform: RecordTransform, referencesf: References) -> References:
    """Return what finds the references in transformed records, by `referencesf` in the others."""

    def references_of(stored: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        found = referencesf(transform.untransform(None, None, stored))
        if oids is None:
            return found
        oids.extend(found)
        return oids

    return references_of


@declares(StorageWrapper, ClassFinder)
class Link:
    """Stands between the storage that has transformed records and `above`, which has not.

    Until somebody is `above`, records are references and nothing else. `bind_above` has
    the last word on plain records, where somebody up there wants it.
    """

    def __init__(self, transform: RecordTransform) -> None:
        self._transform = transform
        self.above: Any = None  # a StorageWrapper
        self.bind_above: Bind | None = None

    def invalidateCache(self) -> None:
        if self.above is not None:
            self.above.invalidateCache()

    def invalidate(self, transaction_id: bytes, oids: Iterable[bytes]) -> None:
        if self.above is not None:
            self.above.invalidate(transaction_id, oids)

    def references(self, record: bytes, oids: list[bytes] | None = None) -> list[bytes]:
        data = self._transform.untransform(None, None, record)
        found = references if self.above is None else self.above.references
        referred: list[bytes] = found(data, oids)
        return referred

    def transform_record_data(self, data: bytes) -> bytes:
        if self.above is not None:
            data = self.above.transform_record_data(data)
        return self._transform.transform(None, data)

    def untransform_record_data(self, data: bytes) -> bytes:
        data = self._transform.untransform(None, None, data)
        return data if self.above is None else bytes(self.above.untransform_record_data(data))

    def find_global(self, module: str, name: str) -> Any:
        if self.above is not None and capabilities_of(self.above).class_finding:
            return self.above.find_global(module, name)
        return find_global(module, name)

    def bind(self, oid: bytes, tid: bytes, data: bytes) -> bytes:
        """Return the transformed record `data` as it is to be written in `tid`."""
        if self.bind_above is not None:
            plain = self._transform.untransform(oid, None, data)
            data = self._transform.transform(oid, self.bind_above(oid, tid, plain))
        return self._transform.bind(oid, tid, data)
