"""The steps that an operator takes now and then."""

from collections.abc import Callable

import perdure
from perdure.tools.check import check_file

__all__ = ["examine", "pack"]


def pack(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Pack: drop old revisions, and objects that nothing refers to"""
    before = db.getSize()
    db.pack()
    say(f"{before:,} bytes before, {db.getSize():,} after")
    say(f"what can still be undone: {len(db.undoInfo())} transactions")


def examine(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Check the file: structure, checksums, and where references lead"""
    checked = check_file(db.getName())
    say(f"{checked.transactions:,} transactions with {checked.records:,} records")
    for room in checked.classes[:3]:
        say(f"{room.count:,} of {room.class_name}, {room.size_bytes:,} bytes")
    say("it is sound" if checked.sound else f"wrong: {checked.findings}")
