"""`ZODB.mvccadapter`: the past of a storage, for storages that hand it out themselves.

How a database makes snapshots of a plain storage is `perdure.mvcc`.
"""

from typing import Any

from perdure.ids import p64, u64
from perdure.mvcc.historical import HistoricalSnapshot
from ZODB.utils import oid_repr, tid_repr

__all__ = ["HistoricalStorageAdapter", "oid_repr", "p64", "tid_repr", "u64"]


class HistoricalStorageAdapter(HistoricalSnapshot):
    """A storage as it was before the tid `before`; it is released with this."""

    def __init__(self, storage: Any, before: bytes | None = None) -> None:
        if before is None:
            raise TypeError("the moment that is to be shown is missing: `before`, a tid")
        super().__init__(storage, before, getattr(storage, "release", None))

    def supportsUndo(self) -> bool:
        """Return False: the past does not change."""
        return False

    def pack(self, *a: Any, **kw: Any) -> None:
        """Refuse, with `ReadOnlyHistoryError`."""
        self._refuse()
