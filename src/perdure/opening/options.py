"""The options of an address: what their text means, kind by kind.

An option stands in the query of an address as ``name=value``. Its kind turns
the text into a value, or says what was expected and shows an example.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from perdure.clock import parse_tid
from perdure.ids import tid_repr

__all__ = [
    "ADDRESS_DEFAULTS",
    "COUNT",
    "DATABASE_OPTIONS",
    "FLAG",
    "NAMES",
    "PATH",
    "SECONDS",
    "SIZE",
    "TEXT",
    "TIME",
    "Kind",
    "level_up_to",
    "one_of",
    "option_text",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of an option is read.

    `read` raises `ValueError` for text that is not `expected`; `example` is text
    that it accepts.
    """

    expected: str
    example: str
    read: Callable[[str], Any]


_FLAGS = dict.fromkeys(("1", "true", "t", "yes", "on"), True)
_FLAGS |= dict.fromkeys(("0", "false", "f", "no", "off"), False)
_SIZE = re.compile(r"(\d+)\s*(?:([kmg])b?)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _flag(text: str) -> bool:
    value = _FLAGS.get(text.strip().lower())
    if value is None:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def _text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ValueError(text)
    return names


def one_of(*words: str) -> Kind:
    """Return the kind of an option that is one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(f"one of {', '.join(words)}", words[0], read)


def level_up_to(most: int) -> Kind:
    """Return the kind of a level of compression: 1 is the fastest, `most` the smallest."""

    def read(text: str) -> int:
        level = int(text)
        if not 1 <= level <= most:
            raise ValueError(text)
        return level

    return Kind(f"a level from 1 to {most}", "3", read)


def option_text(value: Any) -> str:
    """Return the text that the kind which read `value` would read as the same."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes):
        return tid_repr(value)
    return ",".join(value) if isinstance(value, tuple) else str(value)


FLAG: Final = Kind("1 or 0", "1", _flag)
COUNT: Final = Kind("a whole number, 0 or more", "1000", _count)
SECONDS: Final = Kind("a number of seconds", "300", _seconds)
SIZE: Final = Kind("a number of bytes, or of kb, mb or gb", "100mb", _size)
TEXT: Final = Kind("some text", "name", _text)
PATH: Final = Kind("a path", "data/app.fs", _text)
TIME: Final = Kind("an ISO 8601 time or a tid", "2026-11-01T00:00Z", parse_tid)
NAMES: Final = Kind("names separated by commas", "myapp.*,persistent.*", _names)

DATABASE_OPTIONS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "cache_size": COUNT,
        "cache_size_bytes": SIZE,
        "classes": NAMES,
        "database_name": TEXT,
        "historical_cache_size": COUNT,
        "historical_cache_size_bytes": SIZE,
        "historical_pool_size": COUNT,
        "historical_timeout": SECONDS,
        "large_record_size": SIZE,
        "pool_size": COUNT,
        "pool_timeout": SECONDS,
        "xrefs": FLAG,
    }
)
"""The options that an address hands to the database, whatever its storage.

zodburi writes most of them with ``connection_`` in front; both are read.
"""

ADDRESS_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({"cache_size": 10_000})
"""What a database gets that an address opens, unless the address says otherwise.

As with zodburi; a database that is made in Python keeps ZODB's defaults.
"""
