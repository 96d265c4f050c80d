"""What a transaction relies on."""

from collections.abc import Callable
from typing import Any

class Relying:
    """Does what `Registration.rely_on` does, for objects in memory."""

    def __init__(
        self,
        latch: object,
        otherwise: Callable[[Any], None],
        connection: Any,
        read_current: dict[bytes, bytes],
        /,
    ) -> None: ...
    def rely_on(self, obj: Any, /) -> None: ...
