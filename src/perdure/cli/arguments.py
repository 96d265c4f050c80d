"""Arguments that several commands take, moments and oids, and how they are printed."""

from collections.abc import Callable

import click

from perdure.clock import parse_tid
from perdure.ids import parse_oid, tid_repr
from perdure.tools.moment import datetime_of

__all__ = ["moment", "moment_text", "oid", "time_text"]


def moment(text: str) -> bytes:
    """Return the tid for a tid or a time in ISO 8601 that was typed."""
    return _understood(parse_tid, text)


def oid(text: str) -> bytes:
    """Return the oid that was typed in hexadecimal."""
    return _understood(parse_oid, text)


def _understood(parse: Callable[[str], bytes], text: str) -> bytes:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def time_text(tid: bytes) -> str:
    """Return the moment of a tid in ISO 8601, to the second, in UTC."""
    return datetime_of(tid).isoformat(timespec="seconds")


def moment_text(tid: bytes | None) -> str:
    """Return a tid as its time and itself; "none" for None."""
    return "none" if tid is None else f"{time_text(tid)}  {tid_repr(tid)}"
