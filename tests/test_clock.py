from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ZODB.utils import newTid

from perdure import clock
from perdure.ids import ZERO, after

MOMENT = datetime(2026, 11, 21, 10, 58, 6, 20735, UTC)


def test_a_tid_stands_for_its_moment() -> None:
    tid = clock.tid_at(MOMENT.timestamp())
    assert clock.time_of(tid) == pytest.approx(MOMENT.timestamp(), abs=1e-6)


def test_the_next_tid_is_now() -> None:
    tid = clock.next_tid(ZERO, MOMENT.timestamp())
    assert clock.time_of(tid) == pytest.approx(MOMENT.timestamp(), abs=1e-6)


def test_a_tid_is_a_time_as_zodb_has_it() -> None:
    ours = clock.time_of(clock.next_tid(ZERO))
    theirs = clock.time_of(newTid(ZERO))
    assert 0 <= theirs - ours < 60


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=20))
def test_tids_grow_whatever_the_clock_does(readings: list[float]) -> None:
    last = ZERO
    for now_s in readings:
        tid = clock.next_tid(last, now_s)
        assert tid > last
        last = tid


def test_a_clock_that_stands_still_gives_neighbours() -> None:
    first = clock.next_tid(ZERO, 1e9)
    assert clock.next_tid(first, 1e9) == after(first)


def test_a_datetime_is_utc_unless_it_has_a_zone() -> None:
    berlin = MOMENT.astimezone(timezone(timedelta(hours=1)))
    tid = clock.tid_from_datetime(MOMENT)
    assert clock.tid_from_datetime(berlin) == tid
    assert clock.tid_from_datetime(MOMENT.replace(tzinfo=None)) == tid


def test_a_tid_can_be_written_as_a_tid_or_as_a_time() -> None:
    tid = clock.tid_from_datetime(datetime(2026, 11, 1, tzinfo=UTC))
    assert clock.parse_tid(tid.hex()) == tid
    assert clock.parse_tid("0x" + tid.hex()) == tid
    assert clock.parse_tid("2026-11-01T00:00Z") == tid
    assert clock.parse_tid("2026-11-01T01:00+01:00") == tid
    assert clock.parse_tid("2026-11-01") == tid


@pytest.mark.parametrize("text", ["yesterday", "", "0x123", "zzzzzzzzzzzzzzzz"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a tid"):
        clock.parse_tid(text)
