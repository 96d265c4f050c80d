"""Arguments of several commands, as addresses, limits, moments (tids) and oids; printing them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from perdure.clock import parse_tid
from perdure.ids import parse_oid, tid_repr
from perdure.opening import ENVIRONMENT_VARIABLE
from perdure.tools.moment import datetime_of

__all__ = ["address", "limit", "moment", "moment_text", "oid", "tid", "time_text"]


_Command = TypeVar("_Command", bound=Callable[..., Any] | click.Command)


class _Address(click.types.StringParamType):
    """Text, of which an error says where else it may come from."""

    def get_missing_message(
        self, param: click.Parameter, ctx: click.Context | None = None
    ) -> str | None:
        return f"It is a path, or a storage with its options; {ENVIRONMENT_VARIABLE} may have it."


address = click.argument("address", type=_Address(), envvar=ENVIRONMENT_VARIABLE)
"""The ADDRESS of a command; it may be left out where PERDURE_ADDRESS is set."""


def limit(what: str, default: int = 20) -> Callable[[_Command], _Command]:
    """Return the option ``--limit`` of a list; `what` says what of it is counted."""
    return click.option(
        "--limit",
        "-n",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        help=f"{what}; 0 for all.",
    )


def moment(text: str) -> bytes:
    """Return the tid for a tid or a time in ISO 8601 that was typed."""
    return _understood(parse_tid, text)


def tid(text: str) -> bytes:
    """Return the tid that was typed, which is no time: 16 hexadecimal digits."""
    if len(text.removeprefix("0x")) != 16:
        raise click.BadParameter(f"{text!r} is not a tid: expected 16 hexadecimal digits")
    return moment(text)


def oid(text: str) -> bytes:
    """Return the oid that was typed in hexadecimal."""
    return _understood(parse_oid, text)


def _understood(parse: Callable[[str], bytes], text: str) -> bytes:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def time_text(when: bytes) -> str:
    """Return the time that a tid stands for in ISO 8601, to the second, in UTC."""
    return datetime_of(when).isoformat(timespec="seconds")


def moment_text(when: bytes | None) -> str:
    """Return a tid as its time and itself; "none" for None."""
    return "none" if when is None else f"{time_text(when)}  {tid_repr(when)}"
