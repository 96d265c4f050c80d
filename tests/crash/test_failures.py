"""Each call fails once: errors are typed, the storage works on or refuses all, nothing is lost."""

import errno

import pytest

from crash.crashing import Place
from crash.expectation import expectation
from crash.scenarios import SCENARIOS
from crash.script import Script
from crash.verdict import examine, look
from perdure.testing.faults import SHORT, Failing

KINDS = {
    "EIO": (errno.EIO, False),
    "ENOSPC": (errno.ENOSPC, False),
    "EINTR": (errno.EINTR, False),
    "short write": (SHORT, False),
    "disk that stays full": (errno.ENOSPC, True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_call_fails_nothing_acknowledged_is_lost(
    name: str, kind: str, place: Place
) -> None:
    number, lasting = KINDS[kind]
    call = 0
    while True:
        call += 1
        recording = place.recording()
        failing = Failing(call, number, lasting, recording)
        script = Script(recording, failing, tolerant=True, lasting=lasting)
        try:
            SCENARIOS[name](script)
        finally:
            script.drop()
        if failing.failed is None:
            break
        try:
            found = look(recording.root)
            examine(found, expectation(script.marks), script.history, script.packs)
        except BaseException as error:
            error.add_note(f"call {call} failed, {failing.failed}, with {kind}")
            raise
    assert call > 8


def test_a_short_write_is_no_error(place: Place) -> None:
    recording = place.recording()
    script = Script(recording, Failing(6, SHORT, True, recording))
    SCENARIOS["commits"](script)
    assert len(script.history) == 5
