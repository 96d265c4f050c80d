"""`ZODB.scripts.referrers`: who refers to whom; see `perdure refs`."""

from typing import Any

from ZODB.serialize import referencesf

__all__ = ["referencesf", "referrers"]


def referrers(storage: Any) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Return, for each oid that is referred to, (referrer, tid) of every record that does."""
    found: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for transaction in storage.iterator():
        for record in transaction:
            for oid in referencesf(record.data) if record.data else ():
                found.setdefault(oid, []).append((record.oid, record.tid))
    return found
