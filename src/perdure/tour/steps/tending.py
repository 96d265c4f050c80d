"""The steps that an operator takes now and then."""

from collections.abc import Callable

import perdure

__all__ = ["pack"]


def pack(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Pack: drop old revisions, and objects that nothing refers to"""
    before = db.getSize()
    db.pack()
    say(f"{before:,} bytes before, {db.getSize():,} after")
    say(f"what can still be undone: {len(db.undoInfo())} transactions")
