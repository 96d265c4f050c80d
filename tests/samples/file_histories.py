"""Data files with a past of every kind: changes, undos, deletions, blobs of text, a pack or two.

Everything follows from a seed but the times.
"""

from contextlib import suppress
from pathlib import Path
from random import Random

from perdure.errors import ConflictError, POSKeyError, UndoError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.records import references
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell, holder
from perdure.testing.contract.transactions import commit, serial_of, undo, undo_id, write

__all__ = ["damage", "make_history"]

_FAR = 3 << 16  # an oid on another page


def make_history(path: Path, seed: int, count: int = 25, packs: bool = True) -> None:
    """Make a data file of about `count` transactions, and leave its index beside it."""
    random = Random(seed)
    oids = [ZERO, *map(p64, range(1, 12)), *map(p64, range(_FAR, _FAR + 5))]
    storage = FileStorage(path, pack_keep_old=False)
    try:
        write(storage, {ZERO: holder(*random.sample(oids, 4))})
        for _ in range(count):
            _step(storage, random, oids, packs)
    finally:
        storage.close()


def _step(storage: FileStorage, random: Random, oids: list[bytes], packs: bool) -> None:
    match random.randrange(12):
        case 0 | 1:
            with suppress(UndoError, IndexError):  # it cannot be undone, or nothing is left
                undo(storage, undo_id(storage))
        case 2:
            oid = random.choice(oids[1:])
            with suppress(POSKeyError):
                serial = storage.load(oid)[1]
                commit(storage, lambda transaction: storage.deleteObject(oid, serial, transaction))
        case 3 if packs and random.random() < 0.3:
            storage.pack(4e9, references)
        case 4:
            write(storage, {}, metadata=TransactionMetaData("", "nothing"))
        case _:
            changed = random.sample(oids, random.randrange(1, 5))
            records = {oid: _record(random, oids) for oid in changed}
            note = "n" * random.choice((0, 3, 600))
            serials = {oid: serial_of(storage, oid) for oid in changed}
            metadata = TransactionMetaData("user", note, {"more": 1} if note else None)
            with suppress(ConflictError):  # with the deletion of one of them
                write(storage, records, serials, metadata)


def _record(random: Random, oids: list[bytes]) -> bytes:
    if random.random() < 0.5:
        return holder(*random.sample(oids, random.randrange(4)))
    return cell("x" * random.choice((0, 10, 2000)))


def damage(random: Random, data: bytes) -> bytes:
    """Return the bytes of a data file with some damage; its magic stays."""
    bytes_ = bytearray(data)
    at = random.randrange(4, len(bytes_))
    match random.randrange(6):
        case 0 | 1:
            bytes_[at] ^= 1 << random.randrange(8)
        case 2:
            bytes_[at] = random.randrange(256)
        case 3:
            del bytes_[at:]
        case 4:
            end = min(at + random.randrange(1, 600), len(bytes_))
            bytes_[at:end] = bytes(end - at)
        case 5:
            del bytes_[at : at + random.randrange(1, 60)]
    return bytes(bytes_)
