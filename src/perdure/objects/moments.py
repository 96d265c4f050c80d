"""A moment of the past, as a caller names it: a tid, a time, or either of them as text."""

from collections.abc import Callable
from datetime import UTC, datetime

from perdure.clock import parse_tid, tid_from_datetime
from perdure.ids import after, tid_repr

__all__ = ["Moment", "tid_before"]

Moment = bytes | datetime | str
"""A tid, a `datetime`, or either of them as text, such as "2026-11-01T00:00Z"."""


def tid_before(
    at: Moment | None, before: Moment | None, newest: Callable[[], bytes]
) -> bytes | None:
    """Return the tid before which a connection to the past reads, None for the present.

    `newest` returns the tid of the last transaction. Raises `ValueError` for both
    moments, for one in the future, and for text that is no moment.
    """
    if at is not None and before is not None:
        raise ValueError("can only pass zero or one of `at` and `before`")
    if at is not None:
        moment = after(_tid(at))
    elif before is not None:
        moment = _tid(before)
    else:
        return None
    last = newest()
    if moment > after(last) and moment > tid_from_datetime(datetime.now(UTC)):
        raise ValueError(
            f"cannot open an historical connection in the future: {tid_repr(moment)} "
            f"is later than now and than the last transaction, {tid_repr(last)}"
        )
    return moment


def _tid(moment: Moment) -> bytes:
    if isinstance(moment, str):
        return parse_tid(moment)
    return tid_from_datetime(moment) if isinstance(moment, datetime) else moment
