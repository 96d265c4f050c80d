"""Records counted by class, fast: the class is read once for each way to write it."""

import re
from collections.abc import Iterable
from typing import Final

from perdure.errors import StateLoadError
from perdure.records import class_name
from perdure.tools.census import DAMAGED, ClassRoom

__all__ = ["HEAD_SIZE", "RecordClasses"]

HEAD_SIZE: Final = 512
"""Bytes at the beginning of a record in which its class is looked for."""

# The class at the head of a record, in the plain form that nearly all have.
_HEAD: Final = re.compile(rb"\x80.c([^\n]+)\n([^\n]+)\Z", re.DOTALL)


class RecordClasses:
    """How many records of each class there are, and their bytes."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._rooms: dict[str, list[int]] = {}

    def add(self, data: bytes, start: int, size: int) -> None:
        """Count the record of `size` bytes that begins at `start` of `data`."""
        end = data.find(b"\n", data.find(b"\n", start, start + HEAD_SIZE) + 1, start + HEAD_SIZE)
        head = data[start:end] if end > start else b""
        name = self._names.get(head)
        if name is None:
            name = self._name(head, data[start : start + size])
        self._count(name, 1, size)

    def add_counted(self, counted: Iterable[tuple[bytes, int, int]]) -> None:
        """Add counts of records, and their bytes, by how the records begin."""
        for head, count, size_bytes in counted:
            self._count(self._name(head, head), count, size_bytes)

    def rooms(self) -> tuple[ClassRoom, ...]:
        """Return the classes, the largest first."""
        rooms = [ClassRoom(name, count, size) for name, (count, size) in self._rooms.items()]
        return tuple(sorted(rooms, key=lambda room: (-room.size_bytes, room.class_name)))

    def _count(self, name: str, count: int, size_bytes: int) -> None:
        room = self._rooms.setdefault(name, [0, 0])
        room[0] += count
        room[1] += size_bytes

    def _name(self, head: bytes, record: bytes) -> str:
        plain = _HEAD.match(head)
        if plain is not None:
            try:
                name = f"{plain[1].decode()}.{plain[2].decode()}"
            except UnicodeDecodeError:
                return DAMAGED
            self._names[head] = name
            return name
        try:
            return class_name(record)
        except StateLoadError:
            return DAMAGED
