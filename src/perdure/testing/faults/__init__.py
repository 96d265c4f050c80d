"""Disks that crash and calls that fail, behind the seam of `perdure.fileops`.

Give a storage a `Recording` and let it work; `crash_states` then yields what
the disk may hold after a crash at each of its calls. A `Failing` makes one of
the calls fail. See docs/explanation/crashsafety.rst for the model.
"""

from perdure.testing.faults.crashes import CrashState, crash_states, states_at
from perdure.testing.faults.disk import SECTOR_SIZE
from perdure.testing.faults.failing import SHORT, Failing
from perdure.testing.faults.recording import Killed, Recording

__all__ = [
    "SECTOR_SIZE",
    "SHORT",
    "CrashState",
    "Failing",
    "Killed",
    "Recording",
    "crash_states",
    "states_at",
]
