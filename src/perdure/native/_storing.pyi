"""What a commit does with each object that it stores."""

from collections.abc import Callable
from typing import Any

from perdure.native._planning import Records

class Storing:
    cache: Any
    batch: Records
    def __init__(
        self,
        otherwise: Callable[[Any, bytes], None],
        flush: Callable[[], None],
        special: type,
        created: dict[bytes, bool],
        added: dict[bytes, Any],
        read_current: dict[bytes, bytes],
        stored: list[Any],
        large_bytes: int,
        room_bytes: int,
        /,
    ) -> None: ...
    def store_changed(
        self,
        objects: tuple[Any, ...],
        pending: list[Any],
        serialize: Callable[[Any], bytes],
        found: list[Any],
        /,
    ) -> None: ...

class Oids:
    def __init__(self, give: Callable[[int], list[bytes]], most: int, /) -> None: ...
    def next(self) -> bytes: ...

def mark_stored(objects: list[Any], tid: bytes, /) -> list[Any]: ...
