"""Running a scenario, and looking at every disk that a crash in it may leave."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crash.expectation import expectation
from crash.scenarios import Scenario
from crash.script import Script
from crash.verdict import Violation, emptied, examine, fast_directory
from perdure.testing.faults import CrashState, Killed, Recording, crash_states

__all__ = ["SEED", "Place", "examine_all", "kills", "place_in", "run"]

SEED: Final = int(os.environ.get("PERDURE_CRASH_SEED", "1"))
"""What chooses among the disks where there are too many; set it to see others."""


class Place:
    """Directories, in memory where possible, in which to work and to crash."""

    def __init__(self, root: Path) -> None:
        self._work = root / "work"
        self._crashed = root / "crashed"
        self._work.mkdir()
        self._crashed.mkdir()

    def recording(self, kind: Callable[[Path], Recording] = Recording) -> Recording:
        """Return a recording in an empty directory."""
        return kind(emptied(self._work))

    def after(self, state: CrashState) -> Path:
        """Return a directory that has what the crash left."""
        state.write_to(emptied(self._crashed))
        return self._crashed

    def again(self, state: CrashState) -> Recording:
        """Return a recording of what happens to what the crash left."""
        state.write_to(emptied(self._work))
        return Recording(self._work)


@contextmanager
def place_in(tmp_path: Path) -> Iterator[Place]:
    logging.disable(logging.CRITICAL)  # thousands of storages that say what they set aside
    report = threading.excepthook
    threading.excepthook = lambda death: death.exc_type is Killed or report(death)
    try:
        with fast_directory(tmp_path) as root:
            yield Place(root)
    finally:
        threading.excepthook = report
        logging.disable(logging.NOTSET)


def run(scenario: Scenario, recording: Recording) -> Script:
    """Return the script of a scenario, which may have been killed; no storage is left open."""
    script = Script(recording)
    try:
        scenario(script)
    except Killed:
        pass
    finally:
        script.drop()
    return script


def kills(scenario: Scenario, place: Place) -> Iterator[Script]:
    """Yield scripts of a scenario that is killed at its first call, at its second, and so on."""
    call = 0
    while True:
        call += 1
        recording = place.recording()
        recording.kill_at(call)
        script = run(scenario, recording)
        if not recording.dead:
            return
        recording.revive()
        yield script


def examine_all(place: Place, script: Script, name: str, limit: int, first: int = 0) -> int:
    """Look at the disks after crashes from call `first` on; return how many there are.

    Raises `Violation`, which names the disk.
    """
    count = 0
    for state in crash_states(script.recording, SEED, limit, first):
        count += 1
        expected = expectation((*script.earlier_marks, *state.marks))
        try:
            examine(place.after(state), expected, script.history, script.packs)
        except Violation as violation:
            raise Violation(f"{name}: {state}\n{violation}") from violation
    return count
