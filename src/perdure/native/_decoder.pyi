"""The states of records, read from their bytes into their objects."""

from collections.abc import Callable
from typing import Any

class Decoder:
    """Reads the states of one connection's objects.

    `cache` is the connection's `PickleCache`. `find_global` finds what a record
    names; if it is `steady`, a class is not asked for again as long as its module
    has it. `load_reference` returns the object for a persistent id that needs a
    closer look; so does one to a subclass of `broken`. `hand_over` reads a record that
    is not read here. `explain` gets an error met while reading, `refused` one that the
    object's `__setstate__` raised; they raise a better one, or return to let it pass.
    """

    def __init__(
        self,
        cache: Any,
        find_global: Callable[[str, str], Any],
        steady: bool,
        load_reference: Callable[[Any], Any],
        broken: type,
        hand_over: Callable[[Any, bytes], None],
        explain: Callable[[BaseException, Any, bytes], None],
        refused: Callable[[BaseException, Any, bytes], None],
    ) -> None: ...
    @property
    def hits(self) -> int:
        """How many references led to an object in the cache."""

    def learn(self, cls: type, start: bytes, number: int) -> None:
        """Take note how the records of a class begin.

        `number` is that of the class in the memo behind it, negative where it has none.
        """

    def set_state(self, obj: Any, record: bytes) -> None:
        """Give an object the state in a record."""
