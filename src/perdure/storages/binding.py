"""The last word on records: what a layer above makes of them once their tid is known."""

from typing import TypeVar

from perdure.interfaces import Bind
from perdure.storages.plan import Kept, Plan, Planned

__all__ = ["bound"]

Place = TypeVar("Place")


class _BoundWhenRead:
    """A record that is kept elsewhere, bound anew whenever it is read."""

    def __init__(self, bind: Bind, oid: bytes, tid: bytes, kept: Kept) -> None:
        self._bind = bind
        self._oid = oid
        self._tid = tid
        self._kept = kept
        self._size = len(self.read())

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        return self._bind(self._oid, self._tid, self._kept.read())


def bound(planned: Plan[Place], tid: bytes, bind: Bind) -> dict[bytes, Planned[Place]]:
    """Return what is planned, by oid, with each record as `bind` wants it written in `tid`."""
    return {
        oid: (None if data is None else _bound(data, oid, tid, bind), back, previous)
        for oid, (data, back, previous) in planned.items()
    }


def _bound(data: bytes | Kept, oid: bytes, tid: bytes, bind: Bind) -> bytes | Kept:
    if isinstance(data, bytes):
        return bind(oid, tid, data)
    return _BoundWhenRead(bind, oid, tid, data)
