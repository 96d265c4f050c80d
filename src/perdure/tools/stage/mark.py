"""The mark in staged changes: the moment of which database they stand on, what became of them.

It is a record among the changes, of an object that nobody refers to, so that it
goes where they go: moved, copied, packed, encrypted. Its oid lies below all that
a demo storage hands out, and above all that other storages get to.
"""

import pickle
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from persistent.mapping import PersistentMapping

from perdure.capabilities import capabilities_of
from perdure.clock import next_tid
from perdure.errors import POSKeyError, StagingError, StateLoadError
from perdure.ids import MAX_TID, ROOT_OID, ZERO, before, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import plain_record

__all__ = ["FIRST_NEW_OID", "MARK_OID", "Mark", "holds_mark", "read_mark", "write_mark"]

FIRST_NEW_OID: Final = p64(1 << 62)
"""Where the oids of objects begin that were made on a stage: those of a demo storage."""

MARK_OID: Final = p64((1 << 62) - 1)

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What staged changes stand on.

    The snapshot is the database as it was just before the tid `before`; `last`
    is the newest transaction in it, and `landmarks` are some of its transactions,
    by which the database is known. `address` is where it was, "" if that was not
    said, `database` what its storage called itself. `applied` is the transaction
    as which the changes were applied to `applied_to`, or None. `id` is a name
    that no other stage has.
    """

    before: bytes
    last: bytes
    landmarks: tuple[bytes, ...]
    database: str
    address: str = ""
    applied: bytes | None = None
    applied_to: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(16))


def holds_mark(changes: Any) -> bool:
    """Return whether there is a mark in the storage `changes`."""
    return _loaded(changes) is not None


def read_mark(changes: Any) -> Mark:
    """Return the mark in the storage `changes`; `StagingError` if they have none."""
    found = _loaded(changes)
    if found is None:
        reason = "it holds no staged changes; expected the file that a stage was given for them"
        raise StagingError(changes.getName(), reason)
    return found[0]


def write_mark(changes: Any, mark: Mark, note: str, root: bytes | None = None) -> None:
    """Put `mark` into the storage `changes`, in a transaction of its own.

    With it goes the record of the `root` as the snapshot has it. Whoever opens the
    changes by themselves would make a new one, and a stage would then replace the
    root by it.
    """
    found = _loaded(changes)
    serial = ZERO if found is None else found[1]
    metadata = TransactionMetaData(description=note)
    if found is None and capabilities_of(changes).restore:
        # All changes have to be later than the base, whatever the clock says.
        changes.tpc_begin(metadata, next_tid(before(mark.before)))
    else:
        changes.tpc_begin(metadata)
    try:
        if root is not None:
            changes.store(ROOT_OID, ZERO, root, "", metadata)
        changes.store(MARK_OID, serial, _packed(mark), "", metadata)
        changes.tpc_vote(metadata)
        changes.tpc_finish(metadata)
    except BaseException:
        changes.tpc_abort(metadata)
        raise


def _loaded(changes: Any) -> tuple[Mark, bytes] | None:
    try:
        revision = changes.loadBefore(MARK_OID, MAX_TID)
    except POSKeyError:
        return None
    if revision is None:
        return None
    try:
        facts = plain_record(revision[0])["state"]["data"]
        return _unpacked(facts), revision[1]
    except (StateLoadError, KeyError, TypeError, ValueError) as error:
        reason = f"the record that says what it was staged over cannot be read ({error!r})"
        raise StagingError(changes.getName(), reason) from error


def _packed(mark: Mark) -> bytes:
    facts = {
        "format": _FORMAT,
        "id": mark.id,
        "before": mark.before.hex(),
        "last": mark.last.hex(),
        "landmarks": [tid.hex() for tid in mark.landmarks],
        "database": mark.database,
        "address": mark.address,
        "applied": "" if mark.applied is None else mark.applied.hex(),
        "applied_to": mark.applied_to,
    }
    return pickle.dumps(PersistentMapping, 3) + pickle.dumps({"data": facts}, 3)


def _unpacked(facts: dict[str, Any]) -> Mark:
    if facts["format"] != _FORMAT:
        raise ValueError(f"format {facts['format']}, expected {_FORMAT}")
    return Mark(
        before=bytes.fromhex(facts["before"]),
        last=bytes.fromhex(facts["last"]),
        landmarks=tuple(map(bytes.fromhex, facts["landmarks"])),
        database=facts["database"],
        address=facts["address"],
        applied=bytes.fromhex(facts["applied"]) or None,
        applied_to=facts["applied_to"],
        id=facts["id"],
    )
