"""Records of a data file, found and read by oid."""

from collections.abc import Callable
from types import NotImplementedType
from typing import Any

class Records:
    """A data file and the index to it, with blocks of the file in memory.

    `file` owns `descriptor`. What is below `end` is visible, and never changes. Up to
    `size_bytes` of blocks are kept, none where that is 0.
    """

    end: int
    @property
    def block_reads(self) -> int: ...
    def __init__(
        self, pages: Any, file: object, descriptor: int, end: int, size_bytes: int, /
    ) -> None: ...
    def load_before(
        self, oid: bytes, tid: bytes, /
    ) -> tuple[bytes, bytes, bytes | None] | NotImplementedType | None:
        """Return what was current just before `tid`; None if the object is younger.

        `NotImplemented` stands for what is not usual: the pure function finds out, and says so.
        """

class Relay:
    def aim(self, records: Records | None, otherwise: Callable[[bytes, bytes], Any], /) -> None: ...
    def call(self, oid: bytes, tid: bytes) -> Any: ...
