"""What storages do when the crashes come: small files, so that there can be many crashes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from crash.script import Script, oid
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file.format import (
    NUMBER,
    RECORD_HEADER,
    STATUS_OFFSET,
    TRANSACTION_HEADER,
    extension_field_size,
)
from perdure.storages.memory import MappingStorage
from perdure.testing.faults import SECTOR_SIZE

__all__ = ["GROUPED", "SCENARIOS", "Scenario"]

Scenario = Callable[[Script], None]

_LARGE: Final = 1300
"""Bytes of a record that takes more than two sectors."""


def commits(script: Script) -> None:
    """One after the other: small, large, empty, deleting, aborted."""
    script.open()
    script.commit({oid(0): b"root", oid(1): b"one"})
    script.commit({oid(1): b"x" * _LARGE, oid(2): b"two"})
    script.commit({})
    script.abort({oid(1): b"never"})
    script.commit({oid(1): b"again"})
    script.commit({oid(2): None})
    script.close()


def aborts(script: Script) -> None:
    """What is written over the place of something that was aborted, longer or shorter."""
    script.open()
    script.commit({oid(0): b"root"})
    for number, head in enumerate((23, 40, 58, 200, 600), 1):
        # The first sector's end comes `head` bytes after the transaction's beginning.
        script.commit({oid(9): b"x"}, note=_note_before(script, head))
        script.abort({oid(number): b"a" * _LARGE, oid(9): b"a"})
        script.commit({oid(number): b"b" * _LARGE, oid(9): b"bb"})
    script.abort({oid(3): b"f"}, note="n" * 700)
    script.commit({oid(3): b"g"}, note="m" * 690)
    script.drop()


def _note_before(script: Script, head: int) -> str:
    """Return a description of a transaction, after which `head` bytes are left of a sector."""
    small = TRANSACTION_HEADER.size + extension_field_size(b"") + len("9 ")
    small += RECORD_HEADER.size + len(b"x") + NUMBER.size
    return "n" * (-(script.size + small + head) % SECTOR_SIZE)


def long_notes(script: Script) -> None:
    """Descriptions that put a transaction's header and its trailer into different sectors."""
    script.open()
    for number, (sectors, behind) in enumerate(_NOTES):
        script.commit({oid(number): b"x" * 40}, note=_note(script, sectors, behind))
    script.commit({oid(1): b"x" * _LARGE}, note="n" * 1500)
    script.drop()


_NOTES: Final = ((2, 0), (2, 10), (3, 30), (3, 60))


