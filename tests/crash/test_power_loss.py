"""A crash at every call, with all that the disk may hold then: nothing acknowledged is lost.

Which disks there are, docs/explanation/crashsafety.rst says. Where they are too
many, PERDURE_CRASH_SEED chooses.
"""

import errno
import os
import re

import pytest

from crash.breakages import BREAKAGES
from crash.crashing import SEED, Place, examine_all, kills, run
from crash.scenarios import SCENARIOS
from crash.script import NAME, Script, oid
from crash.verdict import Violation
from perdure.errors import POSError
from perdure.testing.faults import CrashState, Recording, crash_states, states_at

DISKS = {
    "commits": 420,
    "commits_without_reserve": 420,
    "groups_without_reserve": 1_010,
    "reserves": 1_000,
    "groups_of_reserves": 1_000,
    "aborts": 1_250,
    "aborts_without_reserve": 1_250,
    "long_notes": 510,
    "extensions": 780,
    "groups": 450,
    "noted_groups": 330,
    "undo": 400,
    "pack": 820,
    "pack_without_old": 800,
    "pack_while_committing": 750,
    "checkpoints": 1_600,
    "index": 760,
    "restoring": 230,
    "beginning_anew": 390,
}
"""How many different disks are looked at, at least: there cannot be fewer unnoticed."""


def test_ten_thousand_different_disks_are_looked_at() -> None:
    assert DISKS.keys() == SCENARIOS.keys()
    assert sum(DISKS.values()) >= 10_000


@pytest.mark.parametrize("name", SCENARIOS)
def test_after_any_crash_all_that_was_acknowledged_is_there(name: str, place: Place) -> None:
    """After a power cut; after one that hits whoever went on after a kill, or a failed sync;
    and after one that hits whoever recovers from another."""
    for crash in CRASHES.values():
        crash(name, place)
    assert place.disks >= DISKS[name]


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_noticed(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakage = BREAKAGES[name]
    crash = CRASHES[breakage.crash]
    breakage.apply(monkeypatch)
    with pytest.raises(Violation, match=f"seed {SEED}, crash "):
        crash(breakage.scenario, place)


def crash_anywhere(name: str, place: Place) -> None:
    """The power is cut at any call."""
    examine_all(place, run(SCENARIOS[name], place.recording()), name, limit=1000)


def crash_after_kills(name: str, place: Place) -> None:
    """The process is killed at any call, another one goes on, and then comes the power cut."""
    for call, script in enumerate(kills(SCENARIOS[name], place), 1):
        go_on_and_crash(place, script, f"{name} killed at call {call}", limit=6)


def crash_after_failed_syncs(name: str, place: Place) -> None:
    """Any sync fails, somebody opens the file again and goes on, and then comes the power cut."""
    sync = 1
    while script := run_with_failing_sync(name, place.recording(), sync):
        go_on_and_crash(place, script, f"{name} after failed sync {sync}", limit=12)
        sync += 1


def crash_while_recovering(name: str, place: Place) -> None:
    """The power is cut at any call, and again when the file is opened after that."""
    script = run(SCENARIOS[name], place.recording())
    for state in crash_states(script.recording, SEED, limit=3):
        recover_and_crash(place, state, script, limit=4)


CRASHES = {
    "anywhere": crash_anywhere,
    "after kills": crash_after_kills,
    "after failed syncs": crash_after_failed_syncs,
    "while recovering": crash_while_recovering,
}


def run_with_failing_sync(name: str, recording: Recording, number: int) -> Script | None:
    """Return the script of a scenario whose sync of this number failed; None if it has fewer."""
    syncs = 0

    def before(call: str) -> None:
        nonlocal syncs
        syncs += call == "sync"
        if call == "sync" and syncs == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    recording.before = before
    script = Script(recording, tolerant=True)
    SCENARIOS[name](script)
    script.drop()
    recording.before = None
    return script if syncs >= number else None


def go_on_and_crash(place: Place, script: Script, name: str, limit: int) -> None:
    """Open again, commit and crash."""
    first = len(script.recording.log)
    try:
        script.open()
        script.commit({oid(50): b"x" * 100})
        script.commit({oid(51): b"y" * 100})
    except POSError as error:
        raise Violation(f"{name}: going on fails: {error}") from error
    finally:
        script.drop()
    examine_all(place, script, name, limit, first)


def recover_and_crash(place: Place, state: CrashState, script: Script, limit: int) -> None:
    """Open what a crash left, commit, and crash."""
    whole = state.contents.files.get(NAME, b"")
    again = Script(
        place.again(state),
        packs=script.packs,
        history=script.history,
        marks=state.marks,
        begun=script.begun,
    )
    first = len(again.recording.log)
    try:
        again.open()
        kept = again.size
        again.commit({oid(50): b"x" * 100})
    except POSError as error:
        raise Violation(f"{state}: going on fails: {error}") from error
    finally:
        again.drop()
    for second in crash_states(again.recording, SEED, limit, first):
        left = without_reserve(whole[kept:])
        if left and not any(each.startswith(left) for each in place.look(second).set_aside):
            raise Violation(f"{state}, then {second}: what stood behind the end is lost")
    examine_all(place, again, f"recovery of {state}", limit, first)


def without_reserve(tail: bytes) -> bytes:
    """Return what stands behind the end of a file, without the reserve at its end."""
    return re.sub(rb".{8}\0{8}c\Z", b"", tail.rstrip(b"\0"), flags=re.DOTALL)


def test_a_disk_is_found_again_by_what_it_prints(place: Place) -> None:
    recording = run(SCENARIOS["groups"], place.recording()).recording
    for state in crash_states(recording, SEED, limit=5):
        found = list(states_at(recording, state.seed, state.point, limit=5))[state.number]
        assert found == state
