"""Records of objects, written from what the objects hold."""

from collections.abc import Callable
from typing import Any

class Encoder:
    """Writes the records of one connection's objects.

    `jar` is the connection, whose `new_oid` gives new objects their oids; these
    objects are appended to `found`. `classify` says how the objects of a class are
    stored: 1 by a reference without the class, 2 by one with it, 3 reduced as
    `object` does it, 4 by name, being classes, 0 in another way. `global_of` returns
    how a class is written, its module and its name there, or None. `reference_to`
    returns the persistent id of an object that needs a closer look. `hand_over`
    writes an object and its state that are not written here, `write_anew` an object
    of a class not learned.
    """

    def __init__(
        self,
        jar: Any,
        found: list[Any],
        classify: Callable[[Any], int],
        global_of: Callable[[type], tuple[bytes, str, str] | None],
        reference_to: Callable[[Any], Any],
        hand_over: Callable[[Any, Any], bytes],
        write_anew: Callable[[Any], bytes],
    ) -> None: ...
    def learn(self, cls: type, start: bytes, has_slots: bool) -> None:
        """Take note how the records of a class begin.

        Behind that, the class has the number 0 in the memo, and nothing else has one.
        """

    def serialize(self, obj: Any) -> bytes:
        """Return the record of an object as it is now."""
