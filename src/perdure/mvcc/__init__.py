"""How one storage serves many snapshots: each connection reads one consistent moment."""

from perdure.mvcc.historical import HistoricalSnapshot
from perdure.mvcc.invalidations import Announcement, Journal, JournalReader
from perdure.mvcc.native import NativeSnapshot, NativeSnapshots
from perdure.mvcc.snapshot import Snapshot, Snapshots
from perdure.mvcc.undoing import UndoSnapshot

__all__ = [
    "Announcement",
    "HistoricalSnapshot",
    "Journal",
    "JournalReader",
    "NativeSnapshot",
    "NativeSnapshots",
    "Snapshot",
    "Snapshots",
    "UndoSnapshot",
]
