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
from crash.verdict import Found, Violation, emptied, examine, fast_directory, look
from perdure.testing.faults import CrashState, Killed, Recording, crash_states

__all__ = ["SEED", "Place", "examine_all", "kills", "place_in", "quiet", "run"]

SEED: Final = int(os.environ.get("PERDURE_CRASH_SEED", "1"))
"""What chooses among the disks where there are too many; set it to see others."""


class Place:
    """Directories, in memory where possible, in which to work and to crash."""

    def __init__(self, root: Path) -> None:
        self._work = root / "work"
        self._crashed = root / "crashed"
        self._found: dict[object, Found] = {}
        self._work.mkdir()
        self._crashed.mkdir()

    def recording(self, kind: Callable[[Path], Recording] = Recording) -> Recording:
        """Return a recording in an empty directory."""
        return kind(emptied(self._work))

    @property
    def disks(self) -> int:
        """How many different disks were looked at."""
        return len(self._found)

    def look(self, state: CrashState) -> Found:
        """Return what is found on a disk; what a disk shows does not depend on the expectation."""
        contents = state.contents
        key = tuple(sorted(contents.files.items())), contents.directories
        if key not in self._found:
            state.write_to(emptied(self._crashed))
            self._found[key] = look(self._crashed)
        return self._found[key]

    def again(self, state: CrashState) -> Recording:
        """Return a recording of what happens to what the crash left."""
        state.write_to(emptied(self._work))
        return Recording(self._work)


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be heard of what storages set aside, nor of threads that die with them."""
    logging.disable(logging.CRITICAL)
    report = threading.excepthook
    threading.excepthook = lambda death: death.exc_type is Killed or report(death)
    try:
        yield
    finally:
        threading.excepthook = report
        logging.disable(logging.NOTSET)


@contextmanager
def place_in(tmp_path: Path) -> Iterator[Place]:
    with quiet(), fast_directory(tmp_path) as root:
        yield Place(root)


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


def examine_all(place: Place, script: Script, name: str, limit: int, first: int = 0) -> None:
    """Look at the disks after crashes from call `first` on.

    Raises `Violation`, which names the disk.
    """
    for state in crash_states(script.recording, SEED, limit, first):
        expected = expectation((*script.earlier_marks, *state.marks))
        try:
            examine(place.look(state), expected, script.history, script.packs)
        except Violation as violation:
            raise Violation(f"{name}: {state}\n{violation}") from violation
