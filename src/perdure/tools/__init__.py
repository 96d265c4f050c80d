"""What one does to a database from outside; each tool is a function, and a command in `cli`."""

from perdure.tools.backup import BackedUp, BackedUpBlob, Manifest, Restored, back_up, restore
from perdure.tools.census import DAMAGED, ClassRoom, census
from perdure.tools.check import check, check_file
from perdure.tools.checked import Checked
from perdure.tools.copying import copy
from perdure.tools.filestate import FileState, file_state
from perdure.tools.findings import (
    DamagedTransaction,
    Finding,
    MissingBlob,
    MissingObject,
    OrphanBlob,
    TornEnd,
    UnfinishedEnd,
    UnreadableRecord,
    WrongChecksum,
    WrongIndex,
    WrongOrder,
    WrongPointer,
)
from perdure.tools.info import Info, describe
from perdure.tools.moment import Moment
from perdure.tools.packing import Packed, PackEstimate, estimate_pack, pack
from perdure.tools.progress import Progress
from perdure.tools.recover import Doubt, Recovered, recover
from perdure.tools.referrers import Referrer, referrers
from perdure.tools.revisions import (
    PastRevision,
    ShownRevision,
    difference,
    past_revisions,
    show,
)
from perdure.tools.subtrees import OWN, Subtree, Subtrees, subtrees
from perdure.tools.transactions import LoggedTransaction, transactions
from perdure.tools.undoing import undo
from perdure.tools.walking import Child, Place, children, find, steps

__all__ = [
    "DAMAGED",
    "OWN",
    "BackedUp",
    "BackedUpBlob",
    "Checked",
    "Child",
    "ClassRoom",
    "DamagedTransaction",
    "Doubt",
    "FileState",
    "Finding",
    "Info",
    "LoggedTransaction",
    "Manifest",
    "MissingBlob",
    "MissingObject",
    "Moment",
    "OrphanBlob",
    "PackEstimate",
    "Packed",
    "PastRevision",
    "Place",
    "Progress",
    "Recovered",
    "Referrer",
    "Restored",
    "ShownRevision",
    "Subtree",
    "Subtrees",
    "TornEnd",
    "UnfinishedEnd",
    "UnreadableRecord",
    "WrongChecksum",
    "WrongIndex",
    "WrongOrder",
    "WrongPointer",
    "back_up",
    "census",
    "check",
    "check_file",
    "children",
    "copy",
    "describe",
    "difference",
    "estimate_pack",
    "file_state",
    "find",
    "pack",
    "past_revisions",
    "recover",
    "referrers",
    "restore",
    "show",
    "steps",
    "subtrees",
    "transactions",
    "undo",
]