def _note(script: Script, sectors: int, behind: int) -> str:
    """Return a description after which the first record begins `behind` a sector's start.

    That is some `sectors` after the one in which the transaction begins.
    """
    begins = script.size
    wanted = (begins // SECTOR_SIZE + sectors) * SECTOR_SIZE + behind
    fixed = TRANSACTION_HEADER.size + extension_field_size(b"") + len("9 ")
    return "n" * (wanted - begins - fixed)


def extensions(script: Script) -> None:
    """Metadata that take sectors of their own, up to where no trailer fits any more."""
    script.open()
    script.commit({oid(1): b"one"}, extension={"who": "x" * 900})
    script.commit({oid(1): b"two", oid(2): b"y" * _LARGE}, extension={"who": "z" * 65_500})
    script.commit({oid(1): b"three"})
    script.drop()


def groups(script: Script) -> None:
    """Threads that share syncs."""
    script.open()
    script.commit({oid(0): b"root"})
    script.group({oid(1): b"a"}, {oid(2): b"b" * 300}, {oid(3): b"c" * _LARGE})
    script.group({oid(1): b"d" * 700}, {oid(2): b"e"}, {oid(4): b"f"}, {oid(5): b"g" * 900})
    script.drop()


def noted_groups(script: Script) -> None:
    """Threads that share syncs, and whose transactions have their records in another sector."""
    script.open()
    script.group({oid(1): b"a"}, {oid(2): b"b"}, {oid(3): b"c"}, note="n" * 400)
    script.group({oid(3): b"d"}, {oid(4): b"e"}, {oid(5): b"f"}, note="n" * 440)
    script.drop()


def undo(script: Script) -> None:
    """Undoing, and undoing that."""
    script.open()
    script.commit({oid(0): b"root", oid(1): b"one"})
    script.commit({oid(1): b"two" * 200, oid(2): b"new"})
    script.undo(1)
    script.undo(2)
    script.undo(3)
    script.commit({oid(1): b"after"})
    script.close()


def pack(script: Script) -> None:
    """Packing with the old file kept, and again, with commits in between."""
    _pack(script, keep_old=True)


def pack_without_old(script: Script) -> None:
    """Packing without keeping the old file."""
    _pack(script, keep_old=False)


def _pack(script: Script, keep_old: bool) -> None:
    script.open(pack_keep_old=keep_old)
    # Data of its own: the disks of the two are to be different ones.
    data = b"one" if keep_old else b"yes"
    script.commit({oid(0): b"root", oid(1): data * 100, oid(2): b"two"})
    script.commit({oid(1): b"more" * 30})
    script.commit({oid(2): None})
    script.commit({oid(1): b"kept"})
    script.pack(2, gc=False)
    script.commit({oid(3): b"three"})
    script.undo(4)
    script.pack(5, gc=True)
    script.commit({oid(1): b"last"})
    script.close()


def index(script: Script) -> None:
    """The index is saved at closing, and there at opening."""
    for number in range(3):
        script.open()
        script.commit({oid(number): b"x" * 50, oid(7): b"%d" % number})
        script.close()
    script.open()
    script.commit({oid(7): b"left without an index"})
    script.drop()
    script.open()
    script.commit({oid(8): b"and on"})
    script.close()


def pack_while_committing(script: Script) -> None:
    """Packing while others commit what then has to follow into the new file."""
    script.open()
    script.commit({oid(0): b"root", oid(1): b"one" * 100, oid(2): b"two"})
    script.commit({oid(1): b"more" * 30, oid(3): b"x" * 400})

    def meanwhile() -> None:
        script.commit({oid(1): b"meanwhile", oid(4): b"new" * 100})
        script.undo(2)
        script.abort({oid(5): b"never"})

    def swapped() -> None:
        script.commit({oid(2): b"after"})

    script.pack(1, gc=False, meanwhile=meanwhile, swapped=swapped)
    script.commit({oid(6): b"at the end"})
    script.drop()


def checkpoints(script: Script) -> None:
    """The index is saved while commits go on, of a file that then is packed."""
    script.checkpoint_after(lambda: script.open(checkpoint_bytes=1))
    script.checkpoint_after(lambda: script.commit({oid(0): b"root", oid(1): b"one" * 100}))

    def two() -> None:
        script.commit({oid(1): b"two" * 50})
        script.commit({oid(2): b"three"})

    script.checkpoint_after(two)
    script.checkpoint_after(lambda: script.abort({oid(2): b"never"}))
    script.checkpoint_after(lambda: script.pack(1))
    script.checkpoint_after(two)
    script.drop()
    script.checkpoint_after(lambda: script.open(checkpoint_bytes=1))
    script.checkpoint_after(two)
    script.drop()


def restoring(script: Script) -> None:
    """Taking over another storage's transactions, with their tids and back pointers."""
    source = MappingStorage()
    serial = ZERO
    for number, data in enumerate((b"one" * 100, b"two", b"three", None), 1):
        metadata = TransactionMetaData(description=f"{number}")
        source.tpc_begin(metadata, p64(number << 32))
        if data is None:
            source.undo(serial, metadata)
        else:
            source.store(oid(1), serial, data, "", metadata)
        source.tpc_vote(metadata)
        serial = source.tpc_finish(metadata)
    script.open()
    script.copy(source)
    script.close()


def beginning_anew(script: Script) -> None:
    """A new database in the place of an old one, and of its index."""
    script.open()
    script.commit({oid(1): b"old" * 100})
    script.close()
    script.open(create=True)
    script.commit({oid(1): b"new"})
    script.commit({oid(2): b"newer" * 30})
    script.close()


def reserves(script: Script) -> None:
    """Small reserves, which are used up, up to a few bytes and exactly, and overrun."""
    script.reserve_bytes = 4096
    script.open()
    script.commit({oid(0): b"root"})
    for number, left_bytes in enumerate((17, 0), 1):
        _leave(script, left_bytes)
        script.commit({oid(number): b"y"})
    script.close()


def _leave(script: Script, left_bytes: int) -> None:
    """Commit what leaves so many bytes of a reserve."""
    fixed = TRANSACTION_HEADER.size + extension_field_size(b"") + len("19 ")
    fixed += RECORD_HEADER.size + NUMBER.size
    # Where it is overwritten next, a reserve has its header, and zeros up to the file's end.
    content = script.path.read_bytes() if script.size else b""
    begins = max(len(content.rstrip(b"\0")) - STATUS_OFFSET - 1, 0)
    script.commit({oid(9): b"l" * max(len(content) - left_bytes - begins - fixed, 0)})


def groups_of_reserves(script: Script) -> None:
    """Threads that share syncs, and overwrite a reserve meanwhile, up to its end and on."""
    script.reserve_bytes = 4096
    script.open()
    script.commit({oid(0): b"root"})
    script.group({oid(1): b"a"}, {oid(2): b"b" * 300}, {oid(3): b"c" * _LARGE})
    script.group({oid(1): b"d" * 700}, {oid(2): b"e"}, {oid(4): b"f" * _LARGE}, {oid(5): b"g"})
    script.group({oid(1): b"h"}, {oid(2): b"i"})
    script.drop()


def _without_reserve(scenario: Scenario) -> Scenario:
    def run(script: Script) -> None:
        script.reserve_bytes = 0
        scenario(script)

    run.__name__ = f"{scenario.__name__}_without_reserve"
    return run


SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        scenario.__name__: scenario
        for scenario in (
            commits,
            _without_reserve(commits),
            _without_reserve(groups),
            _without_reserve(aborts),
            reserves,
            groups_of_reserves,
            aborts,
            long_notes,
            extensions,
            groups,
            noted_groups,
            undo,
            pack,
            pack_without_old,
            pack_while_committing,
            checkpoints,
            index,
            restoring,
            beginning_anew,
        )
    }
)
GROUPED: Final = frozenset(
    ("groups", "groups_without_reserve", "groups_of_reserves", "noted_groups")
)
"""Those that need several threads."""
