"""What every error has: facts that it carries and pickles with, and how it prints them."""

from datetime import UTC, datetime
from os import PathLike
from typing import Any

from persistent.timestamp import TimeStamp

from perdure.ids import tid_repr

Path = str | PathLike[str]


def _rebuild(cls: type["POSError"], args: tuple[Any, ...], facts: dict[str, Any]) -> "POSError":
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class POSError(Exception):
    """Anything that goes wrong in a persistent object system.

    Errors pickle with their facts whatever the arguments of their constructor.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def dotted_name(cls: type) -> str:
    """Return the name by which errors call a class: its module and its name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def tid_and_time(tid: bytes) -> str:
    moment = datetime.fromtimestamp(TimeStamp(tid).timeTime(), UTC)
    return f"{tid_repr(tid)} of {moment:%Y-%m-%d %H:%M:%S.%f}"
