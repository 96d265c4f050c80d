"""Tids as time: which moment a tid stands for, and the next one to hand out.

A tid is a UTC time stamp as `persistent.timestamp.TimeStamp` packs it: minutes
since 1900 (of 31-day months) in the upper 4 bytes, the fraction of the minute
in the lower 4, so one step is 14 nanoseconds. Tids must grow strictly, whatever
the clock does: when it stands still or steps back, the next tid is one step
after the last one.
"""

import time
from datetime import UTC, datetime

from persistent.timestamp import TimeStamp

from perdure.ids import after

__all__ = ["next_tid", "parse_tid", "tid_at", "tid_from_datetime", "time_of"]


def tid_at(seconds: float) -> bytes:
    """Return the tid for a moment given in seconds since 1970, UTC."""
    global _minute
    number = int(seconds // 60)
    known, head = _minute
    if number != known:
        # Once a minute: calendars take time.
        moment = time.gmtime(number * 60)
        head = TimeStamp(*moment[:5], 0.0).raw()[:4]
        _minute = number, head  # together: threads share it
    return head + int((seconds - number * 60) / _STEP_S).to_bytes(4, "big")


_STEP_S = 60 / 65536 / 65536
_minute = -1, b""


def next_tid(last: bytes, now_s: float | None = None) -> bytes:
    """Return a tid for now that is later than `last`.

    `now_s` is the time in seconds since 1970, by default the system's clock.
    Where it is not later than `last`, the result is the step after `last`.
    """
    tid = tid_at(time.time() if now_s is None else now_s)
    return tid if tid > last else after(last)


def time_of(tid: bytes) -> float:
    """Return the moment of `tid` in seconds since 1970, UTC."""
    seconds: float = TimeStamp(tid).timeTime()
    return seconds


def tid_from_datetime(moment: datetime) -> bytes:
    """Return the tid for `moment`; one without a time zone is read as UTC, as ZODB does."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    seconds = moment.second + moment.microsecond / 1_000_000
    stamp = TimeStamp(moment.year, moment.month, moment.day, moment.hour, moment.minute, seconds)
    return bytes(stamp.raw())


def parse_tid(text: str) -> bytes:
    """Return the tid that a person wrote, as a tid or as a time.

    Accepted are 16 hexadecimal digits with or without ``0x`` and ISO 8601 times
    (``2026-11-01T00:00Z``; without a zone they are UTC).

    Raises `ValueError` saying what was expected if it is neither.
    """
    digits = text.removeprefix("0x")
    if len(digits) == 16:
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass  # not a tid; perhaps a time
    try:
        return tid_from_datetime(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a tid (16 hexadecimal digits) "
            "nor an ISO 8601 time such as 2026-11-01T00:00Z"
        ) from None
