"""What the encoder asks of a class, once for each: how its name and its objects are pickled."""

import sys
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

from perdure.records.classmeta import class_at_head
from perdure.records.codec import RecordPickler
from perdure.records.names import with_stored_names

__all__ = ["global_of", "has_slots", "is_reduced_simply"]

_PROTO: Final = b"\x80\x03"
_END: Final = b"q\x00."

# Their reductions are their own, and nothing but a call with a few plain values.
_SIMPLE: Final = frozenset([bytearray, complex, date, datetime, time, timedelta, timezone])


def global_of(cls: type) -> tuple[bytes, str, str] | None:
    """Return the opcode that names a class, with its argument, and the class's module and name.

    None where a pickler writes another opcode for the class, or refuses it.
    """
    try:
        data = RecordPickler(_no_reference).dump(cls)
    except Exception:
        return None  # the pickler will refuse it again, where the error is explained
    names = class_at_head(data)
    if names is None or not data.endswith(_END):
        return None
    return with_stored_names(data)[len(_PROTO) : -len(_END)], *names


def _no_reference(value: Any) -> None:
    return None


def has_slots(cls: type) -> bool:
    """Return whether instances keep attributes elsewhere than in their dictionary."""
    return any(vars(each).get("__slots__") for each in cls.__mro__)


def is_reduced_simply(cls: Any) -> bool:
    """Return whether objects of a class are pickled by a call and a state, without items."""
    if cls in _SIMPLE or cls is _decimal():
        return True
    return (
        cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and not issubclass(cls, list | dict | type)
    )


def _decimal() -> type | None:
    """Return the class of decimal numbers, if they are in use: loading it is slow."""
    return getattr(sys.modules.get("decimal"), "Decimal", None)
