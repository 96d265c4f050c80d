"""A crash at every call, with all that the disk may hold then: nothing acknowledged is lost.

Which disks there are, docs/explanation/crashsafety.rst says. Where they are too
many, PERDURE_CRASH_SEED chooses.
"""

import errno
import os

import pytest

from crash.breakages import BREAKAGES
from crash.crashing import SEED, Place, examine_all, kills, run
from crash.scenarios import SCENARIOS
from crash.script import NAME, Script, oid
from crash.verdict import Violation
from perdure.storages.file import FileStorage
from perdure.testing.faults import CrashState, Recording, crash_states, states_at
from samples.file_operations import Unsynced

# Run apart until the whole has been timed: more than a minute, next to the rest.
pytestmark = pytest.mark.slow

# How many disks each test looks at, at least: there cannot be fewer without somebody noticing.
CRASHES = {
    "commits": 110,
    "aborts": 520,
    "long_notes": 120,
    "extensions": 90,
    "groups": 360,
    "noted_groups": 320,
    "undo": 80,
    "pack": 130,
    "pack_without_old": 130,
    "pack_while_committing": 210,
    "checkpoints": 320,
    "index": 110,
    "restoring": 50,
    "beginning_anew": 60,
}
RESTARTS = {
    "commits": 710,
    "aborts": 1_290,
    "long_notes": 520,
    "extensions": 300,
    "groups": 560,
    "noted_groups": 440,
    "undo": 690,
    "pack": 1_630,
    "pack_without_old": 1_560,
    "pack_while_committing": 1_050,
    "checkpoints": 2_590,
    "index": 1_690,
    "restoring": 570,
    "beginning_anew": 920,
}
FAILED_SYNCS = {
    "commits": 210,
    "aborts": 650,
    "long_notes": 410,
    "extensions": 160,
    "groups": 130,
    "noted_groups": 100,
    "undo": 190,
    "pack": 350,
    "pack_without_old": 350,
    "pack_while_committing": 320,
    "checkpoints": 600,
    "index": 320,
    "restoring": 140,
    "beginning_anew": 190,
}
RECOVERIES = {
    "commits": 950,
    "aborts": 2_470,
    "groups": 1_420,
}


def test_twenty_thousand_disks_are_looked_at() -> None:
    least = sum(sum(each.values()) for each in (CRASHES, RESTARTS, FAILED_SYNCS, RECOVERIES))
    assert least >= 20_000
    assert CRASHES.keys() == RESTARTS.keys() == FAILED_SYNCS.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_after_a_power_cut_all_that_was_acknowledged_is_there(name: str, place: Place) -> None:
    assert crash_anywhere(name, place) >= CRASHES[name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_who_goes_on_after_a_kill_can_rely_on_what_it_sees(name: str, place: Place) -> None:
    """The process is killed, another one goes on, and then comes the power cut."""
    assert crash_after_kills(name, place) >= RESTARTS[name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_who_goes_on_after_a_failed_sync_can_rely_on_what_it_sees(name: str, place: Place) -> None:
    assert crash_after_failed_syncs(name, place) >= FAILED_SYNCS[name]


@pytest.mark.parametrize("name", RECOVERIES)
def test_opening_that_crashes_loses_nothing_of_what_it_sets_aside(name: str, place: Place) -> None:
    assert crash_while_recovering(name, place) >= RECOVERIES[name]


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_noticed(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakage = BREAKAGES[name]
    look = {
        "crashes": crash_anywhere,
        "restarts": crash_after_kills,
        "failed syncs": crash_after_failed_syncs,
        "recovery": crash_while_recovering,
    }[breakage.test]
    breakage.apply(monkeypatch)
    with pytest.raises(Violation, match=f"seed {SEED}, crash "):
        look(breakage.scenario, place)


def crash_anywhere(name: str, place: Place) -> int:
    return examine_all(place, run(SCENARIOS[name], place.recording()), name, limit=100)


def crash_after_kills(name: str, place: Place) -> int:
    return sum(
        go_on_and_crash(place, script, f"{name} killed", limit=6)
        for script in kills(SCENARIOS[name], place)
    )


def crash_after_failed_syncs(name: str, place: Place) -> int:
    count = sync = 0
    while True:
        sync += 1
        script = run_with_failing_sync(name, place.recording(), sync)
        if script is None:
            return count
        count += go_on_and_crash(place, script, f"{name} after failed sync {sync}", limit=20)


def crash_while_recovering(name: str, place: Place) -> int:
    script = run(SCENARIOS[name], place.recording())
    return sum(
        recover_and_crash(place, state, script, limit=5)
        for state in crash_states(script.recording, SEED, limit=4)
    )


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


def go_on_and_crash(place: Place, script: Script, name: str, limit: int) -> int:
    """Open again, commit and crash; return how many disks were looked at."""
    first = len(script.recording.log)
    try:
        script.open()
        script.commit({oid(50): b"x" * 100})
        script.commit({oid(51): b"y" * 100})
    finally:
        script.drop()
    return examine_all(place, script, name, limit, first)


def recover_and_crash(place: Place, state: CrashState, script: Script, limit: int) -> int:
    """Open what a crash left, commit, and crash; return how many disks were looked at."""
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
    finally:
        again.drop()
    count = 0
    for second in crash_states(again.recording, SEED, limit, first):
        count += 1
        crashed = place.after(second)
        path = crashed / NAME
        FileStorage(path, operations=Unsynced()).close()
        aside = [found.read_bytes() for found in crashed.glob(f"{NAME}.tr*")]
        if whole[kept:] and whole[kept:] not in aside:
            raise Violation(f"{state}, then {second}: what stood behind the end is lost")
    return count + examine_all(place, again, "recovery", limit, first)


def test_a_disk_is_found_again_by_what_it_prints(place: Place) -> None:
    recording = run(SCENARIOS["groups"], place.recording()).recording
    for state in crash_states(recording, SEED, limit=5):
        found = list(states_at(recording, state.seed, state.point, limit=5))[state.number]
        assert found == state
