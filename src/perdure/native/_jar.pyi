"""What persistent objects ask of their connection, over and over."""

from collections.abc import Callable
from typing import Any

class Latch:
    closed: bool
    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool: ...
    def release(self) -> None: ...

class Call:
    def __init__(self, latch: object, otherwise: Callable[[], None], /) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *exc_info: object) -> None: ...

class Loading:
    load_at: Callable[[bytes, bytes], tuple[Any, ...] | None] | None
    start: bytes | None
    set_state: Callable[[Any, bytes], None] | None
    @property
    def loads(self) -> int: ...
    def __init__(
        self, latch: object, otherwise: Callable[[Any], None], special: type, /
    ) -> None: ...
    def load(self, obj: Any, /) -> None: ...

class Registering:
    def __init__(
        self,
        latch: object,
        otherwise: Callable[[Any], None],
        connection: object,
        registered: list[Any],
        added: dict[bytes, Any],
        /,
    ) -> None: ...
    def register(self, obj: Any, /) -> None: ...
