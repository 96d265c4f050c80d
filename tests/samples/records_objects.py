"""Persistent and other classes that tests of records store."""

from typing import Any

from persistent import Persistent

__all__ = [
    "Node",
    "Point",
    "RaisesInSetstate",
    "Shelf",
    "Slotted",
    "TakesArguments",
]


class Node(Persistent):
    """Anything at all, in attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Shelf(Node):
    class Label:
        """A class inside another."""

        def __init__(self, text: str) -> None:
            self.text = text


class TakesArguments(Persistent):
    """Made by `__new__` with arguments, which its references leave out."""

    def __new__(cls, key: str) -> "TakesArguments":
        made = Persistent.__new__(cls)
        made.__dict__["key"] = key
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.key,)


class RaisesInSetstate(Persistent):
    def __setstate__(self, state: object) -> None:
        raise ValueError("this state is not what I expect")


class Point:
    """Not persistent: a part of whoever holds it."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a = a
        self.b = b

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]
